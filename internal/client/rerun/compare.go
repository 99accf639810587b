package rerun

import (
	"context"
	"maps"
	"slices"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Difference is what a run made otherwise than the live run has, by the ids
// documents have there.
type Difference struct {
	Same   int      `json:"same"`
	New    []string `json:"new"`    // the run made them, the live run did not
	Gone   []string `json:"gone"`   // the live run made them of the same records, the run did not
	Failed int      `json:"failed"` // records the stage could not handle in the run
}

// Compare compares a run with what the live run has appended, as far as the
// log still holds it.
func (r *Reruns) Compare(ctx context.Context, run Run) (Difference, error) {
	var d Difference
	made := map[string]bool{}
	err := r.each(ctx, run.ID, func(record *bus.Record) {
		switch bus.Value(record, HeaderKind) {
		case kindDocument:
			made[bus.Value(record, HeaderLiveID)] = true
		case kindFailure:
			d.Failed++
		}
	})
	if err != nil {
		return d, err
	}
	gone := map[string]string{} // id to origin
	for _, topic := range run.Outputs {
		if err := r.live(ctx, topic, func(id, origin string) {
			if made[id] {
				delete(made, id)
				d.Same++
			} else {
				gone[id] = origin
			}
		}); err != nil {
			return d, err
		}
	}
	if err := r.keepRead(ctx, run, gone); err != nil {
		return d, err
	}
	d.New, d.Gone = slices.Sorted(maps.Keys(made)), slices.Sorted(maps.Keys(gone))
	return d, nil
}

// live calls take for each document of a topic, once.
func (r *Reruns) live(ctx context.Context, topic string, take func(id, origin string)) error {
	bounds, err := r.bus.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	return r.bus.Scan(ctx, topic, bounds, func(record *bus.Record) bool {
		if id := bus.Value(record, event.HeaderID); id != "" && !seen[id] {
			seen[id] = true
			take(id, bus.Value(record, event.HeaderOrigin))
		}
		return true
	})
}

// keepRead drops documents that were not made of records the run has read: of
// those the run says nothing.
func (r *Reruns) keepRead(ctx context.Context, run Run, documents map[string]string) error {
	if len(documents) == 0 {
		return nil
	}
	wanted, read := map[string]bool{}, map[string]bool{}
	for _, origin := range documents {
		wanted[origin] = true
	}
	for _, topic := range run.Inputs {
		id, err := r.bus.TopicID(ctx, topic)
		if err != nil {
			return err
		}
		spans := map[int32]bus.Span{}
		for _, s := range run.Spans {
			if s.Topic == topic {
				spans[s.Partition] = bus.Span{From: s.From, To: s.To}
			}
		}
		if err := r.bus.Scan(ctx, topic, spans, func(record *bus.Record) bool {
			origin := bus.Value(record, event.HeaderOrigin)
			if origin == "" {
				origin = event.LogOrigin(id, record.Partition, record.Offset)
			}
			if wanted[origin] {
				read[origin] = true
			}
			return true
		}); err != nil {
			return err
		}
	}
	maps.DeleteFunc(documents, func(_, origin string) bool { return !read[origin] })
	return nil
}
