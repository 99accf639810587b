package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/fault"
)

// sink writes the partition's records in batches.
func (p *partition) sink() {
	for last := (time.Time{}); p.gather(last); last = time.Now() {
		records := p.take(p.c.spec.BatchRecords, int64(p.c.spec.BatchBytes))
		if records == nil {
			return
		}
		began := time.Now()
		e := p.tracker.add(records, sizes(records))
		items, ok := p.items(records)
		if !ok || !p.write(items, noWaits) {
			e.leave(0)
			return
		}
		p.c.metrics.handled(len(records), time.Since(began))
		e.release()
	}
}

// gather waits until a write is due after the last one. It returns false when
// the partition ends first.
func (p *partition) gather(last time.Time) bool {
	wait := p.c.spec.Gather - time.Since(last)
	if wait <= 0 {
		return true
	}
	due := time.NewTimer(wait)
	defer due.Stop()
	for !p.wholeBatch() {
		select {
		case <-p.arrived:
		case <-due.C:
			return true
		case <-p.stop:
			return false
		}
	}
	return true
}

// wholeBatch reports whether the queue has as much as one write takes.
func (p *partition) wholeBatch() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, a := range p.queue {
		n += len(a.records)
	}
	return n >= p.c.spec.BatchRecords || p.queued >= int64(p.c.spec.BatchBytes)
}

// items loads those records that are the client's.
func (p *partition) items(records []*bus.Record) ([]*item, bool) {
	store := make([]item, len(records))
	items := make([]*item, 0, len(records))
	for i, r := range records {
		mine, ok := p.loaded(&store[i], r)
		if !ok {
			return nil, false
		}
		if mine {
			items = append(items, &store[i])
		}
	}
	return items, true
}

// write writes the items, however often that takes, but for those at fault,
// which become dead letters. It returns false when the partition
// ends first.
func (p *partition) write(items []*item, w waits) bool {
	for len(items) > 0 {
		if !p.open(w) {
			return false
		}
		began := time.Now()
		p.handling(items[0].at.Offset)
		err := p.c.writeOnce(p.ctx, items)
		p.busySince.Store(0)
		if err == nil {
			for _, it := range items {
				p.handled(it)
			}
			return true
		}
		if p.ctx.Err() != nil {
			return false
		}
		var ok bool
		if single, is := errors.AsType[RecordErrors](err); is {
			items, ok = p.faulty(items, single, began, w)
		} else if len(items) == 1 {
			items, ok = p.faulty(items, RecordErrors{0: err}, began, w)
		} else {
			items, ok = p.divide(items, err, began, w)
		}
		if !ok {
			return false
		}
	}
	return true
}

// faulty judges single records, waits until the log has the dead letters of
// those at fault, then as long as the longest of the others asks for, and
// returns those to be written again.
func (p *partition) faulty(items []*item, errs RecordErrors, began time.Time, w waits) ([]*item, bool) {
	var (
		left    []*item
		letters []*bus.Record
		longest time.Duration
		shown   error
	)
	for i, it := range items {
		err, failed := errs[i]
		if !failed {
			p.handled(it)
			continue
		}
		verdict, wait := p.judge(it, err, began)
		if verdict == bury {
			p.handled(it)
			letters = append(letters, p.letter(it, err))
			continue
		}
		if wait >= longest {
			longest, shown = wait, err
		}
		left = append(left, it)
	}
	if len(letters) > 0 && !p.acknowledged(items[0], letters, w) {
		return nil, false
	}
	if len(left) == 0 || longest == 0 {
		return left, true
	}
	return left, p.rest(left[0], shown, longest, w)
}

// divide deals with an error of the whole batch: one at fault is looked for in
// the halves, but only once the batch has failed as often as a record may and
// the other side answers.
func (p *partition) divide(items []*item, err error, began time.Time, w waits) ([]*item, bool) {
	first := items[0]
	verdict, wait := bury, time.Duration(0)
	if fault.Of(err).Class != fault.Permanent {
		verdict, wait = p.judge(first, err, began)
	}
	switch verdict {
	case closed:
		return items, true
	case again:
		return items, p.rest(first, err, wait, w)
	}
	half := len(items) / 2
	for _, it := range items { // each half is asked once more, not all over
		it.before = it.failed.Attempts - p.c.spec.Attempts + 1
		it.verified, it.outages = first.verified, first.outages
	}
	return nil, p.write(items[:half], w) && p.write(items[half:], w)
}

// writeOnce calls the sink.
func (c *Client) writeOnce(ctx context.Context, items []*item) (err error) {
	batch := make([]*Record, len(items))
	for i, it := range items {
		batch[i] = &it.Record
	}
	ctx, cancel := context.WithTimeout(ctx, c.spec.Timeout)
	defer cancel()
	defer func() { err = late(ctx, err) }()
	defer recovered(&err)
	return c.spec.Sink.Write(ctx, batch)
}

// flushes is the loop of a flusher's barriers.
func (c *Client) flushes(ctx context.Context) {
	timer := time.NewTicker(c.spec.FlushEvery)
	defer timer.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-c.flushNow:
		}
		err := c.flush(ctx)
		if err == nil || errors.Is(err, ErrNotYet) || ctx.Err() != nil {
			c.unflushed.Store(nil)
			n = 0
			continue
		}
		e := fault.Of(err)
		wait := backoff(c.spec.Backoff, n)
		switch e.Class {
		case fault.Permanent:
			c.fail(err)
			return
		case fault.Throttled:
			wait = throttle(e)
		}
		c.standsStill(err)
		c.runtime.scope.Logger().WarnContext(ctx, "sink is not flushed, will retry", "client", c.spec.Name, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		n++
		notify(c.flushNow)
	}
}

// standsStill shows why the sink is not flushed, and since when.
func (c *Client) standsStill(err error) {
	shown := phase{Kind: PhaseFlush, Since: time.Now(), Reason: err.Error()}
	if before := c.unflushed.Load(); before != nil {
		shown.Since = before.Since
	}
	c.unflushed.Store(&shown)
}

// flush makes what was written durable and commits it. One that ends with the
// context waits no longer for another that is under way.
func (c *Client) flush(ctx context.Context) error {
	select {
	case c.flushing <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("waiting for the flush under way: %w", ctx.Err())
	}
	defer func() { <-c.flushing }()
	all := c.all()
	written := make([]int64, len(all))
	news := false
	for i, p := range all {
		written[i], _, _ = p.tracker.position()
		p.mu.Lock()
		news = news || written[i] > p.flushed
		p.mu.Unlock()
	}
	if !news {
		return nil
	}
	if err := c.flushOnce(ctx); errors.Is(err, ErrNotYet) {
		return err
	} else if err != nil {
		c.metrics.failures.WithLabelValues(fault.Of(err).Class.String(), c.code(fault.Of(err).Code)).Inc()
		return err
	}
	for i, p := range all {
		p.mu.Lock()
		p.flushed = max(p.flushed, written[i])
		p.mu.Unlock()
	}
	if err := c.commit(ctx, all...); err != nil {
		return err
	}
	c.flusher.Committed()
	return nil
}

func (c *Client) flushOnce(ctx context.Context) (err error) {
	defer recovered(&err)
	return c.flusher.Flush(ctx)
}
