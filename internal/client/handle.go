package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/fault"
)

// Codes of failures the runtime itself finds.
const (
	CodePanic   = "panic"
	CodeTimeout = "timeout"
	CodeDeath   = "process_died"
)

// recovered turns a panic into a permanent fault with its stack.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fault.NewPermanent(CodePanic, fmt.Errorf("%v\n%s", p, debug.Stack()))
	}
}

// backoff grows from first by doubling up to maxBackoff; a random half keeps
// clients that failed together from coming back together.
func backoff(first time.Duration, failures int) time.Duration {
	d := min(first<<min(failures, 20), maxBackoff)
	if d <= 0 {
		d = maxBackoff
	}
	return d/2 + rand.N(d/2+1)
}

// throttle is how long the other side asks to be left alone, within bounds.
func throttle(e *fault.Error) time.Duration {
	return min(max(e.After, 10*time.Millisecond), time.Hour)
}

// call runs the stage on one record, once.
func (c *Client) call(ctx context.Context, in *Record, out *Output) error {
	if c.spec.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.spec.Timeout)
		defer cancel()
	}
	out.begin(in)
	err := protected(ctx, c.spec.Stage, in, out)
	if err == nil {
		err = out.err
	}
	return late(ctx, err)
}

func protected(ctx context.Context, s Stage, in *Record, out *Output) (err error) {
	defer recovered(&err)
	return s.Handle(ctx, in, out)
}

// late gives an error its code when it is the deadline's.
func late(ctx context.Context, err error) error {
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	if e := fault.Of(err); e.Code == fault.CodeUnknown {
		return fault.NewRetry(CodeTimeout, err)
	}
	return err
}

// verdict is what the policy says of a failure.
type verdict uint8

const (
	again  verdict = iota // after the wait
	bury                  // it becomes a dead letter
	closed                // the other side is away; again when it is back
)

// judge decides over a failure of the item that happened at or after began.
//
// A record is at fault only when it uses up its attempts between two answers
// of the other side without an outage known in between: the attempts before
// the first answer may have been used up in an outage that has just ended.
func (p *partition) judge(it *item, err error, began time.Time) (verdict, time.Duration) {
	e := fault.Of(err)
	p.c.metrics.failures.WithLabelValues(e.Class.String(), p.c.code(e.Code)).Inc()
	switch e.Class {
	case fault.Permanent:
		return bury, 0
	case fault.Throttled:
		return again, throttle(e)
	}
	it.failed.count(began)
	p.note(it)
	tries := it.failed.Attempts - it.before
	if tries < p.c.spec.Attempts {
		return again, backoff(p.c.spec.Backoff, tries-1)
	}
	answers := p.c.gate.ask(p.c.ctx, began, p.c.start)
	outages := p.c.gate.count()
	if answers && (p.c.gate.checker == nil || it.verified && it.outages == outages) {
		return bury, 0
	}
	it.before, it.verified, it.outages = it.failed.Attempts, answers, outages
	if !answers {
		return closed, 0
	}
	return again, backoff(p.c.spec.Backoff, 0)
}

// settle handles one item until it is done, and returns what is to be
// appended for it: the stage's outputs or a dead letter. It returns false when
// the partition ends before the item is done.
func (p *partition) settle(it *item, out *Output, w waits) ([]*bus.Record, bool) {
	for {
		if !p.open(w) {
			return nil, false
		}
		var began time.Time
		if p.c.spec.Concurrency > 0 {
			began = time.Now()
		}
		p.handling(it.at.Offset)
		err := p.c.call(p.ctx, &it.Record, out)
		if err == nil {
			p.handled(it)
			return out.records, true
		}
		if p.ctx.Err() != nil {
			return nil, false // the error may be the cancellation's
		}
		if began.IsZero() { // the clock costs as much as a small record
			began = time.Now()
		}
		verdict, wait := p.judge(it, err, began)
		if verdict == bury {
			p.handled(it)
			return []*bus.Record{p.letter(it, err)}, true
		}
		if verdict == again && !p.rest(it, err, wait, w) {
			return nil, false
		}
	}
}

// letter makes the item's dead letter.
func (p *partition) letter(it *item, err error) *bus.Record {
	now := time.Now()
	e := fault.Of(err)
	attempts := max(it.failed.Attempts, 1)
	p.c.metrics.dead.WithLabelValues(p.c.code(e.Code)).Inc()
	l := dead.Letter{
		Client: p.c.spec.Dead,
		Failure: dead.Failure{
			Error: e.Err.Error(), Code: e.Code, Attempts: attempts,
			First: it.failed.firstFailed(now), Last: now, Version: p.c.spec.Version,
		},
		History: it.letter.History, EditedFrom: it.letter.EditedFrom,
		Record: it.Record.Record, Origin: it.Origin,
	}
	return dead.Bury(l)
}

// rest waits out the time between two attempts.
func (p *partition) rest(it *item, err error, wait time.Duration, w waits) bool {
	p.c.metrics.retries.Inc()
	e := fault.Of(err)
	shown := phase{Kind: PhaseRetry, Offset: it.at.Offset, Attempts: it.failed.Attempts, Code: e.Code, Reason: err.Error()}
	if e.Class == fault.Throttled {
		shown.Kind = PhaseThrottled
	}
	w.begin()
	if !p.sleep(wait, shown) {
		return false
	}
	w.end()
	return true
}

// open waits while the gate is closed. It returns false when the partition
// ends first.
func (p *partition) open(w waits) bool {
	gate := p.c.gate.closed()
	if gate == nil {
		return !p.stopping()
	}
	defer p.shows(phase{Kind: PhaseOutage})()
	w.begin()
	for ; gate != nil; gate = p.c.gate.closed() {
		select {
		case <-gate:
		case <-p.stop:
			return false
		}
	}
	w.end()
	return !p.stopping()
}
