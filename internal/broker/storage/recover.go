package storage

import (
	"errors"
	"fmt"
	"math"
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
	for _, p := range s.partitions() {
		if err := p.recover(doc.point(p)); err != nil {
			return errors.Join(fmt.Errorf("recovering %s: %w", p.dir, err), s.suspect(doc, p))
		}
	}
	s.scanAll = false // with the checkpoint below every partition has a point again
	last, err := s.replay(doc.Journal, func(e journaled) error {
		t := s.byID[e.topic]
		if t == nil || t.Partition(e.partition) == nil {
			return nil // deleted
		}
		return t.Partition(e.partition).replay(e)
	})
	if err != nil {
		return err
	}
	for _, p := range s.partitions() {
		readable := p.tail()
		p.high.Store(&readable)
	}
	// A crash may have left entries of a file whose header it lost: none of
	// those generations is given again.
	s.journal.nextGen = max(last, doc.Journal) + 1 + journalMaxFiles
	s.journalFloor.Store(doc.Journal)
	if err := s.journal.open(doc.Journal); err != nil {
		return err
	}
	return s.checkpoint()
}

// suspect has the next start write a partition again: it may be a sync that
// has failed in this one.
func (s *Store) suspect(doc checkpointDocument, p *Partition) error {
	pt := doc.point(p)
	if pt.Suspect || doc.Partitions == nil {
		return nil
	}
	pt.Suspect = true
	doc.set(p, pt)
	return writeDocument(s.fs, s.checkpointPath(), doc)
}

// recover loads a partition from the point, written again if it is suspect.
func (p *Partition) recover(pt point) error {
	if pt.Suspect {
		p.point = pt
		if err := p.copyBehindPoint(math.MaxInt64); err != nil {
			return err
		}
	}
	return p.load(pt)
}

// replay calls fn for what the journals from a generation on hold, in order,
// and returns the newest generation.
func (s *Store) replay(floor uint64, fn func(journaled) error) (last uint64, err error) {
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
		if err := j.each(maxMessage, fn); err != nil {
			return 0, fmt.Errorf("replaying journal %d: %w", j.gen, err)
		}
	}
	return last, nil
}

// replay appends a batch from the journal if it is the partition's next. One
// before is there already; one behind a gap was never acknowledged, since
// what came before it is not here. The caller has the partition to itself.
func (p *Partition) replay(e journaled) error {
	h, ok := parseHeader(e.batch)
	if !ok || h.size != len(e.batch) || h.base != p.next || e.incarnation != p.point.Incarnation || !crcOK(e.batch, &h) {
		return nil
	}
	return p.write(e.batch, &h, p.topic.Config(), p.store.now())
}

// load reads the partition's folder. Segments before the point are taken as
// they are, the rest is read and cut where it is torn.
func (p *Partition) load(pt point) (err error) {
	if err := finishSwaps(p.store.fs, p.dir); err != nil {
		return err
	}
	segs, err := listSegments(p.store.fs, p.dir)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // it is tried again every second
			for _, s := range segs {
				err = errors.Join(err, s.close())
			}
		}
	}()
	p.point, p.producers, p.next = pt, pt.Producers.clone(), pt.Next
	for i, s := range segs {
		following := segs[i+1:]
		switch {
		case s.base < pt.Segment || p.store.scanAll && len(following) > 0:
			err = p.loadKnown(s, following)
		case i > 0 && !p.store.scanAll && s.base > pt.Segment && s.base != p.next:
			// What is before it is torn, so it was never acknowledged.
			if err := p.setAside(segs[i:]); err != nil {
				return err
			}
			return p.loaded(segs[:i])
		default:
			err = p.scan(s)
		}
		if err != nil {
			return err
		}
	}
	return p.loaded(segs)
}

// loadKnown takes in a segment that is known to be whole. Where it ends is in
// its index, and must agree with where the following begin.
func (p *Partition) loadKnown(s *segment, following []*segment) error {
	compacted, end := p.topic.hasGaps(), p.point.Next
	if len(following) > 0 {
		end = following[0].base
	}
	if s.loadSealed(p.store.fs) && (len(following) == 0 ||
		s.end.Load() == end || s.end.Load() < end && compacted) {
		return nil
	}
	p.store.log.Warn("index is made again", "segment", s.path)
	if err := s.open(p.store.fs, 0); err != nil {
		return err
	}
	err := s.index.reset(s.base)
	if err == nil {
		err = s.resume(s.size.Load(), end)
	}
	if err != nil {
		return errors.Join(err, s.close())
	}
	if len(following) > 0 && !compacted {
		s.end.Store(end)
	}
	return s.finish()
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
	for _, s := range segs[:len(segs)-1] {
		if s.file != nil { // it was scanned
			if err := s.finish(); err != nil {
				return err
			}
		}
	}
	p.active = segs[len(segs)-1]
	if p.active.file == nil {
		if err := p.active.open(p.store.fs, 0); err != nil {
			return err
		}
		return p.roll()
	}
	if p.active.end.Load() < p.next {
		return p.roll() // the file lost its end: within a segment offsets have no gap
	}
	return nil
}

// scan takes in a segment that recovery has to read: up to the recovery point
// it is known to be whole, behind that it is cut at the first batch that is
// torn. If whole batches lie behind that one, the bytes are kept aside for a
// person to look at. The segment stays open: it may be the last one, if what
// follows is set aside.
func (p *Partition) scan(s *segment) error {
	size := s.size.Load()
	if err := s.open(p.store.fs, 0); err != nil {
		return err
	}
	known := int64(0)
	if s.base == p.point.Segment {
		known = min(size, p.point.Pos)
	}
	if known == 0 {
		p.dirEntry = true // nobody knows whether it was synced
	}
	if err := s.resume(known, p.point.Next); err != nil {
		return err
	}
	if s.base == p.point.Segment && size < p.point.Pos {
		p.store.log.Error("segment is shorter than its checkpoint", "segment", s.path, "size", size, "want", p.point.Pos)
	} else if s.base == p.point.Segment {
		s.end.Store(max(s.base, p.point.Next))
	}
	torn, behind := size, size // where the next whole batch is
	err := walk(s.file, known, size, func(pos int64, _ []byte, h *header) error {
		if torn < size {
			return errEnough
		}
		if h.base != max(s.end.Load(), p.next) {
			return errMisplaced
		}
		p.producers.note(h, p.store.now())
		return s.accept(pos, h)
	}, func(from, to int64) {
		if torn == size {
			torn, behind = from, to
		}
	})
	if err != nil {
		return err
	}
	p.next = max(p.next, s.end.Load())
	if torn == size {
		return nil
	}
	p.store.log.Warn("torn end is cut", "segment", s.path, "position", torn, "bytes", size-torn)
	if behind < size {
		name, err := s.keepAside(p.store.fs, torn, size)
		if err != nil {
			return err
		}
		p.store.log.Error("batches behind a torn one are set aside", "file", name)
	}
	p.cut = true
	return s.file.Truncate(torn)
}

// resume takes in the first size bytes, which are known to be whole and to hold
// offsets before end: what the index has of them, and what lies behind its last
// entry. A batch that is bad keeps its place, and reading goes on at the next
// that can be found: only the end of the log is ever cut.
func (s *segment) resume(size, end int64) error {
	last, err := s.index.cut(s.base, size)
	if err != nil {
		return err
	}
	s.end.Store(s.base + int64(last.rel))
	s.maxTime.Store(last.maxTime)
	err = walk(s.file, int64(last.pos), size, func(pos int64, _ []byte, h *header) error {
		if h.base < s.end.Load() || h.end() > end {
			return errMisplaced
		}
		return s.accept(pos, h)
	}, nil)
	s.size.Store(size)
	return err
}

// setAside takes segments out of the log that follow a torn one.
func (p *Partition) setAside(segs []*segment) error {
	fsys := p.store.fs
	for _, s := range segs {
		if s.size.Load() > 0 {
			p.store.log.Error("segment behind a torn one is set aside", "segment", s.path)
			if err := fsys.Rename(s.path+logSuffix, s.path+cutSuffix); err != nil {
				return err
			}
		}
		if err := s.remove(fsys); err != nil {
			return err
		}
	}
	return fsys.SyncDir(p.dir)
}
