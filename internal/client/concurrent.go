package client

import (
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// concurrent handles the partition's records side by side, so many as the
// client has slots, and none further ahead of the oldest than the window.
func (p *partition) concurrent() {
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for {
		records := p.take(1, chunkBytes)
		if records == nil || !p.slot() {
			return
		}
		e := p.tracker.add(records, sizes(records))
		tasks.Add(1)
		p.c.start(func() {
			defer tasks.Done()
			p.task(records[0], e, noWaits)
		})
	}
}

// task handles one record with a slot, which it gives up while it waits and
// once the handler is done: what it waits for then is the log.
func (p *partition) task(r *bus.Record, e *entry, w waits) (done bool) {
	out := p.c.outputs.Get().(*Output)
	defer p.c.outputs.Put(out)
	s := &turn{p: p, held: true}
	defer s.release()
	if p.tasked(r, out, s, w) && !s.ended && p.ctx.Err() == nil {
		e.release()
		return true
	}
	e.leave(0)
	return false
}

func (p *partition) tasked(r *bus.Record, out *Output, s *turn, outer waits) bool {
	began := time.Now()
	w := waits{begin: func() { s.release(); outer.begin() }, end: func() { outer.end(); s.take() }}
	var it item
	mine, ok := p.loaded(&it, r)
	if !ok || !mine {
		return ok
	}
	outputs, ok := p.settle(&it, out, w)
	s.release()
	if !ok || s.ended {
		return false
	}
	p.c.metrics.handled(1, time.Since(began))
	outer.handled()
	return p.acknowledged(&it, outputs, noWaits)
}

// turn is a record's hold on one of the client's slots.
type turn struct {
	p     *partition
	held  bool
	ended bool // the partition has ended while a slot was waited for
}

func (s *turn) release() {
	if s.held {
		s.held = false
		<-s.p.c.slots
	}
}

func (s *turn) take() {
	s.held = s.p.slot()
	s.ended = !s.held
}

// slot takes one of the client's slots.
func (p *partition) slot() bool {
	select {
	case p.c.slots <- struct{}{}:
		return true
	default:
	}
	defer p.shows(phase{Kind: PhaseSlot})()
	select {
	case p.c.slots <- struct{}{}:
		return true
	case <-p.stop:
		return false
	}
}
