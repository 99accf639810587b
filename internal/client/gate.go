package client

import (
	"context"
	"sync"
	"time"
)

// gate stands before a client's other side. It is closed while that side is
// away: nothing is tried then but the check.
type gate struct {
	checker Checker // nil: no other side, never closed

	asking sync.Mutex // one check at a time, whose answer serves all that wait

	mu      sync.Mutex
	shut    chan struct{} // nil: open; closed when the gate opens
	since   time.Time
	reason  error
	checked time.Time // when the last check began that was answered
	outages int       // how often it was shut
}

const checkTimeout = 10 * time.Second

// ask reports whether the other side answers now, that is by a check begun
// after the moment given. If it does not, the gate is shut until it does.
func (g *gate) ask(ctx context.Context, after time.Time, probe func(func())) (answers bool) {
	if g.checker == nil {
		return true
	}
	g.asking.Lock()
	defer g.asking.Unlock()
	g.mu.Lock()
	away, known := g.shut != nil, g.checked.After(after)
	g.mu.Unlock()
	if away || known {
		return !away
	}
	began := time.Now()
	err := g.check(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case err == nil:
		g.checked = began
	case ctx.Err() == nil: // else the client ends, which its wait sees
		g.shut, g.since, g.reason = make(chan struct{}), began, err
		g.outages++
		probe(func() { g.probe(ctx) })
	}
	return err == nil
}

func (g *gate) check(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	defer recovered(&err)
	return g.checker.Check(ctx)
}

// probe checks with backoff until the other side answers, then opens.
func (g *gate) probe(ctx context.Context) {
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(backoff(100*time.Millisecond, n)):
		}
		began := time.Now()
		err := g.check(ctx)
		g.mu.Lock()
		if err == nil {
			g.checked = began
			close(g.shut)
			g.shut = nil
			g.mu.Unlock()
			return
		}
		g.reason = err
		g.mu.Unlock()
	}
}

// closed returns a channel that ends when the gate opens; nil if it is open.
func (g *gate) closed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.shut
}

// count returns how many outages there have been.
func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.outages
}

// outage returns since when the other side is away, and what it last said.
func (g *gate) outage() (since time.Time, reason error, away bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.since, g.reason, g.shut != nil
}
