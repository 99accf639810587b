package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// fillPageCache has the page cache take all memory that is free, as it has on
// a machine that has been up for a while, and returns what gives it back.
// Memory of a virtual machine that nobody has used yet is not there: whoever
// writes or reads a file first pays for it, four times as much as for the rest
// of an append, and a measurement says who came first and nothing else.
func fillPageCache(dir string) (release func() error, err error) {
	free, err := memoryFree()
	if err != nil {
		return nil, err
	}
	f, err := os.Create(filepath.Join(dir, "page-cache"))
	if err != nil {
		return nil, err
	}
	release = func() error { return errors.Join(f.Close(), os.Remove(f.Name())) }
	if err = f.Truncate(free); err == nil { // holes: pages without a disk
		_, err = io.Copy(io.Discard, struct{ io.Reader }{f})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("filling the page cache: %w", err), release())
	}
	return release, nil
}

// memoryFree returns the bytes of memory that nobody uses.
func memoryFree() (int64, error) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "MemFree:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no MemFree in /proc/meminfo")
}

func fdatasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// disk measures what the disk gives: a sequential write in MB/s, an fdatasync
// after each piece, and the fdatasync of a small overwrite in milliseconds, at
// the 50th and the 99th percentile.
func disk(dir string, total, piece int) (mbps, p50, p99 float64, err error) {
	f, err := os.Create(filepath.Join(dir, "disk"))
	if err != nil {
		return 0, 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	b := make([]byte, piece)
	start := time.Now()
	for range total / piece {
		if _, err := f.Write(b); err != nil {
			return 0, 0, 0, err
		}
		if err := fdatasync(f); err != nil {
			return 0, 0, 0, err
		}
	}
	mbps = float64(total/piece*piece) / 1e6 / time.Since(start).Seconds()
	var all []float64
	for i := range 300 {
		then := time.Now()
		if _, err := f.WriteAt(b[:1000], int64(i)*4096); err != nil {
			return 0, 0, 0, err
		}
		if err := fdatasync(f); err != nil {
			return 0, 0, 0, err
		}
		all = append(all, since(then))
	}
	slices.Sort(all)
	return mbps, all[len(all)/2], all[len(all)*99/100], nil
}
