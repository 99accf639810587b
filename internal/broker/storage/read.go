package storage

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
)

// Read appends to buf whole batches from the one with the offset on, most
// bytes or fewer, and returns it longer; with one, a first batch that is larger
// comes all the same. Nothing is added when the offset is the high watermark. A
// batch that is not what was written ends what is returned; a read that starts
// in it is [ErrCorrupt].
func (p *Partition) Read(buf []byte, offset int64, most int, one bool) (out []byte, err error) {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	defer func() {
		if notExist(err) { // retention was faster
			err = ErrOffsetOutOfRange
		}
	}()
	high := p.high.Load()
	if offset < p.start.Load() || offset > high.offset {
		return buf, ErrOffsetOutOfRange
	}
	if offset == high.offset {
		return buf, nil
	}
	segs := *p.segments.Load()
	first := findSegment(segs, offset)
	if first < 0 {
		return buf, ErrOffsetOutOfRange
	}
	for _, s := range segs[first:] {
		limit := s.visible(high)
		at, err := p.locate(s, limit, offset)
		if err != nil {
			return buf, err
		}
		if at.pos < limit { // else compaction left nothing at the segment's end
			return p.readBatches(buf, s, at, limit, most, one)
		}
	}
	return buf, nil
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
	visible := segs[i].visible(high)
	at, err := p.locate(segs[i], visible, offset)
	if err != nil {
		return limit // for a read to say
	}
	n := visible - at.pos
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

// locate returns the place of the batch with the offset, or of the next one if
// compaction took that; limit, when there is none. A bad batch in the place is
// [ErrCorrupt].
func (p *Partition) locate(s *segment, limit, offset int64) (cursor, error) {
	if at, ok := p.cursors.find(offset, s.base); ok && at.pos < limit { // at limit, the file may have lost its end
		return at, nil
	}
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return cursor{}, err
	}
	defer f.Close()
	from := s.lookup(p.store.fs, 0, func(e indexEntry) bool { return s.base+int64(e.rel) > offset })
	at, bad, err := p.search(f, s, from, limit, offset)
	if bad >= 0 && from != s.start() && !p.store.isCorrupt(s, bad) {
		// It may be the index that is wrong.
		at, bad, err = p.search(f, s, s.start(), limit, offset)
	}
	if bad >= 0 {
		p.store.sawCorrupt(p, s, bad)
	}
	if err == nil {
		p.cursors.put(at)
	}
	return at, err
}

// search is locate from a place on. bad is where the first bad batch was, -1
// if there was none.
func (p *Partition) search(f File, s *segment, from cursor, limit, offset int64) (at cursor, bad int64, err error) {
	at = cursor{offset: offset, segment: s.base, pos: limit, batch: offset}
	bad, err = p.walkFrom(f, s, from, limit, func(pos int64, _ []byte, h *header) error {
		if h.end() <= offset {
			return nil
		}
		at.pos, at.batch = pos, h.base
		return errEnough
	})
	if bad < 0 && at.pos == limit && !p.topic.hasGaps() {
		bad = limit // the file has lost its end
	}
	if err == nil && bad >= 0 && (at.pos == limit || at.batch > offset) {
		err = s.corrupt(offset, bad)
	}
	return at, bad, err
}

// walkFrom is walk over the batches that lie where they belong. bad is where
// the first was that does not, -1 if there was none.
func (p *Partition) walkFrom(f File, s *segment, from cursor, limit int64, fn batchFunc) (bad int64, err error) {
	bad = -1
	expect, gap := from.batch, false
	err = walk(f, from.pos, limit, func(pos int64, b []byte, h *header) error {
		misled := pos == from.pos && from != s.start() && h.base != from.batch // even over a gap that compaction left
		if misled || !p.follows(s, h, expect, gap) {
			return errMisplaced
		}
		expect, gap = h.end(), false
		return fn(pos, b, h)
	}, func(from, _ int64) {
		if gap = true; bad < 0 {
			bad = from
		}
	})
	return bad, err
}

// follows says whether a batch may lie where the segment is to go on with the
// offset, or behind it if there is a gap. The CRC does not cover its own.
func (p *Partition) follows(s *segment, h *header, offset int64, gap bool) bool {
	return h.end() <= s.end.Load() && (h.base == offset || h.base > offset && (gap || p.topic.hasGaps()))
}

func (s *segment) corrupt(offset, pos int64) error {
	return fmt.Errorf("%w: offset %d, %s at byte %d", ErrCorrupt, offset, s.path, pos)
}

// readBatches appends to buf what lies at the place, up to limit.
func (p *Partition) readBatches(buf []byte, s *segment, at cursor, limit int64, most int, one bool) ([]byte, error) {
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return buf, err
	}
	defer f.Close()
	have := len(buf)
	for want := fitting(f, at.pos, most); ; {
		want = int(min(int64(want), limit-at.pos))
		buf = slices.Grow(buf[:have], want)
		b, err := readUpTo(f, buf[have:have+want], at.pos, limit)
		if err != nil {
			return buf[:have], fmt.Errorf("reading %s: %w", s.path, err)
		}
		expect := at.batch
		n, need, err := eachBatchIn(b, at.pos, func(_ int64, _ []byte, h *header) error {
			if !p.follows(s, h, expect, false) {
				return errMisplaced
			}
			expect = h.end()
			return nil
		})
		if err != nil {
			return buf[:have], err
		}
		if n > 0 {
			p.cursors.put(cursor{offset: expect, segment: s.base, pos: at.pos + int64(n), batch: expect})
			return buf[:have+n], nil
		}
		if need <= want || int64(need) > limit-at.pos {
			p.store.sawCorrupt(p, s, at.pos)
			return buf[:have], s.corrupt(at.offset, at.pos)
		}
		if !one {
			return buf[:have], nil
		}
		want = need
	}
}

// fitting returns how many of most bytes whole batches will fill, if all are as
// large as the first: of large ones half would be read in vain. It is a guess.
func fitting(f io.ReaderAt, pos int64, most int) int {
	const small = 64 << 10
	if most < small {
		return max(most, headerSize)
	}
	b := make([]byte, headerSize)
	_, err := f.ReadAt(b, pos)
	h, ok := parseHeader(b)
	if err != nil || !ok {
		return most
	}
	return max(most/h.size*h.size, headerSize)
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
