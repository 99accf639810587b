package client

import (
	"context"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
)

// item is a record on its way through a client.
type item struct {
	Record
	at       *bus.Record // as it lies on the log: the record itself, or what wraps a resent one
	letter   dead.Letter // of a resent record: its history
	failed   failing
	before   int  // attempts that do not count: made before the other side was known to answer
	verified bool // since before, it has
	outages  int  // of the other side, when verified
}

// load fills an item from a record as read. It reports false for a resent
// record that is for another client.
func (p *partition) load(ctx context.Context, it *item, r *bus.Record) (bool, error) {
	*it = item{at: r, Record: Record{Record: r}}
	if r.Topic == bus.TopicResend {
		if dead.Addressee(r) != p.c.spec.Name {
			return false, nil
		}
		it.letter = dead.Unwrap(r)
		it.Record.Record, it.Resent, it.Origin = it.letter.Record, true, it.letter.Origin
	}
	if origin := bus.Value(it.Record.Record, event.HeaderOrigin); origin != "" {
		it.Origin = origin
	} else if it.Origin == "" {
		id, err := p.c.runtime.bus.TopicID(ctx, it.Topic)
		if err != nil {
			return false, err
		}
		it.Origin = event.LogOrigin(id, it.Partition, it.Offset)
	}
	it.failed = p.attempts(r.Offset)
	return true, nil
}

func size(r *bus.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
