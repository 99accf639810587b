package storage

import (
	"errors"
	"fmt"
	"time"
)

// producerExpiry is how long a silent idempotent producer is remembered.
const producerExpiry = 24 * time.Hour

// recover brings every partition to the state that was acknowledged: the
// segments are read from the last checkpoint's points on, cut at the first
// batch that is torn, and what they lost comes back from the journal. It ends
// with a checkpoint, so that a crash during recovery changes nothing.
func (s *Store) recover() error {
	doc, err := s.readCheckpoint()
	if err != nil {
		return err
	}
	for _, t := range s.Topics() {
		points := doc.Partitions[fmt.Sprintf("%x", t.ID)]
		for _, p := range t.Partitions() {
			var pt *point
			if v, ok := points[p.index]; ok {
				pt = &v
			}
			if err := p.load(pt); err != nil {
				return fmt.Errorf("recovering %s: %w", p.dir, err)
			}
		}
	}
	last, err := s.replayJournals(doc.Journal)
	if err != nil {
		return err
	}
	for _, t := range s.Topics() {
		for _, p := range t.Partitions() {
			p.settleRecovered()
		}
	}
	s.journal.nextGen = max(last, doc.Journal) + 1
	s.journalFloor.Store(doc.Journal)
	if err := s.journal.open(); err != nil {
		return err
	}
	return s.checkpoint()
}

// replayJournals gives what the journal holds back to the segments, and
// returns the newest generation.
func (s *Store) replayJournals(floor uint64) (last uint64, err error) {
	journals, err := readJournals(s.fs, s.journal.dir)
	defer func() {
		for _, j := range journals {
			err = errors.Join(err, j.f.Close())
		}
	}()
	if err != nil {
		return 0, fmt.Errorf("reading journals: %w", err)
	}
	for _, j := range journals {
		last = max(last, j.gen)
		if j.gen < floor {
			continue
		}
		if err := j.each(maxMessage, s.replay); err != nil {
			return 0, fmt.Errorf("replaying journal %d: %w", j.gen, err)
		}
	}
	return last, nil
}

func (s *Store) replay(e journaled) error {
	t := s.byID[e.topic]
	if t == nil {
		return nil // deleted
	}
	p := t.Partition(e.partition)
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.replay(e)
}

// replay appends a batch from the journal if it is the partition's next. One
// before is there already; one behind a gap was never acknowledged, since
// what came before it is not here. The caller holds p.mu.
func (p *Partition) replay(e journaled) error {
	h, ok := parseHeader(e.batch)
	if !ok || h.size != len(e.batch) || h.base != p.next || e.incarnation != p.point.Incarnation || !crcOK(e.batch, &h) {
		return nil
	}
	return p.write(e.batch, &h, p.topic.Config(), p.store.now())
}

// settleRecovered makes all that recovery found readable.
func (p *Partition) settleRecovered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := mark{offset: p.next}
	if p.active != nil {
		m.segment, m.pos = p.active.base, p.active.size.Load()
	}
	p.high.Store(&m)
}

// load reads the partition's folder. Segments before the point are taken as
// they are, the rest is read and cut where it is torn.
func (p *Partition) load(pt *point) error {
	if err := finishSwaps(p.store.fs, p.dir); err != nil {
		return err
	}
	bases, err := listSegments(p.store.fs, p.dir)
	if err != nil {
		return err
	}
	if pt != nil {
		p.point = *pt
		p.producers = pt.Producers.clone()
	}
	p.next = p.point.Next
	var segs []*segment
	for i, base := range bases {
		s := &segment{base: base, path: segmentPath(p.dir, base)}
		last := i == len(bases)-1
		known := base < p.point.Segment || p.store.scanAll && !last
		if !known && !p.store.scanAll && len(segs) > 0 && base > p.point.Segment && base != p.next {
			// What is before it is torn, so it was never acknowledged.
			if err := p.setAside(bases[i:]); err != nil {
				return err
			}
			break
		}
		if known {
			err = p.loadKnown(s, bases[i+1:])
		} else {
			err = p.scan(s, last)
		}
		if err != nil {
			return err
		}
		segs = append(segs, s)
	}
	return p.loaded(segs)
}

// loadKnown takes in a segment that is known to be whole. Where it ends is in
// its index, and must agree with where the following begin.
func (p *Partition) loadKnown(s *segment, following []int64) error {
	if s.loadSealed(p.store.fs) && (len(following) == 0 ||
		s.end.Load() == following[0] || s.end.Load() < following[0] && p.topic.Config().Compact) {
		return nil
	}
	p.store.log.Warn("index is made again", "segment", s.path)
	if err := s.open(p.store.fs, 0); err != nil {
		return err
	}
	size, err := s.file.Size()
	if err == nil {
		err = s.reindex(size)
	}
	if err == nil {
		if len(following) > 0 && !p.topic.Config().Compact {
			s.end.Store(following[0])
		}
		err = s.finish()
	}
	return errors.Join(err, s.close())
}

// finish seals a segment and makes it durable.
func (s *segment) finish() error {
	return errors.Join(s.seal(), s.file.Sync(), s.index.file.Sync())
}

// loaded takes the segments into service; the last is written on.
func (p *Partition) loaded(segs []*segment) error {
	p.start.Store(p.point.Start)
	if len(segs) == 0 {
		if p.next == 0 {
			return nil // nothing was ever appended
		}
		p.store.log.Error("segments are missing", "dir", p.dir, "next_offset", p.next)
		p.start.Store(p.next)
		return p.roll()
	}
	p.segments.Store(&segs)
	p.start.Store(max(p.point.Start, segs[0].base))
	p.active = segs[len(segs)-1]
	if p.active.file == nil {
		if err := p.active.open(p.store.fs, 0); err != nil {
			return err
		}
		return p.roll()
	}
	if p.active.size.Load() > 0 && p.active.end.Load() < p.next {
		return p.roll() // the file lost its end: within a segment offsets have no gap
	}
	return nil
}

// scan takes in a segment that recovery has to read: up to the recovery point
// it is known to be whole, behind that it is cut at the first batch that is
// not.
func (p *Partition) scan(s *segment, last bool) error {
	if err := s.open(p.store.fs, 0); err != nil {
		return err
	}
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	s.end.Store(s.base)
	s.maxTime.Store(-1)
	if s.base == p.point.Segment && p.point.Pos > 0 {
		if size < p.point.Pos {
			p.store.log.Error("segment is shorter than its checkpoint", "segment", s.path, "size", size, "want", p.point.Pos)
		}
		if err := s.resume(p.point, min(size, p.point.Pos)); err != nil {
			return err
		}
	} else if err := s.index.reset(s.base); err != nil {
		return err
	}
	stop, err := walk(s.file, s.size.Load(), size, func(pos int64, _ []byte, h *header) error {
		if h.base != max(s.end.Load(), p.next) {
			return errMisplaced
		}
		p.producers.note(h, p.store.now())
		return s.accept(pos, h)
	})
	if err != nil {
		return err
	}
	p.next = max(p.next, s.end.Load())
	if stop < size {
		if err := p.cut(s, stop, size); err != nil {
			return err
		}
	}
	if last {
		return nil
	}
	// It may still become the last one, if what follows is set aside.
	return s.finish()
}

// resume sets the segment to the recovery point: what comes before it is
// known to be whole, or is bad and keeps its place.
func (s *segment) resume(pt point, pos int64) error {
	last, whole, err := s.index.cut(s.base, pos)
	if err != nil {
		return err
	}
	if !whole {
		return s.reindex(pos)
	}
	// The largest timestamp is in the index only up to its last entry; the
	// few batches behind that are read for theirs.
	s.maxTime.Store(last.maxTime)
	err = walkOver(s.file, s.index.last, pos, func(_ int64, _ []byte, h *header) error {
		s.maxTime.Store(max(s.maxTime.Load(), h.maxTime))
		return nil
	}, nil)
	s.size.Store(pos)
	s.end.Store(max(s.base, pt.Next))
	return err
}

// reindex makes the index of the first size bytes again. A batch that is bad
// keeps its place, and reading goes on at the next that can be found: only the
// end of the log is ever cut.
func (s *segment) reindex(size int64) error {
	if err := s.index.reset(s.base); err != nil {
		return err
	}
	s.end.Store(s.base)
	s.maxTime.Store(-1)
	err := walkOver(s.file, 0, size, func(pos int64, _ []byte, h *header) error {
		if h.base < s.end.Load() {
			return errMisplaced
		}
		return s.accept(pos, h)
	}, nil)
	if err != nil {
		return err
	}
	s.size.Store(size)
	return nil
}

// cut ends the segment at pos. If whole batches lie behind the torn one, the
// bytes are kept aside for a person to look at.
func (p *Partition) cut(s *segment, pos, size int64) error {
	p.store.log.Warn("torn end is cut", "segment", s.path, "position", pos, "bytes", size-pos)
	next, err := findBatch(s.file, pos, size)
	if err != nil {
		return err
	}
	if next < size {
		name := fmt.Sprintf("%s-%d%s", s.path, pos, cutSuffix)
		p.store.log.Error("batches behind a torn one are set aside", "file", name)
		tail, err := readUpTo(s.file, make([]byte, size-pos), pos, size)
		if err != nil {
			return err
		}
		if err := writeAside(p.store.fs, name, tail); err != nil {
			return err
		}
	}
	return s.file.Truncate(pos)
}

// setAside takes segments out of the log that follow a torn one.
func (p *Partition) setAside(bases []int64) error {
	for _, base := range bases {
		path := segmentPath(p.dir, base)
		size, err := fileSize(p.store.fs, path+logSuffix)
		if err != nil {
			return err
		}
		if size == 0 {
			err = p.store.fs.Remove(path + logSuffix)
		} else {
			p.store.log.Error("segment behind a torn one is set aside", "segment", path)
			err = p.store.fs.Rename(path+logSuffix, path+cutSuffix)
		}
		if err == nil {
			err = p.store.fs.Remove(path + indexSuffix)
		}
		if err != nil && !notExist(err) {
			return err
		}
	}
	return p.store.fs.SyncDir(p.dir)
}
