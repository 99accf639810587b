package storage

import (
	"context"
	"sync"
)

// A Commit is the fate of an appended batch. It ends without an error when
// the batch, and all before it in its partition, is on the disk. That happens
// when somebody waits for it; otherwise it takes a moment longer.
type Commit struct {
	at      mark     // behind the batch
	journal *journal // in which it waits; nil: in none
	durable bool     // under the partition's lock
	err     error
	done    chan struct{}
}

var closedChan = sync.OnceValue(func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
})

// settled is a commit that has ended.
func settled(err error) *Commit { return &Commit{err: err, done: closedChan()} }

// Wait returns when the commit has ended, and how. It ends early with ctx,
// unless it is this very caller who writes to the disk.
func (c *Commit) Wait(ctx context.Context) error {
	if c.Write() {
		return c.err
	}
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Write writes the batch unless somebody does already, and says whether the
// commit has ended. It waits for nobody else.
func (c *Commit) Write() (ended bool) {
	if c.journal != nil && !c.ended() { // for one that has, it would write for others
		c.journal.lead()
	}
	return c.ended()
}

func (c *Commit) ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// mark is a place in a partition: the next offset there, and where its bytes
// go.
type mark struct {
	offset  int64
	segment int64 // base offset of the segment
	pos     int64
}

// tail is the place behind the last batch, durable or not. The caller holds
// p.mu.
func (p *Partition) tail() mark {
	if p.active == nil {
		return mark{offset: p.next}
	}
	return mark{offset: p.next, segment: p.active.base, pos: p.active.size.Load()}
}

// advance moves the high watermark over what has become durable, in order,
// and tells all who wait. The caller holds p.mu.
func (p *Partition) advance() {
	n := 0
	for n < len(p.pending) && p.pending[n].durable {
		n++
	}
	if n == 0 {
		return
	}
	p.high.Store(&p.pending[n-1].at)
	for _, c := range p.pending[:n] {
		close(c.done)
	}
	clear(p.pending[:n])
	p.pending = p.pending[n:]
	if len(p.pending) == 0 {
		p.pending = nil
	}
	p.watchers.notify()
}

// journaled is told that one batch lies in the journal, durable.
func (p *Partition) journaled(c *Commit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.durable = true
	p.advance()
}

// settleTo marks everything up to the offset as durable. The caller holds p.mu.
func (p *Partition) settleTo(offset int64) {
	for _, c := range p.pending {
		if c.at.offset > offset {
			break
		}
		c.durable = true
	}
	p.advance()
}

// failPending ends every commit that waits. The caller holds p.mu.
func (p *Partition) failPending(err error) {
	for _, c := range p.pending {
		c.err = err
		close(c.done)
	}
	p.pending = nil
	p.watchers.notify()
}

// commitAt returns the commit of a batch that was appended before. The caller
// holds p.mu.
func (p *Partition) commitAt(end int64) *Commit {
	if p.high.Load().offset >= end {
		return settled(nil)
	}
	for _, c := range p.pending {
		if c.at.offset >= end {
			return c
		}
	}
	return settled(ErrOffline)
}

// watchers are the readers that wait for a partition to change.
type watchers struct {
	mu  sync.Mutex
	all map[chan<- struct{}]struct{}
}

func (w *watchers) add(c chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = map[chan<- struct{}]struct{}{}
	}
	w.all[c] = struct{}{}
}

func (w *watchers) remove(c chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.all, c)
}

func (w *watchers) notify() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.all {
		select {
		case c <- struct{}{}:
		default: // it will look anyway
		}
	}
}
