package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/config"
)

// diskBudget is how much the log and the store may take.
type diskBudget struct{ log, live, captures, reruns int64 }

// minBudget is what the program cannot do with less of.
const minBudget = 256 << 20

// roomToStart refuses to start on a full disk: log and store could not be
// opened, and would say so in other words.
func (a *App) roomToStart(context.Context) error {
	limit := int64(a.options.Config.Disk.Free)
	free, err := freeDisk(a.options.Data)
	if err != nil || free >= limit/8 {
		return err
	}
	return fmt.Errorf("the disk of %s is full: %s are free, %s is the least to start with, and %s to take anything in: remove something there",
		a.options.Data, config.Size(free), config.Size(limit/8), config.Size(limit))
}

const budgetLine = "disk budget %d bytes\n"

// budget returns the disk budget: the configured one, or a fifth of what was
// free at the first start, which is noted so that later starts use the same.
func (a *App) budget() (diskBudget, error) {
	total := int64(a.options.Config.Disk.Budget)
	if total == 0 {
		var err error
		if total, err = firstBudget(a.path("budget")); err != nil {
			return diskBudget{}, err
		}
	}
	if total < minBudget {
		return diskBudget{}, fmt.Errorf("the disk budget for %s is %s, and %s is the least: free some disk, choose another folder with --data, or set disk.budget", a.options.Data, config.Size(total), config.Size(minBudget))
	}
	// Two parts log to three parts store; what is replayed gets a third of the
	// store's, since it is looked at once and can be replayed again, and what
	// is run again a quarter of that.
	store := total / 5 * 3
	return diskBudget{log: total / 5 * 2, live: store / 3 * 2, captures: store / 4, reruns: store / 12}, nil
}

func firstBudget(name string) (int64, error) {
	var noted int64
	text, err := os.ReadFile(name)
	if err == nil {
		if _, err := fmt.Sscanf(string(text), budgetLine, &noted); err == nil {
			return noted, nil
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("reading the disk budget: %w", err)
	}
	free, err := freeDisk(filepath.Dir(name))
	if err != nil {
		return 0, err
	}
	return free / 5, atomicfile.WriteDurable(name, fmt.Appendf(nil, budgetLine, free/5))
}

func freeDisk(dir string) (int64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("asking for the free disk of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}
