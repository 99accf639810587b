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
			p.task(records[0], e)
		})
	}
}

// task handles one record with a slot, which it gives up while it waits.
func (p *partition) task(r *bus.Record, e *entry) {
	began := time.Now()
	held := true
	release := func() {
		if held {
			held = false
			<-p.c.slots
		}
	}
	defer release()
	out := p.c.outputs.Get().(*Output)
	defer p.c.outputs.Put(out)
	ended := false
	w := waits{begin: release, end: func() {
		if held = p.slot(); !held {
			ended = true
		}
	}}
	if p.alone(r, out, w) && !ended && p.ctx.Err() == nil {
		p.c.metrics.handled(1, time.Since(began))
		e.release()
		return
	}
	e.leave(0)
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
