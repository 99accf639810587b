package storage

import (
	"errors"
	"os"
)

// OffsetForTime returns the offset and the timestamp of the first record that
// is not older than ms (milliseconds since 1970); -1, -1 when there is none.
func (p *Partition) OffsetForTime(ms int64) (offset, timestamp int64, err error) {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	high := p.high.Load()
	for _, s := range *p.segments.Load() {
		if s.maxTime.Load() < ms || s.end.Load() <= p.start.Load() {
			continue
		}
		offset, timestamp, err = p.searchTime(s, s.visible(high), ms)
		if err != nil || offset >= 0 {
			return offset, timestamp, err
		}
	}
	return -1, -1, nil
}

// MaxTimestamp returns the largest timestamp and the offset of its record;
// -1, -1 when there is none.
func (p *Partition) MaxTimestamp() (offset, timestamp int64, err error) {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	high := p.high.Load()
	var newest *segment
	for _, s := range *p.segments.Load() {
		if s.visible(high) > 0 && (newest == nil || s.maxTime.Load() > newest.maxTime.Load()) {
			newest = s
		}
	}
	if newest == nil {
		return -1, -1, nil
	}
	return p.searchTime(newest, newest.visible(high), newest.maxTime.Load())
}

// searchTime looks in a segment, up to limit, for the first record not older
// than ms.
func (p *Partition) searchTime(s *segment, limit, ms int64) (offset, timestamp int64, err error) {
	f, err := p.store.fs.OpenFile(s.path+logSuffix, os.O_RDONLY, 0)
	if notExist(err) {
		return -1, -1, nil
	}
	if err != nil {
		return -1, -1, err
	}
	defer f.Close()
	var pos int64
	if x, err := openIndex(p.store.fs, s.path+indexSuffix, s.base); err == nil {
		if e, ok := x.before(func(e indexEntry) bool { return e.maxTime >= ms }); ok {
			pos = int64(e.pos)
		}
		_ = x.close() // read only
	}
	offset, timestamp = -1, -1
	err = walkOver(f, pos, limit, func(_ int64, b []byte, h *header) error {
		if h.maxTime < ms {
			return nil
		}
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
	}, nil)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return offset, timestamp, err
}
