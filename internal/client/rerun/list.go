package rerun

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/decodersring/decoder/internal/bus"
)

// List returns the runs the log still knows, as they were last noted, in the
// order in which they were begun. Only what has been appended since the last
// call is read.
func (r *Reruns) List(ctx context.Context) ([]Run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	bounds, err := r.bus.Bounds(ctx, bus.TopicReruns)
	if err != nil {
		return nil, err
	}
	spans := map[int32]bus.Span{}
	for p, s := range bounds {
		if s.To < r.next[p] { // another topic of that name
			clear(r.known)
			clear(r.next)
			r.order = nil
		}
		spans[p] = bus.Span{From: max(s.From, r.next[p]), To: s.To}
	}
	if err := r.bus.Scan(ctx, bus.TopicReruns, spans, func(record *bus.Record) bool {
		r.see(record)
		return true
	}); err != nil {
		return nil, err
	}
	for p, s := range spans {
		r.next[p] = s.To
	}
	r.order = slices.DeleteFunc(r.order, func(id string) bool {
		n := r.known[id]
		gone := n.offset < bounds[n.partition].From
		if gone {
			delete(r.known, id)
		}
		return gone
	})
	runs := make([]Run, 0, len(r.order))
	for _, id := range r.order {
		runs = append(runs, r.known[id].run)
	}
	return runs, nil
}

func (r *Reruns) see(record *bus.Record) {
	var run Run
	if bus.Value(record, HeaderKind) != kindState || json.Unmarshal(record.Value, &run) != nil || run.ID == "" {
		return
	}
	before, known := r.known[run.ID]
	if !known {
		r.order = append(r.order, run.ID)
	}
	if !known || !run.Changed.Before(before.run.Changed) {
		r.known[run.ID] = noted{run, record.Partition, record.Offset}
	}
}

// each calls take for the records of a run.
func (r *Reruns) each(ctx context.Context, id string, take func(*bus.Record)) error {
	bounds, err := r.bus.Bounds(ctx, bus.TopicReruns)
	if err != nil {
		return err
	}
	return r.bus.Scan(ctx, bus.TopicReruns, bounds, func(record *bus.Record) bool {
		if bus.Value(record, HeaderRun) == id {
			take(record)
		}
		return true
	})
}

// Document returns the topic to which the live run appends the document that a
// record of the topic reruns holds; it reports false for a record that holds
// none.
func Document(r *bus.Record) (topic string, ok bool) {
	if bus.Value(r, HeaderKind) != kindDocument {
		return "", false
	}
	return bus.Value(r, HeaderTopic), true
}
