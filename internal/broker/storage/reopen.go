package storage

import (
	"errors"
	"fmt"
	"os"
)

// reopenOffline tries to bring back the partitions whose disk failed.
func (s *Store) reopenOffline() {
	for _, t := range s.Topics() {
		for _, p := range t.Partitions() {
			if p.Offline() == nil {
				continue
			}
			if err := p.reopen(); err != nil {
				s.log.Warn("partition stays offline", "topic", t.Name, "partition", p.index, "error", err)
				continue
			}
			s.log.Info("partition is back", "topic", t.Name, "partition", p.index)
			s.backOnline(p)
		}
	}
}

func (s *Store) backOnline(p *Partition) {
	if f := s.cfg.Events.Online; f != nil {
		f(p.topic.Name, p.index)
	}
}

// reopen loads the partition again as after a crash, from the same recovery
// point, and cuts it at what was acknowledged. After a failed fsync the
// kernel may call pages clean that never reached the disk, so everything
// behind the point is written again, to new files. A new incarnation keeps
// what failed from coming back out of the journal.
func (p *Partition) reopen() error {
	p.syncMu.Lock()
	defer p.syncMu.Unlock()
	p.filesMu.Lock()
	defer p.filesMu.Unlock()
	p.mu.Lock()
	if p.closed || p.offline == nil {
		p.mu.Unlock()
		return nil
	}
	err := p.reload()
	p.mu.Unlock()
	if err != nil {
		return err
	}
	// The point must be durable before anything new is acknowledged.
	if err := p.store.writeCheckpoint(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offline = nil
	return nil
}

// reload is called with every lock of the partition held.
func (p *Partition) reload() error {
	high := p.high.Load().offset
	if err := p.closeFiles(); err != nil {
		p.store.log.Warn("closing segments of an offline partition", "dir", p.dir, "error", err)
	}
	p.active, p.sealed, p.pending = nil, nil, nil
	start := p.start.Load()
	p.cursors.clear()
	if err := p.copyBehindPoint(high); err != nil {
		return err
	}
	pt := p.point
	pt.Producers = p.point.Producers.clone()
	if err := p.load(&pt); err != nil {
		return err
	}
	if p.next < high {
		if err := p.replayOwn(); err != nil {
			return err
		}
	}
	if p.next != high {
		return fmt.Errorf("%w: offset %d of %d", ErrCorrupt, p.next, high)
	}
	p.start.Store(max(start, p.start.Load()))
	if p.active == nil {
		p.point.Incarnation++
		return nil
	}
	for _, s := range p.sealed {
		if err := s.finish(); err != nil {
			return err
		}
		if err := s.close(); err != nil {
			return err
		}
	}
	p.sealed = nil
	for _, f := range []File{p.active.file, p.active.index.file} {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	if err := p.store.fs.SyncDir(p.dir); err != nil {
		return err
	}
	p.high.Store(&mark{offset: p.next, segment: p.active.base, pos: p.active.size.Load()})
	p.point = point{
		Next: p.next, Start: p.start.Load(), Segment: p.active.base, Pos: p.active.size.Load(),
		Incarnation: p.point.Incarnation + 1, Producers: p.producers.clone(),
	}
	return nil
}

// copyBehindPoint writes the segments from the recovery point on anew, up to
// the offset.
func (p *Partition) copyBehindPoint(high int64) error {
	bases, err := listSegments(p.store.fs, p.dir)
	if err != nil {
		return err
	}
	for _, base := range bases {
		if base < p.point.Segment {
			continue
		}
		path := segmentPath(p.dir, base)
		if base >= high && base > p.point.Segment {
			if err := removeSegment(p.store.fs, path); err != nil {
				return err
			}
			continue
		}
		known := int64(0)
		if base == p.point.Segment {
			known = p.point.Pos
		}
		if err := p.copySegment(path, known, high); err != nil {
			return err
		}
	}
	return nil
}

// copySegment copies known bytes as they are, and behind them every whole
// batch before the offset.
func (p *Partition) copySegment(path string, known, high int64) error {
	fsys := p.store.fs
	in, err := fsys.OpenFile(path+logSuffix, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	size, err := in.Size()
	if err != nil {
		return err
	}
	b, err := readUpTo(in, make([]byte, size), 0, size)
	if err != nil {
		return err
	}
	end := int(min(known, int64(len(b))))
	n, _, err := eachBatchIn(b[end:], known, func(_ int64, _ []byte, h *header) error {
		if h.base >= high {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return writeAside(fsys, path+logSuffix, b[:end+n])
}

// replayOwn looks in the journal for what the segments have lost. The caller
// holds p.mu.
func (p *Partition) replayOwn() error {
	journals, err := readJournals(p.store.fs, p.store.journal.dir)
	for _, j := range journals {
		if err == nil && j.gen >= p.store.journalFloor.Load() {
			err = j.each(maxMessage, func(e journaled) error {
				if e.topic != p.topic.ID || e.partition != p.index {
					return nil
				}
				return p.replay(e)
			})
		}
		_ = j.f.Close() // read only
	}
	return err
}
