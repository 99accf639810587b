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

// Live finds by id what the live run has recorded in a topic's documents, so
// that a rerun can use it instead of asking again. Its methods may be called
// concurrently.
type Live struct {
	bus   *bus.Bus
	topic string
	pick  Pick
	at    map[uint64]place
	kept  map[uint64][]byte // of those, what is wanted of the first
}

// Pick returns what is wanted of a document. Its error is the document's.
type Pick func(document []byte) ([]byte, error)

type place struct {
	partition int32
	offset    int64
}

// Bounds of what is in memory.
const (
	maxIndexed = 1_000_000 // documents, some 40 bytes each for their places
	maxKept    = 32 << 20  // bytes of what is wanted of them; the rest is read when it is needed
)

// ErrTooManyLive means that the places of what the live run has appended do
// not fit into memory.
var ErrTooManyLive = errors.New("more than a million recorded documents would have to be looked through: run the stage again over less, with a later start")

// Live looks through a topic from a time on for the documents that a stage has
// appended there. Of two with one id the first counts.
func (r *Reruns) Live(ctx context.Context, topic, stage string, from time.Time, pick Pick) (*Live, error) {
	spans, err := r.bus.After(ctx, topic, from)
	if err != nil {
		return nil, err
	}
	l := &Live{bus: r.bus, topic: topic, pick: pick, at: map[uint64]place{}, kept: map[uint64][]byte{}}
	room := maxKept
	err = r.bus.Scan(ctx, topic, spans, func(record *bus.Record) bool {
		if bus.Value(record, event.HeaderStage) != stage {
			return true
		}
		key := hash([]byte(bus.Value(record, event.HeaderID)))
		if _, there := l.at[key]; there {
			return true
		}
		l.at[key] = place{record.Partition, record.Offset}
		if room > 0 {
			if wanted, err := pick(record.Value); err == nil { // else its error is told to who asks for it
				l.kept[key] = wanted
				room -= len(wanted) + 64
			}
		}
		return len(l.at) <= maxIndexed
	})
	if err == nil && len(l.at) > maxIndexed {
		err = ErrTooManyLive
	}
	return l, err
}

// Value returns what is wanted of the document of that id, nil if the log
// holds none. An error of the log is worth another try.
func (l *Live) Value(ctx context.Context, id string) ([]byte, error) {
	key := hash([]byte(id))
	if wanted, kept := l.kept[key]; kept {
		return wanted, nil
	}
	at, there := l.at[key]
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
	return l.pick(record.Value)
}
