package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
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
	swapSuffix  = ".swap"
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
	file    File         // nil once sealed and synced
	index   indexWriter
}

func segmentPath(dir string, base int64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d", base))
}

// createSegment makes the two files of an empty segment. Its directory entry
// is not durable yet.
func createSegment(fsys FS, dir string, base int64) (*segment, error) {
	s := &segment{base: base, path: segmentPath(dir, base)}
	s.end.Store(base)
	s.maxTime.Store(-1)
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
	if err := s.index.note(h.base-s.base, pos, s.maxTime.Load()); err != nil {
		return fmt.Errorf("writing index of %s: %w", s.path, errors.Join(errTorn, err))
	}
	s.accept(h)
	return nil
}

// errTorn says that a segment's file holds more than its end tells.
var errTorn = errors.New("segment has a torn end")

func (s *segment) accept(h *header) {
	s.maxTime.Store(max(s.maxTime.Load(), h.maxTime))
	s.end.Store(h.end())
	s.size.Add(int64(h.size))
}

// seal writes the index's closing entry: end, size and largest timestamp.
func (s *segment) seal() error {
	return s.index.append(s.end.Load()-s.base, s.size.Load(), s.maxTime.Load())
}

// loadSealed takes end, size and time of a sealed segment from its index's
// closing entry, if that agrees with the file.
func (s *segment) loadSealed(fsys FS) bool {
	size, err := fileSize(fsys, s.path+logSuffix)
	if err != nil {
		return false
	}
	x, err := openIndex(fsys, s.path+indexSuffix, s.base)
	if err != nil {
		return false
	}
	defer x.close() //nolint:errcheck // it was read, not written
	last, ok := x.last()
	if !ok || int64(last.pos) != size {
		return false
	}
	s.size.Store(size)
	s.end.Store(s.base + int64(last.rel))
	s.maxTime.Store(last.maxTime)
	return true
}

// walk calls fn for every batch from pos up to limit whose header is possible
// and whose bytes are all there, and returns where it stopped: at limit, or at
// the first place that cannot be a batch. fn sees whether the CRC is right;
// the bytes are valid during the call. It reads in pieces of bounded size.
func walk(f io.ReaderAt, pos, limit int64, fn func(pos int64, b []byte, h *header, crcOK bool) (bool, error)) (int64, error) {
	buf := make([]byte, 256<<10)
	for pos < limit {
		n, err := readUpTo(f, buf, pos, limit)
		if err != nil {
			return pos, err
		}
		piece := buf[:n]
		start := pos
		for {
			h, ok := parseHeader(piece)
			if !ok && len(piece) >= headerSize || pos+int64(h.size) > limit || limit-pos < headerSize {
				return pos, nil
			}
			if !ok || h.size > len(piece) { // the next piece begins here
				if pos == start {
					if h.size <= len(buf) {
						return pos, nil
					}
					buf = make([]byte, h.size)
				}
				break
			}
			if more, err := fn(pos, piece[:h.size], &h, crcOK(piece, &h)); err != nil || !more {
				return pos, err
			}
			pos += int64(h.size)
			if piece = piece[h.size:]; len(piece) == 0 {
				break
			}
		}
	}
	return pos, nil
}

// walkOver is a walk over a whole file that goes on, where fn stops it or no
// batch begins, at the next batch that can be found.
func walkOver(f io.ReaderAt, size int64, fn func(pos int64, b []byte, h *header, crcOK bool) (bool, error), gap func(from, to int64)) error {
	for pos := int64(0); pos < size; {
		stop, err := walk(f, pos, size, fn)
		if err != nil || stop == size {
			return err
		}
		if pos, err = findBatch(f, stop, size); err != nil {
			return err
		}
		gap(stop, pos)
	}
	return nil
}

func readUpTo(f io.ReaderAt, buf []byte, pos, limit int64) (int, error) {
	want := min(int64(len(buf)), limit-pos)
	n, err := f.ReadAt(buf[:want], pos)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

func fileSize(fsys FS, path string) (int64, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// listSegments returns the base offsets of a partition's segments in order.
func listSegments(fsys FS, dir string) ([]int64, error) {
	entries, err := fsys.ReadDir(dir)
	if notExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var bases []int64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), logSuffix)
		if !ok || len(name) != 20 {
			continue
		}
		if base, err := strconv.ParseInt(name, 10, 64); err == nil && base >= 0 {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	return bases, nil
}

// findSegment returns the index of the last segment that starts at or before
// the offset, -1 if none does.
func findSegment(segs []*segment, offset int64) int {
	i, found := slices.BinarySearchFunc(segs, offset, func(s *segment, o int64) int { return cmp.Compare(s.base, o) })
	if found {
		return i
	}
	return i - 1
}
