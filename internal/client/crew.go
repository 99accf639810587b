package client

import (
	"sync"
	"sync/atomic"

	"github.com/decodersring/decoder/internal/bus"
)

// together handles suspects side by side.
func (p *partition) together(records []*bus.Record, s *suspicion) bool {
	all := crew{suspicion: s}
	starter := all.join() // so that the suspicion does not rest before all have begun
	var tasks sync.WaitGroup
	var undone atomic.Bool
	lingering := p.lingering()
	for _, r := range records {
		if !p.slot() {
			undone.Store(true)
			break
		}
		e := p.tracker.add([]*bus.Record{r}, size(r))
		m := all.join()
		w := waits{begin: m.pause, end: m.resume, handled: m.pause}
		if lingering {
			w.handled = func() {}
		}
		tasks.Go(func() {
			defer m.pause()
			if !p.task(r, e, w) {
				undone.Store(true)
			}
		})
	}
	starter.pause()
	tasks.Wait()
	return !undone.Load()
}

// crew is those who handle suspects side by side. While none of them is at
// work, the suspicion rests.
type crew struct {
	suspicion *suspicion
	mu        sync.Mutex
	working   int
	rests     bool
}

// member is one of a crew.
type member struct {
	crew *crew
	idle bool
}

func (c *crew) join() *member {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.working++
	return &member{crew: c}
}

// pause may be called again before resume.
func (m *member) pause() {
	c := m.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.idle {
		return
	}
	m.idle = true
	if c.working--; c.working == 0 {
		c.suspicion.rest()
		c.rests = true
	}
}

// resume returns with the right to handle suspects, or when the partition
// ends, which its caller finds out by itself.
func (m *member) resume() {
	c := m.crew
	c.mu.Lock()
	defer c.mu.Unlock()
	m.idle = false
	c.working++
	if c.rests {
		c.rests = !c.suspicion.hold()
	}
}
