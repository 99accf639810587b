package storage

import (
	"fmt"
	"io"
)

// reopenOffline tries to bring back the partitions whose disk failed.
func (s *Store) reopenOffline() {
	for _, p := range s.partitions() {
		if p.Offline() == nil {
			continue
		}
		if err := p.reopen(); err != nil {
			s.log.Warn("partition stays offline", "topic", p.topic.Name, "partition", p.index, "error", err)
			continue
		}
		s.log.Info("partition is back", "topic", p.topic.Name, "partition", p.index)
		s.tellOffline(p, nil)
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
	high, start := p.high.Load().offset, p.start.Load()
	if err := p.closeFiles(); err != nil {
		p.store.log.Warn("closing segments of an offline partition", "dir", p.dir, "error", err)
	}
	p.active, p.sealed, p.pending = nil, nil, nil
	p.cursors.clear()
	if err := p.copyBehindPoint(high); err != nil {
		return err
	}
	if err := p.load(p.point); err != nil {
		return err
	}
	if p.next < high { // the journal has what the segments have lost
		_, err := p.store.replay(p.store.journalFloor.Load(), func(e journaled) error {
			if e.topic != p.topic.ID || e.partition != p.index {
				return nil
			}
			return p.replay(e)
		})
		if err != nil {
			return err
		}
	}
	if p.next < high && p.store.cfg.Relaxed {
		p.store.log.Error("records that were not synced are lost", "dir", p.dir, "from", p.next, "to", high)
		lost := p.tail()
		p.high.Store(&lost)
	} else if p.next != high {
		return fmt.Errorf("%w: offset %d of %d", ErrCorrupt, p.next, high)
	}
	p.start.Store(min(max(start, p.start.Load()), p.next))
	if p.active != nil {
		sn := p.snapshot(true)
		sn.dirEntry = true
		if err := p.sync(sn, true); err != nil {
			return err
		}
		p.accept(sn, true)
		p.high.Store(&sn.at)
	}
	p.point.Incarnation++
	return nil
}

// copyBehindPoint writes the segments from the recovery point on anew, up to
// the offset. What is torn is copied too: load cuts it, and keeps it.
func (p *Partition) copyBehindPoint(high int64) error {
	fsys := p.store.fs
	segs, err := listSegments(fsys, p.dir)
	if err != nil {
		return err
	}
	for _, s := range segs {
		known := int64(0)
		switch {
		case s.base < p.point.Segment:
			continue
		case s.base == p.point.Segment:
			known = p.point.Pos
		case s.base >= high:
			if err := s.remove(fsys); err != nil {
				return err
			}
			continue
		}
		if err := p.copyUpTo(s, known, high); err != nil {
			return err
		}
	}
	return nil
}

// copyUpTo writes the segment's file anew, up to the batch, behind the known
// bytes, that begins at the offset.
func (p *Partition) copyUpTo(s *segment, known, high int64) error {
	f, size, err := openRead(p.store.fs, s.path+logSuffix)
	if err != nil {
		return err
	}
	defer f.Close()
	end := size
	err = walk(f, min(known, size), size, func(pos int64, _ []byte, h *header) error {
		if h.base < high {
			return nil
		}
		end = pos
		return errEnough
	}, nil)
	if err != nil {
		return err
	}
	return writeAside(p.store.fs, s.path+logSuffix, io.NewSectionReader(f, 0, end))
}
