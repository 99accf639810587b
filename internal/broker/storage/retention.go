package storage

import (
	"slices"
	"time"
)

// enforceRetention removes what is too old, too much, or over the budget, and
// compacts what is to be compacted.
func (s *Store) enforceRetention() {
	now := s.now()
	for _, p := range s.partitions() {
		cfg := p.topic.Config()
		p.retain(cfg, now)
		if cfg.Compact {
			p.compact(cfg, now)
		}
	}
	s.enforceBudget()
}

// retain applies the topic's own limits to the partition.
func (p *Partition) retain(cfg *Config, now time.Time) {
	p.rollByAge(cfg, now)
	excess := p.Size() - cfg.RetentionBytes
	oldest := now.UnixMilli() - cfg.RetentionMs
	n := 0
	for i, s := range *p.segments.Load() {
		size, newest := s.size.Load(), s.maxTime.Load()
		if size == 0 {
			continue // all of it was compacted away, or it is new
		}
		old := newest >= 0 && newest < oldest
		much := excess >= size // whole segments go while there is more than one too much
		deleted := s.end.Load() <= p.start.Load()
		if !old && !much && !deleted {
			break
		}
		excess -= size
		n = i + 1
	}
	if n > 0 {
		p.remove(n, "retention")
	}
}

// rollByAge starts a new segment when the active one holds something that is
// too old for it to be written on, so that it can go.
func (p *Partition) rollByAge(cfg *Config, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writable() != nil || p.active == nil || p.active.size.Load() == 0 {
		return
	}
	ms := now.UnixMilli()
	old := ms-p.active.begun(ms) > min(cfg.SegmentMs, cfg.RetentionMs)
	deleted := p.active.end.Load() <= p.start.Load()
	if old || deleted {
		p.rollOrFail()
	}
}

func (p *Partition) rollOrFail() {
	if err := p.roll(); err != nil {
		p.fail(err)
		return
	}
	p.store.dirty.Store(true)
}

// remove deletes the first n segments, as far as a checkpoint has passed them:
// the active one and what recovery still needs stay. It returns the bytes it
// freed.
func (p *Partition) remove(n int, why string) int64 {
	p.filesMu.RLock() // until they are gone: the folder may be another's after a deletion
	defer p.filesMu.RUnlock()
	p.mu.Lock()
	gone := p.whole()
	gone = gone[:min(n, len(gone))]
	if len(gone) == 0 || p.writable() != nil {
		p.mu.Unlock()
		return 0
	}
	rest := slices.Clone((*p.segments.Load())[len(gone):])
	p.segments.Store(&rest)
	p.start.Store(max(p.start.Load(), rest[0].base))
	p.mu.Unlock()

	var freed int64
	for _, s := range gone {
		freed += s.size.Load()
		if err := s.remove(p.store.fs); err != nil {
			p.store.log.Warn("removing segment", "segment", s.path, "error", err)
		}
	}
	if f := p.store.cfg.Events.Removed; f != nil {
		f(p.topic.Name, freed, why)
	}
	return freed
}

// DeleteBefore removes the records before the offset; -1 is the high
// watermark. It is durable when DeleteBefore returns the new first offset.
func (p *Partition) DeleteBefore(offset int64) (int64, error) {
	p.mu.Lock()
	high := p.high.Load().offset
	if offset == -1 {
		offset = high
	}
	err := p.writable()
	if err == nil && (offset < 0 || offset > high) {
		err = ErrOffsetOutOfRange
	}
	if err == nil {
		p.start.Store(max(p.start.Load(), offset))
		p.store.dirty.Store(true)
	}
	p.mu.Unlock()
	if err != nil {
		return 0, err
	}
	if err := p.store.checkpoint(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.writable(); err != nil { // its point may be that of before
		return 0, err
	}
	return p.start.Load(), nil
}
