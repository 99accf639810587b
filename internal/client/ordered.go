package client

import (
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

const (
	chunkRecords = 256
	chunkBytes   = 1 << 20
)

// ordered handles the partition's records one after the other, without
// waiting for the log to acknowledge the outputs of one before the next.
func (p *partition) ordered(out *Output) {
	for p.ready() {
		var ok bool
		switch {
		case p.tracker.refused():
			ok = p.mend(out)
		case !p.room():
			ok = p.advance()
		default:
			ok = p.chunk(p.cut(chunkRecords, chunkBytes), out)
		}
		if !ok {
			return
		}
	}
}

// ready waits until there are records to handle, for the first time or, since
// the log has refused an output, again.
// It returns false when the partition ends first.
func (p *partition) ready() bool {
	for !p.stopping() {
		if p.queueFilled() || p.tracker.refused() {
			return true
		}
		select {
		case <-p.arrived:
		case <-p.progress:
		case <-p.stop:
		}
	}
	return false
}

// chunk handles records in order under one entry, which is cut wherever the
// stage has to wait, so that what was done can be committed meanwhile.
func (p *partition) chunk(records []*bus.Record, out *Output) bool {
	began := time.Now()
	e := p.tracker.add(records, sizes(records))
	first := 0 // index of the entry's first record
	var it item
	for i, r := range records {
		mine, ok := p.loaded(&it, r)
		if !ok {
			e.leave(i - first)
			return false
		}
		if !mine {
			continue
		}
		outputs, ok := p.settle(&it, out, waits{begin: func() { e, first = e.cut(i-first), i }, end: func() {}})
		if !ok {
			e.leave(i - first)
			return false
		}
		p.append(outputs, e)
	}
	e.release()
	p.c.metrics.handled(len(records), time.Since(began))
	return true
}

// append hands outputs to the log; the entry ends when they are acknowledged.
func (p *partition) append(outputs []*bus.Record, e *entry) {
	if len(outputs) == 0 {
		return
	}
	e.pending.Add(int32(len(outputs)))
	p.c.metrics.out(len(outputs), sizes(outputs))
	for _, o := range outputs {
		p.c.runtime.bus.Produce(p.ctx, o, e.acknowledge)
	}
}

// mend waits for outputs in flight when the log has refused some, and handles
// their records again, each with its outputs acknowledged before the next.
func (p *partition) mend(out *Output) bool {
	for {
		broken, wait := p.tracker.settled()
		if !wait && len(broken) == 0 {
			return true
		}
		if wait {
			if !p.advance() {
				return false
			}
			continue
		}
		for _, e := range broken {
			for _, r := range e.records {
				if !p.alone(r, out, noWaits) {
					return false
				}
			}
			e.mended()
		}
		return true
	}
}

// loaded fills the item, waiting for the log where that must be asked.
func (p *partition) loaded(it *item, r *bus.Record) (mine, ok bool) {
	for n := 0; ; n++ {
		mine, err := p.load(p.ctx, it, r)
		if err == nil {
			return mine, true
		}
		if !p.sleep(backoff(p.c.spec.Backoff, n), phase{Kind: PhaseLog, Offset: r.Offset, Reason: err.Error()}) {
			return false, false
		}
	}
}

func sizes(records []*bus.Record) int64 {
	n := int64(0)
	for _, r := range records {
		n += size(r)
	}
	return n
}
