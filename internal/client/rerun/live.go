package rerun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Live finds by id what the live run has appended to a topic, so that a rerun
// can use what was recorded there instead of asking again. Its methods may be
// called concurrently.
type Live struct {
	bus   *bus.Bus
	topic string
	at    map[uint64]place
}

type place struct {
	partition int32
	offset    int64
}

// maxIndexed bounds the documents whose places are in memory, some 40 bytes
// each.
const maxIndexed = 1_000_000

// ErrTooManyLive means that the places of what the live run has appended do
// not fit into memory.
var ErrTooManyLive = errors.New("more than a million recorded documents would have to be looked through: run the stage again over less, with a later start")

// Live looks through a topic from a time on for the documents that a stage has
// appended there. Of two with one id the first counts.
func (r *Reruns) Live(ctx context.Context, topic, stage string, from time.Time) (*Live, error) {
	spans, err := r.bus.After(ctx, topic, from)
	if err != nil {
		return nil, err
	}
	l := &Live{bus: r.bus, topic: topic, at: map[uint64]place{}}
	err = r.bus.Scan(ctx, topic, spans, func(record *bus.Record) bool {
		if bus.Value(record, event.HeaderStage) != stage {
			return true
		}
		key := hash([]byte(bus.Value(record, event.HeaderID)))
		if _, there := l.at[key]; !there {
			l.at[key] = place{record.Partition, record.Offset}
		}
		return len(l.at) <= maxIndexed
	})
	if err == nil && len(l.at) > maxIndexed {
		err = ErrTooManyLive
	}
	return l, err
}

// Value returns the document of that id, nil if the log holds none. Its error
// is the log's, and worth another try.
func (l *Live) Value(ctx context.Context, id string) ([]byte, error) {
	at, there := l.at[hash([]byte(id))]
	if !there {
		return nil, nil
	}
	record, err := l.bus.At(ctx, bus.Partition{Topic: l.topic, Partition: at.partition}, at.offset)
	if err != nil {
		return nil, fault.NewRetry("log", fmt.Errorf("reading what was recorded: %w", err))
	}
	if record == nil || bus.Value(record, event.HeaderID) != id {
		return nil, nil // retention has taken it
	}
	return record.Value, nil
}
