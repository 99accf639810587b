package storage

import "os"

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
	high, latest := p.high.Load(), int64(-1)
	for _, s := range *p.segments.Load() {
		if s.visible(high) > 0 {
			latest = max(latest, s.maxTime.Load())
		}
	}
	return p.OffsetForTime(latest)
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
	pos := s.lookup(p.store.fs, func(e indexEntry) bool { return e.maxTime >= ms }).pos
	offset, timestamp = -1, -1
	err = walk(f, pos, limit, func(_ int64, b []byte, h *header) error {
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
	return offset, timestamp, err
}
