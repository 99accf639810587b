package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

type journalFile struct {
	file   File
	gen    uint64
	pos    int64
	filled int64 // bytes it has
}

// open starts with files that may hold what has been recovered, but is durable
// nowhere else before the next checkpoint.
func (j *journal) open(floor uint64) error {
	j.wake.L, j.refill.L = &j.mu, &j.mu
	j.floor = floor
	if err := j.fs.MkdirAll(j.dir, 0o700); err != nil {
		return err
	}
	for j.count < 2 {
		if err := j.create(); err != nil {
			return err
		}
	}
	return nil
}

// create opens a file, or makes one that a crash leaves there. It is free
// unless no checkpoint covers what it holds.
func (j *journal) create() error {
	name := filepath.Join(j.dir, fmt.Sprintf("%d%s", j.count, journalSuffix))
	f, err := j.fs.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("creating journal: %w", err)
	}
	size, err := f.Size()
	if err == nil {
		err = j.fs.SyncDir(j.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("creating journal: %w", err), f.Close())
	}
	j.count++
	old, ok := newJournalReader(f)
	file := &journalFile{file: f, gen: old.gen, filled: size}
	if ok && old.gen >= j.floor {
		j.used = append(j.used, file)
	} else {
		j.free = append(j.free, file)
	}
	return nil
}

// fill writes zeros a step beyond end, to be synced with what is written there.
func (f *journalFile) fill(end, limit int64) error {
	if end <= f.filled {
		return nil
	}
	to := min(end+journalStep, limit)
	if _, err := f.file.WriteAt(make([]byte, to-f.filled), f.filled); err != nil {
		return fmt.Errorf("filling journal: %w", err)
	}
	f.filled = to
	return nil
}

// prepare fills the next file to its end while the active one is written, so
// that appends wait for no fill. It returns when the journal is closed.
func (j *journal) prepare() {
	for f := j.toFill(); f != nil; f = j.toFill() {
		var err error
		for err == nil && f.filled < j.fileSize && !j.isClosed() {
			if err = f.fill(f.filled+1, j.fileSize); err == nil {
				err = f.file.Sync()
			}
		}
		j.mu.Lock()
		j.growing = j.growing && err == nil // the writer will meet the error too
		j.free = append(j.free, f)
		j.mu.Unlock()
	}
}

// toFill waits for a free file to be filled, and takes it; nil when the
// journal is closed. One that is filled ahead is enough.
func (j *journal) toFill() *journalFile {
	j.mu.Lock()
	defer j.mu.Unlock()
	for !j.closed {
		if j.growing && len(j.free) > 0 && j.filledFile() < 0 {
			f := j.free[0]
			j.free = j.free[1:]
			return f
		}
		j.refill.Wait()
	}
	return nil
}

// filledFile returns the place of a free file that is filled to its end, -1 if
// there is none. The caller holds j.mu.
func (j *journal) filledFile() int {
	return slices.IndexFunc(j.free, func(f *journalFile) bool { return f.filled >= j.fileSize })
}

// grows is told that the writer has to fill a file that it has filled before:
// there is more to come.
func (j *journal) grows() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.growing = true
	j.refill.Signal()
}

func (j *journal) isClosed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.closed
}

// fileFor returns the active file, or the next one when it is full, or has to
// be filled while the next one is.
func (j *journal) fileFor(n int64) (*journalFile, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	filled := j.filledFile()
	if a := j.active; a != nil && a.pos+n <= j.fileSize && (filled < 0 || a.pos+n <= a.filled) {
		return a, nil
	}
	for len(j.free) == 0 && j.count < journalMaxFiles {
		if err := j.create(); err != nil {
			return nil, err
		}
	}
	if len(j.free) == 0 {
		return nil, errJournalFull // which the last file has asked a checkpoint for
	}
	j.rotated()
	next := max(filled, 0)
	f := j.free[next]
	if _, err := f.file.WriteAt(journalHead(j.nextGen), 0); err != nil {
		return nil, fmt.Errorf("writing journal: %w", err)
	}
	j.free = slices.Delete(j.free, next, next+1)
	if j.active != nil {
		j.used = append(j.used, j.active)
	}
	f.gen, f.pos = j.nextGen, journalHeader
	f.filled = max(f.filled, journalHeader)
	j.nextGen++
	j.active = f
	j.refill.Signal()
	return f, nil
}

func journalHead(gen uint64) []byte {
	b := make([]byte, 0, journalHeader)
	b = append(b, journalMagic...)
	return binary.BigEndian.AppendUint64(b, gen)
}

// generation returns that of the file being written: a checkpoint begun now
// covers all files before it.
func (j *journal) generation() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.active == nil {
		return j.nextGen
	}
	return j.active.gen
}

// release makes the files before the generation free.
func (j *journal) release(gen uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.floor = gen
	j.used = slices.DeleteFunc(j.used, func(f *journalFile) bool {
		if f.gen >= gen {
			return false
		}
		j.free = append(j.free, f)
		return true
	})
	j.refill.Signal()
}

// closeFiles is called when run and prepare have ended.
func (j *journal) closeFiles() error {
	var errs []error
	for _, f := range slices.Concat(j.used, j.free) {
		errs = append(errs, f.file.Close())
	}
	if j.active != nil {
		errs = append(errs, j.active.file.Close())
	}
	return errors.Join(errs...)
}
