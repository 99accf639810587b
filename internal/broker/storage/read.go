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
// bytes at most, and returns it longer; with one, a first batch that is larger
// comes all the same. Nothing is added when the offset is the high watermark. A batch that does not match its
// CRC ends what is returned; a read that starts in it is [ErrCorrupt].
func (p *Partition) Read(buf []byte, offset int64, max int, one bool) ([]byte, error) {
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
		out, large, err := p.readSegment(buf, segmentRead{p: p, s: segs[i], limit: segs[i].visible(high), offset: offset, max: max, one: one})
		if notExist(err) {
			return buf, ErrOffsetOutOfRange
		}
		if err != nil || large || len(out) > len(buf) {
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
	at, ok := p.cursors.find(offset, first.base)
	if !ok {
		at = first.lookup(p.store.fs, offset)
		p.cursors.put(cursor{offset: offset, segment: first.base, pos: at.pos, batch: at.batch})
	}
	n := first.visible(high) - at.pos
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

// lookup returns a place at or before the batch with the offset.
func (s *segment) lookup(fsys FS, offset int64) cursor {
	start := cursor{segment: s.base, batch: s.base}
	x, err := openIndex(fsys, s.path+indexSuffix, s.base)
	if err != nil {
		return start // it can be found without
	}
	defer x.close() //nolint:errcheck // it was read, not written
	e, ok := x.before(func(e indexEntry) bool { return s.base+int64(e.rel) > offset })
	if !ok || int64(e.pos) > s.size.Load() {
		return start
	}
	return cursor{segment: s.base, pos: int64(e.pos), batch: s.base + int64(e.rel)}
}

// readSegment reads one segment; large says that the batch is there, but
// larger than wanted.
func (p *Partition) readSegment(buf []byte, r segmentRead) (out []byte, large bool, err error) {
	s := r.s
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return buf, false, err
	}
	defer f.Close()
	at, ok := p.cursors.find(r.offset, s.base)
	if !ok {
		at = s.lookup(p.store.fs, r.offset)
	}
	r.f, r.expect = f, at.batch
	again := r
	out, err = r.from(buf, at.pos)
	if r.bad && at.pos > 0 && !p.store.isCorrupt(s, r.badAt) {
		// It may be the index that is wrong: the segment's start is sure.
		r = again
		r.expect = s.base
		out, err = r.from(buf, 0)
	}
	if r.bad {
		p.store.sawCorrupt(p, s, r.badAt)
	}
	if err == nil && len(out) > len(buf) {
		p.cursors.put(cursor{offset: r.next, segment: s.base, pos: r.end, batch: r.next})
	}
	return out, r.large, err
}

// segmentRead is one read of one segment.
type segmentRead struct {
	p      *Partition
	s      *segment
	f      File
	limit  int64
	offset int64
	max    int
	one    bool // a first batch larger than max is wanted

	expect int64 // offset of the next batch; -1: unknown
	next   int64 // offset behind what was read
	end    int64 // position behind it
	large  bool  // the next batch is larger than max
	bad    bool  // a corrupt batch was met
	badAt  int64 // where the first was
}

// good says whether a batch is what was written at this place. The CRC does
// not cover the offset, so that is compared with what it must be.
func (r *segmentRead) good(b []byte, h *header) bool {
	if !crcOK(b, h) {
		r.expect = -1
		return false
	}
	follows := r.expect < 0 || h.base == r.expect || h.base > r.expect && r.p.topic.Config().Compact
	if !follows || h.base < r.s.base {
		r.expect += int64(h.lastDelta) + 1
		return false
	}
	r.expect = h.end()
	return true
}

func (r *segmentRead) met(pos int64) {
	if !r.bad {
		r.bad, r.badAt = true, pos
	}
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
		r.large = need > r.max && !r.one
		if err != nil || r.large {
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
			return r.resync(here, at)
		}
		if !ok || h.size > len(rest) {
			return skip, keep, max(r.max, h.size, headerSize), nil
		}
		good := r.good(rest, &h)
		switch {
		case !good:
			r.met(here)
			if keep > 0 {
				return skip, keep, 0, nil
			}
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

// resync goes on behind a header that is none, at the next batch that can be
// found.
func (r *segmentRead) resync(here int64, at int) (skip, keep, need int, err error) {
	r.met(here)
	r.expect = -1
	next, err := findBatch(r.f, here, r.limit)
	return at + int(next-here), 0, r.max, err
}

func (r *segmentRead) corrupt(pos int64) error {
	return fmt.Errorf("%w: offset %d, %s before byte %d", ErrCorrupt, r.offset, r.s.path, pos)
}

// cursor says where to begin reading for an offset: pos is the place of the
// batch that starts at the offset batch.
type cursor struct {
	offset, segment, pos, batch int64
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

func (c *cursors) find(offset, segment int64) (cursor, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range min(c.n, len(c.ring)) {
		if v := c.ring[i]; v.offset == offset && v.segment == segment {
			return v, true
		}
	}
	return cursor{}, false
}

// clear forgets all: the files have changed.
func (c *cursors) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n = 0
}
