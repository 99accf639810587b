package vlogs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// lockFolder takes the folder for this process, or says who has it.
func lockFolder(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the store: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid, _ := os.ReadFile(path)
		return nil, errors.Join(fmt.Errorf("the store in %s is in use by process %s: %w", dir, strings.TrimSpace(string(pid)), err), f.Close())
	}
	// The lock is what counts; who holds it is written for the next to read, and
	// a full disk must not keep the store shut.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}

// format is the version of what lies in the folder: the library's files, the
// columns and the hints.
const format = 1

// checkFormat refuses a folder that a newer program has written.
func checkFormat(dir string) error {
	path := filepath.Join(dir, "format")
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return atomicfile.WriteDurable(path, []byte(strconv.Itoa(format)+"\n"))
	}
	if err != nil {
		return fmt.Errorf("reading the store's format: %w", err)
	}
	v, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return fmt.Errorf("reading the store's format in %s: %w", path, err)
	}
	if v > format {
		return fmt.Errorf("the store in %s has format %d and this program knows formats up to %d: use the newer program it was written by", dir, v, format)
	}
	return nil
}
