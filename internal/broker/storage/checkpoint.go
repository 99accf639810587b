package storage

import (
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// checkpointDocument is the folder's file checkpoint.json: from where each
// partition is recovered, and from which journal on.
type checkpointDocument struct {
	Journal    uint64                     `json:"journal"`    // older generations are void
	Partitions map[string]map[int32]point `json:"partitions"` // by topic id
}

// point is from where the partition is recovered.
func (d checkpointDocument) point(p *Partition) point { return d.Partitions[p.topic.id()][p.index] }

func (d checkpointDocument) set(p *Partition, pt point) {
	id := p.topic.id()
	if d.Partitions[id] == nil {
		d.Partitions[id] = map[int32]point{}
	}
	d.Partitions[id][p.index] = pt
}

func (s *Store) checkpointIfDirty() (done bool) {
	if !s.dirty.Swap(false) {
		return false
	}
	if err := s.checkpointWhen(s.needed); err != nil {
		s.dirty.Store(true)
		s.log.Warn("checkpoint failed, the last one stays", "error", err)
		return false
	}
	return true
}

// needed says whether something waits for the store while it checkpoints.
func (s *Store) needed() bool { return len(s.grown) > 0 || len(s.checkpointed) > 0 }

// checkpoint is one that somebody waits for.
func (s *Store) checkpoint() error { return s.checkpointWhen(func() bool { return true }) }

// checkpointWhen syncs every partition, writes down from where recovery would
// begin now, and frees the journal behind that. A partition that fails keeps
// its old point, and the journal that it needs.
func (s *Store) checkpointWhen(hurry func() bool) error {
	s.flushMu.Lock()
	defer s.flushMu.Unlock()
	floor := s.journalFloor.Load()
	gen := s.journal.generation()
	if !s.flushAll(hurry) {
		gen = floor
	}
	s.journalFloor.Store(gen)
	if err := s.writeCheckpoint(); err != nil {
		return err
	}
	s.journal.release(gen)
	return nil
}

// flushers is how many partitions a checkpoint in a hurry syncs at once: the
// file system commits what comes together at one go.
const flushers = 64

// flushAll moves every partition's recovery point, and says whether all could.
// Without hurry it syncs one partition after the other: appends wait behind
// each commit of the file system, a fraction of a millisecond, but for several
// when many come at once.
func (s *Store) flushAll(hurry func() bool) bool {
	var wg sync.WaitGroup
	var failed atomic.Bool
	turn := make(chan struct{}, flushers)
	for _, p := range s.partitions() {
		if !p.unflushed() {
			continue
		}
		if !hurry() {
			wg.Wait()
		}
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			if err := p.flush(true); err != nil && !errors.Is(err, ErrClosed) {
				failed.Store(true)
			}
		})
	}
	wg.Wait()
	return !failed.Load()
}

// unflushed says whether there is something behind the recovery point. A cut
// is: what was there must not come back behind what is written in its place,
// when that is in the journal alone. So is what a sync that failed before the
// start has left, which is written again by now.
func (p *Partition) unflushed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offline != nil || p.active != nil && (p.point.Next != p.next || p.point.Segment != p.active.base ||
		p.point.Start != p.start.Load() || len(p.sealed) > 0 || p.cut || p.point.Suspect)
}

// writeCheckpoint writes the points as they stand.
func (s *Store) writeCheckpoint() error {
	s.checkpointMu.Lock()
	defer s.checkpointMu.Unlock()
	forget := s.now().Add(-producerExpiry)
	doc := checkpointDocument{Journal: s.journalFloor.Load(), Partitions: map[string]map[int32]point{}}
	all := s.partitions()
	for _, p := range all {
		p.mu.Lock()
		p.producers.expire(forget)
		if p.active != nil || p.offline != nil || p.point.Incarnation > 0 {
			doc.set(p, p.point)
		}
		p.mu.Unlock()
	}
	if err := writeDocument(s.fs, s.checkpointPath(), doc); err != nil {
		return err
	}
	for _, p := range all {
		p.mu.Lock()
		p.passed = doc.point(p).Segment
		p.mu.Unlock()
	}
	return nil
}

// readCheckpoint returns the last checkpoint. One that cannot be read costs a
// scan of everything, but nothing else: the segments hold what it says.
func (s *Store) readCheckpoint() (checkpointDocument, error) {
	var doc checkpointDocument
	err := readDocument(s.fs, s.checkpointPath(), &doc)
	if errors.Is(err, errDocument) {
		s.log.Error("checkpoint is unreadable, the whole log is scanned", "error", err)
	}
	if errors.Is(err, errDocument) || notExist(err) {
		s.scanAll = true
		return checkpointDocument{}, nil
	}
	return doc, err
}

func (s *Store) checkpointPath() string { return filepath.Join(s.cfg.Dir, "checkpoint.json") }
