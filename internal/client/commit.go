package client

import (
	"context"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

const (
	commitAfter = 250 * time.Millisecond // while there is progress
	commitIdle  = 25 * time.Millisecond  // once all that was read is done
)

// committer commits what is done: soon when the client is idle, else a few
// times a second.
func (c *Client) committer(ctx context.Context) {
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.progress:
		}
		wait := commitAfter
		if c.held() == 0 {
			wait = commitIdle
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait - min(time.Since(last), wait)):
		}
		last = time.Now()
		if err := c.commit(ctx, c.all()...); err != nil && ctx.Err() == nil {
			c.runtime.scope.Logger().WarnContext(ctx, "offsets are not committed, will retry", "client", c.spec.Name, "err", err)
			notify(c.progress)
		}
	}
}

// commit notes the position and marks of the partitions that have new ones.
// One commit at a time reads and writes them, so none goes backwards.
func (c *Client) commit(ctx context.Context, partitions ...*partition) error {
	c.commitMu.Lock()
	defer c.commitMu.Unlock()
	at := map[bus.Partition]bus.Position{}
	for _, p := range partitions {
		if position, changed := p.position(); changed {
			at[p.Partition] = position
		}
	}
	if len(at) == 0 {
		return nil
	}
	if err := c.group.Load().Commit(ctx, at); err != nil {
		for _, p := range partitions {
			p.touch()
		}
		return err
	}
	for _, p := range partitions {
		if position, ok := at[p.Partition]; ok {
			p.mu.Lock()
			p.committed = position.Offset
			p.mu.Unlock()
		}
	}
	return nil
}

// position returns what is to be committed, and whether it differs from what
// the log has.
func (p *partition) position() (bus.Position, bool) {
	at, _, _ := p.tracker.position()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.c.flusher != nil {
		at = p.flushed
	}
	at = max(at, p.start)
	if at < 0 || (at == p.committed && !p.dirty) {
		return bus.Position{}, false
	}
	p.dirty = false
	p.marks.forget(-1, at)
	m := p.marks
	m.Open = !p.finished
	if m.Deaths > 0 && !m.Trying {
		m.From, m.To = at, p.suspectTo
	}
	return bus.Position{Offset: at, Metadata: m.String()}, true
}

func (p *partition) touch() {
	p.mu.Lock()
	p.dirty = true
	p.mu.Unlock()
}

// try marks the offsets from and up to to as being with the handler, or none,
// and returns when the log has the mark. It returns false when the partition
// ends first.
func (p *partition) try(from, to int64) bool {
	p.mu.Lock()
	p.marks.Trying = to > from
	if p.marks.Trying {
		p.marks.From, p.marks.To = from, to
	}
	p.dirty = true
	p.mu.Unlock()
	for n := 0; ; n++ {
		err := p.c.commit(p.ctx, p)
		if err == nil {
			return !p.stopping()
		}
		if !p.sleep(backoff(commitAfter, n), phase{Kind: PhaseLog, Reason: err.Error()}) {
			return false
		}
	}
}

func (p *partition) acquit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks.Deaths > 0 {
		p.marks.acquit()
		p.dirty = true
	}
}

func (p *partition) lingering() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.lingering()
}

func (p *partition) condemned() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.condemned()
}

// attempts returns what is known of the record's earlier failures.
func (p *partition) attempts(offset int64) failing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.marks.attempts(offset)
}

// note remembers a failure, in the log at the next commit.
func (p *partition) note(it *item) {
	f := it.failed
	f.Offset = it.at.Offset
	p.mu.Lock()
	p.marks.note(f)
	p.dirty = true
	p.mu.Unlock()
	p.c.moved()
}

// handled forgets the failures of an item that is done.
func (p *partition) handled(it *item) {
	p.busySince.Store(0)
	if it.failed.Attempts == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.marks.forget(it.at.Offset, -1)
	p.dirty = true
}
