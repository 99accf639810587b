package client

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// Assigned implements [bus.Member].
func (c *Client) Assigned(ctx context.Context, given map[bus.Partition]bus.Position) (map[bus.Partition]int64, error) {
	topics, err := c.survey(ctx, given)
	if err != nil {
		return nil, err
	}
	elsewhere := map[bus.Partition]int64{}
	for tp, at := range given {
		topic := topics[tp.Topic]
		span := topic.bounds[tp.Partition]
		if id := readMarks(at.Metadata).Topic; id != "" && id != topic.id { // of one that had the same name
			at = bus.Position{Offset: -1}
			elsewhere[tp] = span.From
		} else if c.resumer != nil && tp.Topic != bus.TopicResend {
			next, known, err := c.resumer.Resume(ctx, tp)
			if err != nil {
				return nil, fmt.Errorf("asking the sink where to begin: %w", err)
			}
			if known {
				at.Offset = next
				elsewhere[tp] = next
			}
		}
		p := c.newPartition(tp, at, span.To, topic.id)
		c.mu.Lock()
		before := c.partitions[tp]
		c.partitions[tp] = p
		c.mu.Unlock()
		if before != nil { // given again without having been taken: begin anew
			before.halt()
			before.cancel()
			before.drop()
		}
		c.start(p.run)
	}
	return elsewhere, nil
}

// surveyed is what the log says of a topic.
type surveyed struct {
	id     string
	bounds map[int32]bus.Span
}

func (c *Client) survey(ctx context.Context, given map[bus.Partition]bus.Position) (map[string]surveyed, error) {
	topics := map[string]surveyed{}
	for tp := range given {
		if _, done := topics[tp.Topic]; done {
			continue
		}
		id, err := c.runtime.bus.FreshTopicID(ctx, tp.Topic)
		if err != nil {
			return nil, err
		}
		bounds, err := c.runtime.bus.Bounds(ctx, tp.Topic)
		if err != nil {
			return nil, err
		}
		topics[tp.Topic] = surveyed{hex.EncodeToString(id[:]), bounds}
	}
	return topics, nil
}

// Revoked implements [bus.Member]. It lets what is being handled end, makes it
// durable and commits it, unless the partitions are lost already.
func (c *Client) Revoked(ctx context.Context, taken []bus.Partition, lost bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace+leaving)
	defer cancel()
	var mine []*partition
	for _, tp := range taken {
		c.mu.Lock()
		p := c.partitions[tp]
		c.mu.Unlock()
		if p != nil {
			p.halt()
			mine = append(mine, p)
		}
	}
	if !lost {
		c.windDown(ctx, mine)
	}
	for _, p := range mine {
		p.cancel()
		c.mu.Lock()
		delete(c.partitions, p.Partition)
		c.mu.Unlock()
		p.drop()
	}
}

func (c *Client) windDown(ctx context.Context, mine []*partition) {
	patience := time.After(grace)
	for _, p := range mine {
		p.settleDown(patience)
	}
	for _, p := range mine {
		p.mu.Lock()
		p.finished, p.dirty = true, true
		p.mu.Unlock()
	}
	if c.flusher != nil {
		flushing, cancel := context.WithTimeout(ctx, leaving-inReserve)
		defer cancel()
		if err := c.flush(flushing); err != nil && !errors.Is(err, ErrNotYet) {
			c.runtime.scope.Logger().WarnContext(ctx, "sink is not flushed, its records will be written again", "client", c.spec.Name, "err", err)
		}
	}
	if err := c.commit(ctx, mine...); err != nil {
		c.runtime.scope.Logger().WarnContext(ctx, "offsets are not committed, records will be handled again", "client", c.spec.Name, "err", err)
	}
}

// settleDown waits, but not beyond patience, until the goroutine has ended and
// the log has acknowledged what it was given.
func (p *partition) settleDown(patience <-chan time.Time) {
	for {
		select {
		case <-p.done:
		case <-patience:
			return
		}
		if !p.tracker.waits() {
			return
		}
		select {
		case <-p.progress:
		case <-patience:
			return
		}
	}
}

// waits reports whether outputs are on their way, other than behind a record
// that was begun and left.
func (t *tracker) waits() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries) > 0 && t.entries[0].underWay() && !t.entries[0].left
}
