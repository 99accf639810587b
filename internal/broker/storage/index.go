package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
)

// An index has an entry about every indexInterval bytes of its segment: where
// a batch starts, and the largest timestamp of all batches before it. So one
// file finds both an offset and a time. A sealed segment's index ends with an
// entry for the place behind the last batch. It is a hint: what it says is
// checked against the segment, and it can be made again from it.
const (
	indexInterval  = 4096
	indexHeader    = 16
	indexEntrySize = 16
	indexMagic     = "DRindex1"
)

type indexEntry struct {
	rel     uint32 // offset minus the segment's base
	pos     uint32
	maxTime int64 // of all batches before pos; -1: none
}

func (e indexEntry) put(b []byte) {
	binary.BigEndian.PutUint32(b, e.rel)
	binary.BigEndian.PutUint32(b[4:], e.pos)
	binary.BigEndian.PutUint64(b[8:], uint64(e.maxTime))
}

func parseEntry(b []byte) indexEntry {
	return indexEntry{
		rel:     binary.BigEndian.Uint32(b),
		pos:     binary.BigEndian.Uint32(b[4:]),
		maxTime: int64(binary.BigEndian.Uint64(b[8:])),
	}
}

func indexHead(base int64) []byte {
	b := make([]byte, indexHeader)
	copy(b, indexMagic)
	binary.BigEndian.PutUint64(b[8:], uint64(base))
	return b
}

// indexWriter appends entries to an index file.
type indexWriter struct {
	file  File
	count int64
	last  int64 // position of the last entry in the segment
	buf   [indexEntrySize]byte
}

// reset makes the index empty.
func (w *indexWriter) reset(base int64) error {
	w.count, w.last = 0, 0
	if err := w.file.Truncate(0); err != nil {
		return err
	}
	_, err := w.file.WriteAt(indexHead(base), 0)
	return err
}

// cut keeps the entries for batches before pos, which is where writing goes
// on, and returns the last of them. An index that is none is made empty.
func (w *indexWriter) cut(base, pos int64) (last indexEntry, err error) {
	n, last := int64(0), indexEntry{maxTime: -1}
	r, err := newIndexReader(w.file, base)
	if err == nil {
		if n = r.search(func(e indexEntry) bool { return int64(e.pos) >= pos }); n > 0 {
			last, err = r.entry(n - 1)
		}
	}
	if err != nil {
		return indexEntry{maxTime: -1}, w.reset(base)
	}
	w.count, w.last = n, int64(last.pos)
	return last, w.file.Truncate(indexHeader + n*indexEntrySize)
}

// note adds an entry for the batch about to be at pos, if it is due.
func (w *indexWriter) note(rel, pos, maxTime int64) error {
	if pos-w.last < indexInterval {
		return nil
	}
	return w.append(rel, pos, maxTime)
}

func (w *indexWriter) append(rel, pos, maxTime int64) error {
	if rel < 0 || rel > math.MaxUint32 || pos > math.MaxUint32 {
		return fmt.Errorf("index entry %d at %d does not fit", rel, pos)
	}
	indexEntry{rel: uint32(rel), pos: uint32(pos), maxTime: maxTime}.put(w.buf[:])
	if _, err := w.file.WriteAt(w.buf[:], indexHeader+w.count*indexEntrySize); err != nil {
		return err
	}
	w.count++
	w.last = pos
	return nil
}

// indexReader searches an index file without holding it in memory.
type indexReader struct {
	file  io.ReaderAt
	count int64
	close func() error
}

var errIndex = errors.New("not an index of that segment")

func (s *segment) openIndex(fsys FS) (indexReader, error) {
	f, err := fsys.OpenFile(s.path+indexSuffix, os.O_RDONLY, 0)
	if err != nil {
		return indexReader{}, err
	}
	r, err := newIndexReader(f, s.base)
	if err != nil {
		return r, errors.Join(err, f.Close())
	}
	r.close = f.Close
	return r, nil
}

func newIndexReader(f File, base int64) (indexReader, error) {
	size, err := f.Size()
	if err != nil {
		return indexReader{}, err
	}
	var head [indexHeader]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:]) != string(indexHead(base)) {
		return indexReader{}, errIndex
	}
	return indexReader{file: f, count: (size - indexHeader) / indexEntrySize}, nil
}

func (r indexReader) entry(i int64) (indexEntry, error) {
	if i < 0 {
		return indexEntry{}, errIndex
	}
	var b [indexEntrySize]byte
	if _, err := r.file.ReadAt(b[:], indexHeader+i*indexEntrySize); err != nil {
		return indexEntry{}, err
	}
	return parseEntry(b[:]), nil
}

// search returns the number of the first entry for which after is true; after
// must be false for a first part of the entries and true for the rest. An
// entry that cannot be read counts as after.
func (r indexReader) search(after func(indexEntry) bool) int64 {
	return int64(sort.Search(int(r.count), func(i int) bool {
		e, err := r.entry(int64(i))
		return err != nil || after(e)
	}))
}

// start is the place of the segment's first batch.
func (s *segment) start() cursor { return cursor{segment: s.base, batch: s.base} }

// lookup returns the last place in the index for which after is false, or one
// so many entries before it, or the segment's start, where all can be found
// too.
func (s *segment) lookup(fsys FS, before int64, after func(indexEntry) bool) cursor {
	r, err := s.openIndex(fsys)
	if err != nil {
		return s.start()
	}
	defer r.close() //nolint:errcheck // it was read, not written
	e, err := r.entry(r.search(after) - 1 - before)
	if err != nil || after(e) || int64(e.pos) > s.size.Load() {
		return s.start()
	}
	return cursor{segment: s.base, pos: int64(e.pos), batch: s.base + int64(e.rel)}
}
