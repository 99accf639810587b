package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// Read appends to buf whole batches from the one with the offset on, max
// bytes at most but one batch at least, and returns it longer. Nothing is
// added when the offset is the high watermark. A batch that does not match its
// CRC ends what is returned; a read that starts in it is [ErrCorrupt].
func (p *Partition) Read(buf []byte, offset int64, max int) ([]byte, error) {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	high := p.high.Load()
	if offset < p.start.Load() || offset > high.offset {
		return buf, ErrOffsetOutOfRange
	}
	if offset == high.offset {
		return buf, nil
	}
	segs := *p.segments.Load()
	for i := findSegment(segs, offset); ; i++ {
		if i < 0 {
			return buf, ErrOffsetOutOfRange // retention was faster
		}
		if i >= len(segs) || segs[i].base > high.segment {
			return buf, nil
		}
		out, err := p.readSegment(buf, segs[i], segs[i].visible(high), offset, max)
		if notExist(err) {
			return buf, ErrOffsetOutOfRange
		}
		if err != nil || len(out) > len(buf) {
			return out, err
		}
		if i+1 < len(segs) { // compaction left nothing at the segment's end
			offset = segs[i+1].base
		}
	}
}

// Available returns, without reading them, about how many bytes lie between
// the offset and the high watermark; limit ends the counting.
func (p *Partition) Available(offset int64, limit int64) int64 {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	high := p.high.Load()
	if offset >= high.offset || offset < p.start.Load() {
		return 0
	}
	segs := *p.segments.Load()
	i := findSegment(segs, offset)
	if i < 0 {
		return 0
	}
	first := segs[i]
	pos, ok := p.cursors.find(offset, first.base)
	if !ok {
		pos = first.lookup(p.store.fs, offset)
		p.cursors.put(cursor{offset: offset, segment: first.base, pos: pos})
	}
	n := first.visible(high) - pos
	for _, s := range segs[i+1:] {
		if n >= limit {
			break
		}
		n += s.visible(high)
	}
	return n
}

// visible is how much of the segment lies before the high watermark.
func (s *segment) visible(high *mark) int64 {
	switch {
	case s.base < high.segment:
		return s.size.Load()
	case s.base == high.segment:
		return high.pos
	default:
		return 0
	}
}

// lookup returns a position at or before the batch with the offset.
func (s *segment) lookup(fsys FS, offset int64) int64 {
	x, err := openIndex(fsys, s.path+indexSuffix, s.base)
	if err != nil {
		return 0 // it can be found without
	}
	defer x.close()
	return x.before(func(e indexEntry) bool { return s.base+int64(e.rel) > offset })
}

func (p *Partition) readSegment(buf []byte, s *segment, limit, offset int64, max int) ([]byte, error) {
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	pos, ok := p.cursors.find(offset, s.base)
	if !ok {
		pos = s.lookup(p.store.fs, offset)
	}
	r := segmentRead{p: p, s: s, f: f, limit: limit, offset: offset, max: max}
	out, err := r.from(buf, pos)
	if err == nil && len(out) > len(buf) {
		p.cursors.put(cursor{offset: r.next, segment: s.base, pos: r.end})
	}
	return out, err
}

// segmentRead is one read of one segment.
type segmentRead struct {
	p      *Partition
	s      *segment
	f      File
	limit  int64
	offset int64
	max    int

	next int64 // offset behind what was read
	end  int64 // position behind it
	bad  bool  // a corrupt batch was passed before the offset was found
}

// from reads at pos, which is at or before the offset.
func (r *segmentRead) from(buf []byte, pos int64) ([]byte, error) {
	have := len(buf)
	want := r.max
	for pos < r.limit {
		n := min(int64(max(want, headerSize)), r.limit-pos)
		buf = slices.Grow(buf[:have], int(n))[:have+int(n)]
		if got, err := r.f.ReadAt(buf[have:], pos); err != nil && !(errors.Is(err, io.EOF) && got == int(n)) {
			return buf[:have], fmt.Errorf("reading %s: %w", r.s.path, err)
		}
		skip, keep, need, err := r.trim(buf[have:], pos)
		if keep > 0 {
			if skip > 0 {
				copy(buf[have:], buf[have+skip:have+skip+keep])
			}
			return buf[:have+keep], nil
		}
		if err != nil {
			return buf[:have], err
		}
		pos += int64(skip)
		want = need
	}
	if r.bad {
		return buf[:have], r.corrupt(pos)
	}
	return buf[:have], nil
}

// trim finds in b, read at pos, the whole batches to return: keep bytes behind
// skip. If there are none, reading goes on behind skip, with at least need
// bytes.
func (r *segmentRead) trim(b []byte, pos int64) (skip, keep, need int, err error) {
	for at := 0; at < len(b); {
		rest := b[at:]
		h, ok := parseHeader(rest)
		here := pos + int64(at)
		if !ok && (len(rest) >= headerSize || here+headerSize > r.limit) || here+int64(h.size) > r.limit {
			if keep > 0 {
				return skip, keep, 0, nil
			}
			return r.resync(pos, at)
		}
		if !ok || h.size > len(rest) {
			return skip, keep, max(r.max, h.size, headerSize), nil
		}
		good := crcOK(rest, &h)
		switch {
		case keep > 0 && !good:
			return skip, keep, 0, nil
		case !good:
			r.bad = true
			r.p.store.sawCorrupt(r.p, r.s, here)
		case h.end() > r.offset:
			if keep == 0 && r.bad && h.base > r.offset {
				return skip, 0, 0, r.corrupt(here)
			}
			keep += h.size
			r.next, r.end = h.end(), here+int64(h.size)
		}
		at += h.size
		if keep == 0 {
			skip = at
		}
	}
	return skip, keep, r.max, nil
}

// resync goes on behind a header that is none, at the next place the index
// knows.
func (r *segmentRead) resync(pos int64, at int) (skip, keep, need int, err error) {
	r.bad = true
	here := pos + int64(at)
	r.p.store.sawCorrupt(r.p, r.s, here)
	next := r.limit
	if x, err := openIndex(r.p.store.fs, r.s.path+indexSuffix, r.s.base); err == nil {
		next = x.next(here, r.limit)
		_ = x.close() // read only
	}
	return int(next - pos), 0, r.max, nil
}

func (r *segmentRead) corrupt(pos int64) error {
	return fmt.Errorf("%w: offset %d, %s before byte %d", ErrCorrupt, r.offset, r.s.path, pos)
}

// cursor says where the batch that starts at an offset lies.
type cursor struct {
	offset, segment, pos int64
}

// cursors remembers a few places: where readers stopped, where batches were
// appended. Whoever goes on from there needs no index.
type cursors struct {
	mu   sync.Mutex
	ring [16]cursor
	n    int
}

func (c *cursors) put(v cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ring[c.n%len(c.ring)] = v
	c.n++
}

func (c *cursors) find(offset, segment int64) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range min(c.n, len(c.ring)) {
		if v := c.ring[i]; v.offset == offset && v.segment == segment {
			return v.pos, true
		}
	}
	return 0, false
}

// clear forgets all: the files have changed.
func (c *cursors) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = 0
}
