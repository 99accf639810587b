package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

const (
	logSuffix   = ".log"
	indexSuffix = ".index"
	cutSuffix   = ".cut"
	newSuffix   = ".new"
)

// segment is one file of batches, named by the offset it starts at, and its
// index. One goroutine at a time writes it (under the partition's lock);
// readers look at the atomics and open the files themselves, so that they wait
// for nobody.
type segment struct {
	base    int64
	path    string // without suffix
	size    atomic.Int64
	end     atomic.Int64 // offset after the last batch
	maxTime atomic.Int64 // -1: no batch
	first   int64        // since when it is written; 0: not looked at
	file    File         // nil once sealed and synced
	index   indexWriter
}

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d", base))
}

func newSegment(path string, base int64) *segment {
	s := &segment{base: base, path: path}
	s.end.Store(base)
	s.maxTime.Store(-1)
	return s
}

// createSegment makes the two files of an empty segment. Its directory entry
// is not durable yet.
func createSegment(fsys FS, path string, base int64) (*segment, error) {
	s := newSegment(path, base)
	if err := s.open(fsys, os.O_CREATE|os.O_TRUNC); err != nil {
		return nil, err
	}
	if err := s.index.reset(base); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// open opens the files for writing.
func (s *segment) open(fsys FS, flags int) error {
	f, err := fsys.OpenFile(s.path+logSuffix, os.O_RDWR|flags, 0o600)
	if err != nil {
		return err
	}
	x, err := fsys.OpenFile(s.path+indexSuffix, os.O_RDWR|os.O_CREATE|flags, 0o600)
	if err != nil {
		return errors.Join(err, f.Close())
	}
	s.file, s.index.file = f, x
	return nil
}

func (s *segment) close() error {
	if s.file == nil {
		return nil
	}
	err := errors.Join(s.file.Close(), s.index.file.Close())
	s.file, s.index.file = nil, nil
	return err
}

// write puts the batch at the segment's end. After an error the file is as
// long as before, or the error says that it could not be made so.
func (s *segment) write(b []byte, h *header) error {
	pos := s.size.Load()
	if _, err := s.file.WriteAt(b, pos); err != nil {
		if terr := s.file.Truncate(pos); terr != nil {
			return fmt.Errorf("writing %s: %w (and cutting it: %w)", s.path, err, errors.Join(errTorn, terr))
		}
		return fmt.Errorf("writing %s: %w", s.path, err)
	}
	if err := s.accept(pos, h); err != nil {
		return errors.Join(errTorn, err)
	}
	return nil
}

// begun returns since when the segment is written: the largest timestamp of its
// first batch, or now, the first time, when that has none. The segment is open,
// and holds something.
func (s *segment) begun(now int64) int64 {
	if s.first == 0 {
		b := make([]byte, headerSize)
		_, err := s.file.ReadAt(b, 0)
		h, _ := parseHeader(b)
		if s.first = h.maxTime; err != nil || s.first < 0 {
			s.first = now
		}
		s.maxTime.CompareAndSwap(-1, s.first)
	}
	return s.first
}

// errTorn says that a segment's file holds more than its end tells.
var errTorn = errors.New("segment has a torn end")

// accept takes in the batch that lies at pos, the segment's last.
func (s *segment) accept(pos int64, h *header) error {
	if err := s.index.note(h.base-s.base, pos, s.maxTime.Load()); err != nil {
		return fmt.Errorf("writing index of %s: %w", s.path, err)
	}
	s.maxTime.Store(max(s.maxTime.Load(), h.maxTime))
	s.end.Store(h.end())
	s.size.Store(pos + int64(h.size))
	return nil
}

// seal writes the index's closing entry: end, size and largest timestamp.
func (s *segment) seal() error {
	return s.index.append(s.end.Load()-s.base, s.size.Load(), s.maxTime.Load())
}

// loadSealed takes end and time of a sealed segment from its index's closing
// entry, if that agrees with the file.
func (s *segment) loadSealed(fsys FS) bool {
	x, err := s.openIndex(fsys)
	if err != nil {
		return false
	}
	defer x.close() //nolint:errcheck // it was read, not written
	last, err := x.entry(x.count - 1)
	if err != nil || int64(last.pos) != s.size.Load() {
		return false
	}
	s.end.Store(s.base + int64(last.rel))
	s.maxTime.Store(last.maxTime)
	return true
}

// listSegments returns a partition's segments in order, as far as their names
// and sizes tell: where they end, they do not.
func listSegments(fsys FS, dir string) ([]*segment, error) {
	entries, err := fsys.ReadDir(dir)
	if notExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var segs []*segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), logSuffix)
		if !ok || len(name) != 20 {
			continue
		}
		base, err := strconv.ParseInt(name, 10, 64)
		if err != nil || base < 0 {
			continue
		}
		s := newSegment(segmentPath(dir, base), base)
		f, size, err := openRead(fsys, s.path+logSuffix)
		if err != nil {
			return nil, err
		}
		_ = f.Close() // only its size was asked for
		s.size.Store(size)
		s.end.Store(math.MaxInt64) // not known
		segs = append(segs, s)
	}
	slices.SortFunc(segs, func(a, b *segment) int { return cmp.Compare(a.base, b.base) })
	return segs, nil
}

// findSegment returns the index of the last segment that starts at or before
// the offset, -1 if none does.
func findSegment(segs []*segment, offset int64) int {
	behind, _ := slices.BinarySearchFunc(segs, offset+1, func(s *segment, o int64) int { return cmp.Compare(s.base, o) })
	return behind - 1
}

// keepAside copies a part of the segment's log to a file of its own.
func (s *segment) keepAside(fsys FS, from, to int64) (name string, err error) {
	name = fmt.Sprintf("%s-%d%s", s.path, from, cutSuffix)
	f, err := fsys.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return name, err
	}
	defer f.Close()
	return name, writeAside(fsys, name, io.NewSectionReader(f, from, to-from))
}

// remove removes the log first: an index alone is nothing.
func (s *segment) remove(fsys FS) error {
	if err := fsys.RemoveAll(s.path + logSuffix); err != nil {
		return err
	}
	return fsys.RemoveAll(s.path + indexSuffix)
}

// finish seals a segment, makes it durable and closes its files.
func (s *segment) finish() error {
	return errors.Join(s.seal(), s.file.Sync(), s.index.file.Sync(), s.close())
}
