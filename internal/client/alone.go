package client

import (
	"errors"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/fault"
)

// alone handles one record of a stage and waits until the log has its outputs.
// An output the log refuses for good makes the record a dead letter; for
// anything else the log is waited for.
func (p *partition) alone(r *bus.Record, out *Output, w waits) bool {
	var it item
	mine, ok := p.loaded(&it, r)
	if !ok || !mine {
		return ok
	}
	outputs, ok := p.settle(&it, out, w)
	return ok && p.acknowledged(&it, outputs, w)
}

// acknowledged appends and waits for the log, however long it is away.
func (p *partition) acknowledged(it *item, outputs []*bus.Record, w waits) bool {
	for n := 0; ; n++ {
		p.c.metrics.out(len(outputs), sizes(outputs))
		err := p.c.runtime.bus.AppendDerived(p.ctx, outputs...)
		if err == nil {
			return true
		}
		if p.ctx.Err() != nil {
			return false
		}
		if e := fault.Of(err); e.Class == fault.Permanent && bus.DeadClient(outputs[0].Topic) == "" {
			outputs = []*bus.Record{p.letter(it, err)}
			continue
		}
		w.begin()
		if !p.sleep(backoff(p.c.spec.Backoff, n), phase{Kind: PhaseLog, Offset: it.at.Offset, Reason: err.Error()}) {
			return false
		}
		w.end()
	}
}

var errDeath = errors.New("the process died three times in a row with this record in flight, the last time with it alone")

// suspicion is the right to handle suspects: one partition of the process has
// it at a time, so that a further death tells more.
type suspicion struct {
	p        *partition
	held     bool
	from, to int64 // offsets with the handler
}

// hold waits for the right and marks the offsets as tried. It returns false
// when the partition ends first.
func (s *suspicion) hold() bool {
	if !s.held {
		select {
		case s.p.c.runtime.suspect <- struct{}{}:
			s.held = true
		case <-s.p.stop:
			return false
		}
	}
	return s.p.try(s.from, s.to)
}

// rest gives the right back: a death while a suspect waits is not its doing.
func (s *suspicion) rest() {
	if s.held {
		s.p.try(0, 0)
		s.held = false
		<-s.p.c.runtime.suspect
	}
}

// suspects handles what may have been in flight when the process died, the
// fewer records at a time the more often it has. The one that the deaths name
// becomes a dead letter unseen. It returns false when the partition ends
// first.
func (p *partition) suspects(out *Output) bool {
	s := &suspicion{p: p}
	defer s.rest()
	for {
		if !p.queueFilled() {
			s.rest()
			if !p.await() {
				return false
			}
		}
		records := p.takeSuspects()
		if len(records) == 0 {
			p.acquit()
			return true
		}
		if p.condemned() {
			if !p.condemn(records[0]) {
				return false
			}
			continue
		}
		s.from, s.to = records[0].Offset, records[len(records)-1].Offset+1
		if !s.hold() || !p.examine(records, out, s) {
			return false
		}
	}
}

// examine handles suspects as the client handles any, and waits until all is
// durable. The suspicion rests as soon as the handler has returned: the word of
// that is on its way to the log then, and arrives even if the process ends, so
// that a kill from outside hardly ever meets a suspect in hand. It does not
// when the process has died in vain before.
func (p *partition) examine(records []*bus.Record, out *Output, s *suspicion) bool {
	if p.c.spec.Concurrency > 0 {
		return p.together(records, s)
	}
	ended := false
	w := waits{begin: s.rest, end: func() { ended = !s.hold() }}
	e := p.tracker.add(records, sizes(records))
	if p.c.spec.Sink != nil {
		items, ok := p.items(records)
		if !ok || !p.write(items, w) || ended {
			e.leave(0)
			return false
		}
		e.release()
		return p.durable(s) // a flush may be what ends the process
	}
	for i, r := range records {
		s.from = r.Offset
		var it item
		mine, ok := p.loaded(&it, r)
		if ok && mine {
			var outputs []*bus.Record
			if outputs, ok = p.settle(&it, out, w); ok {
				p.append(outputs, e)
			}
		}
		if !ok || ended {
			e.leave(i)
			return false
		}
	}
	e.release()
	if !p.lingering() {
		s.rest()
	}
	return p.quiet(out)
}

// quiet waits until the log has all that the partition gave it.
func (p *partition) quiet(out *Output) bool {
	for p.mend(out) {
		if _, _, entries := p.tracker.position(); entries == 0 {
			return true
		}
		if !p.advance() {
			return false
		}
	}
	return false
}

// durable waits until what the partition has written is flushed. The suspicion
// rests once a flush has failed: that is no death, and what it waits for may be
// away for days, in which other partitions have suspects and processes are
// killed from outside.
func (p *partition) durable(s *suspicion) bool {
	if p.c.flusher == nil {
		return true
	}
	for n := 0; ; n++ {
		err := p.c.flush(p.ctx)
		if err == nil || errors.Is(err, ErrNotYet) { // the sink chooses to wait: what it then does is not awaited here
			return true
		}
		s.rest()
		if !p.sleep(backoff(p.c.spec.Backoff, n), phase{Kind: PhaseFlush, Reason: err.Error()}) {
			return false
		}
	}
}

// condemn makes a dead letter of the record that the deaths name.
func (p *partition) condemn(r *bus.Record) bool {
	var it item
	e := p.tracker.add([]*bus.Record{r}, size(r))
	mine, ok := p.loaded(&it, r)
	if !ok {
		return false
	}
	if mine {
		it.failed.Attempts = len(suspectsAtOnce)
		letter := p.letter(&it, fault.NewPermanent(CodeDeath, errDeath))
		if !p.acknowledged(&it, []*bus.Record{letter}, noWaits) {
			return false
		}
		p.c.runtime.scope.Logger().Error("record is given up, the process died on it three times",
			"client", p.c.spec.Name, "topic", r.Topic, "partition", r.Partition, "offset", r.Offset)
	}
	e.release()
	p.acquit()
	return true
}

// waits are told before a record's handling pauses, and after, and when the
// handler is done with a record of a concurrent stage.
type waits struct{ begin, end, handled func() }

var noWaits = waits{begin: func() {}, end: func() {}, handled: func() {}}

// sleep waits out d, shown as the phase. It returns false when the partition
// ends first.
func (p *partition) sleep(d time.Duration, shown phase) bool {
	defer p.shows(shown)()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return !p.stopping()
	case <-p.stop:
		return false
	}
}
