package storage

import (
	"os"
	"slices"
)

// OffsetForTime returns the offset and the timestamp of the first record that
// can be read and is not older than ms (milliseconds since 1970); -1, -1 when
// there is none.
func (p *Partition) OffsetForTime(ms int64) (offset, timestamp int64, err error) {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	high := p.high.Load()
	offset, timestamp = -1, -1
	for _, s := range *p.segments.Load() {
		err = p.eachSince(s, s.visible(high), ms, func(b []byte, h *header) error {
			err := eachRecord(b, h, func(r *Record) bool {
				if r.Time >= ms && r.Offset >= p.start.Load() {
					offset, timestamp = r.Offset, r.Time
				}
				return offset < 0
			})
			if offset >= 0 {
				return errEnough
			}
			return err
		})
		if err != nil || offset >= 0 {
			return offset, timestamp, err
		}
	}
	return -1, -1, nil
}

// MaxTimestamp returns the largest timestamp and the offset of the first record
// that has it; -1, -1 when there is none.
func (p *Partition) MaxTimestamp() (offset, timestamp int64, err error) {
	latest, err := p.latest()
	if err != nil || latest < 0 {
		return -1, -1, err
	}
	return p.OffsetForTime(latest)
}

// latest returns the largest timestamp, -1 when there is none. What segments
// know is no more than a bound: they hold records that were deleted, and such
// as cannot be seen yet.
func (p *Partition) latest() (ms int64, err error) {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	high := p.high.Load()
	ms = -1
	look := func(b []byte, h *header) error {
		if h.count == 0 {
			return nil
		}
		if h.base >= p.start.Load() {
			ms = max(ms, h.maxTime)
			return nil
		}
		return eachRecord(b, h, func(r *Record) bool {
			if r.Offset >= p.start.Load() {
				ms = max(ms, r.Time)
			}
			return true
		})
	}
	for _, s := range slices.Backward(*p.segments.Load()) {
		// Mostly it is as the segment knows, and near a place in the index.
		for _, known := range []int64{s.maxTime.Load(), 0} {
			if err := p.eachSince(s, s.visible(high), max(known, ms+1), look); err != nil {
				return ms, err
			}
		}
	}
	return ms, nil
}

// eachSince calls fn for the batches of a segment, up to limit, that are not
// all older than ms.
func (p *Partition) eachSince(s *segment, limit, ms int64, fn func(b []byte, h *header) error) error {
	if s.maxTime.Load() < ms || s.end.Load() <= p.start.Load() {
		return nil
	}
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if notExist(err) { // retention was faster
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// From the entry before the right one on, since one may be wrong.
	from := s.lookup(p.store.fs, 1, func(e indexEntry) bool { return e.maxTime >= ms })
	if from != s.start() && !from.begins(f) {
		from = s.start()
	}
	bad, err := p.walkFrom(f, s, from, limit, func(_ int64, b []byte, h *header) error {
		if h.maxTime < ms || h.end() <= p.start.Load() {
			return nil
		}
		return fn(b, h)
	})
	if bad >= 0 {
		p.store.sawCorrupt(p, s, bad)
	}
	return err
}

// begins says whether the batch that the place is of begins there.
func (c cursor) begins(f File) bool {
	b := make([]byte, headerSize)
	_, err := f.ReadAt(b, c.pos)
	h, ok := parseHeader(b)
	return err == nil && ok && h.base == c.batch
}
