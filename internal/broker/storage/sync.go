package storage

import (
	"errors"
	"fmt"
	"slices"
	"sync"
)

// point is where recovery begins: all before it is synced, in segments and
// indexes, and the producers are those of that moment.
type point struct {
	Next    int64 `json:"next"`
	Start   int64 `json:"start"`
	Segment int64 `json:"segment"`
	Pos     int64 `json:"pos"`
	// Incarnation grows each time the partition comes back from offline: what
	// the journal holds of an earlier one failed, and must not come back.
	Incarnation uint32 `json:"incarnation,omitempty"`
	// Suspect says that a sync has failed: what can be read behind the point
	// may not be on the disk, whoever syncs it again.
	Suspect   bool      `json:"suspect,omitempty"`
	Producers producers `json:"producers,omitempty"`
}

// requestSync starts syncing the segments, or has the running sync go on for
// another round: all that were appended meanwhile share it. The caller holds
// p.mu.
func (p *Partition) requestSync() {
	p.syncAgain = true
	if !p.syncing {
		p.syncing = true
		p.store.running.Go(p.syncLoop)
	}
}

func (p *Partition) syncLoop() {
	for {
		p.mu.Lock()
		if !p.syncAgain || p.offline != nil {
			p.syncing = false
			p.mu.Unlock()
			return
		}
		p.syncAgain = false
		p.mu.Unlock()
		_ = p.flush(false) // it took the partition offline if it failed
	}
}

// snapshot is what one flush makes durable.
type snapshot struct {
	at        mark
	active    *segment
	sealed    []*segment
	dirEntry  bool
	start     int64
	producers producers
}

// snapshot returns what there is to be made durable. The caller holds p.mu.
func (p *Partition) snapshot(full bool) snapshot {
	sn := snapshot{
		at:       p.tail(),
		active:   p.active,
		sealed:   slices.Clip(p.sealed),
		dirEntry: p.dirEntry,
		start:    p.start.Load(),
	}
	if full {
		sn.producers = p.producers.clone()
	}
	return sn
}

// flush syncs what has been written. With full, the indexes too, and the
// recovery point moves. An error has taken the partition offline.
func (p *Partition) flush(full bool) error {
	p.syncMu.Lock()
	defer p.syncMu.Unlock()
	p.mu.Lock()
	if p.active == nil || p.offline != nil || p.closed {
		err := p.offline
		p.mu.Unlock()
		return err
	}
	sn := p.snapshot(full)
	p.mu.Unlock()

	err := p.sync(sn, full)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	if err != nil {
		p.fail(err)
	}
	if p.offline != nil { // by an append meanwhile: what was synced and failed must not come back
		return p.offline
	}
	p.accept(sn, full)
	return nil
}

func (p *Partition) sync(sn snapshot, full bool) error {
	if sn.dirEntry {
		if err := p.store.fs.SyncDir(p.dir); err != nil {
			return fmt.Errorf("syncing %s: %w", p.dir, err)
		}
	}
	for _, s := range sn.sealed {
		if err := p.store.syncFile(s.file); err != nil {
			return fmt.Errorf("syncing %s: %w", s.path, err)
		}
		if err := s.index.file.Sync(); err != nil {
			return fmt.Errorf("syncing index of %s: %w", s.path, err)
		}
	}
	var index sync.WaitGroup
	var indexErr error
	if full {
		index.Go(func() { indexErr = sn.active.index.file.Sync() })
	}
	err := p.store.syncFile(sn.active.file)
	index.Wait()
	if err != nil {
		return fmt.Errorf("syncing %s: %w", sn.active.path, err)
	}
	if indexErr != nil {
		return fmt.Errorf("syncing index of %s: %w", sn.active.path, indexErr)
	}
	return nil
}

// accept records what a flush achieved. The caller holds p.mu and p.syncMu.
func (p *Partition) accept(sn snapshot, full bool) {
	var errs []error
	for _, s := range sn.sealed {
		errs = append(errs, s.close())
	}
	if err := errors.Join(errs...); err != nil { // synced before: nothing is lost
		p.store.log.Warn("closing segment", "dir", p.dir, "error", err)
	}
	p.sealed = p.sealed[len(sn.sealed):]
	if sn.dirEntry && len(p.sealed) == 0 && p.active == sn.active {
		p.dirEntry = false
	}
	if full {
		p.cut = false
		p.point = point{Next: sn.at.offset, Start: sn.start, Segment: sn.at.segment, Pos: sn.at.pos,
			Incarnation: p.point.Incarnation, Producers: sn.producers}
	}
	p.settleTo(sn.at.offset)
}
