package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/decodersring/decoder/internal/config"
)

// reserve is a file that only takes up room. When another program fills the
// disk at one go, it is removed, so that what is in memory, and whatever else
// has to be written for nothing to be lost, can be.
type reserve struct {
	path string
	size int64
	free int64 // of the disk, below which intake stops
	log  *slog.Logger
	last int64 // free when last looked at
}

const (
	reserveMost  = 64 << 20
	reserveEvery = 50 * time.Millisecond
)

func newReserve(path string, free int64, log *slog.Logger) *reserve {
	return &reserve{path: path, size: min(free/3, reserveMost), free: free, log: log}
}

// Run keeps the file while there is room for it, until ctx ends.
func (r *reserve) Run(ctx context.Context) error {
	tick := time.NewTicker(reserveEvery)
	defer tick.Stop()
	for {
		if err := r.look(); err != nil {
			r.log.Warn("keeping a reserve of disk", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (r *reserve) look() error {
	free, err := freeDisk(r.path)
	there := !errors.Is(err, fs.ErrNotExist)
	if !there {
		free, err = freeDisk(filepath.Dir(r.path))
	}
	if err != nil {
		return err
	}
	falling := free < r.last
	r.last = free
	switch {
	case there && free < r.free/8 && !falling: // who fills it would take the reserve too
		r.log.Warn("disk is full, its reserve is given up", "free", config.Size(free).String(), "reserve", config.Size(r.size).String())
		return os.Remove(r.path)
	case !there && free > r.free+r.free/4+2*r.size:
		return r.make()
	}
	return nil
}

// make writes the file aside, so that it is there whole or not at all.
func (r *reserve) make() error {
	aside := r.path + ".new"
	f, err := os.OpenFile(aside, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("making it: %w", err)
	}
	zeros := make([]byte, 1<<20)
	for left := r.size; left > 0 && err == nil; left -= int64(len(zeros)) {
		_, err = f.Write(zeros[:min(left, int64(len(zeros)))])
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(fmt.Errorf("making it: %w", err), os.Remove(aside))
	}
	return os.Rename(aside, r.path)
}
