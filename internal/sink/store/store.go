// Package store is the sink that makes events and alerts searchable: records
// of the topics events, alerts and email_alert, and what reruns made instead
// of those, become documents of a store.Writer. It knows nothing of how they
// are stored.
package store

import (
	"context"
	"errors"
	"slices"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/store"
)

// Sink writes records to a store. It implements client.Sink, client.Flusher,
// client.Checker and client.Tryer.
type Sink struct{ writer store.Writer }

// New returns a sink that writes to w. When w has a method Check(ctx) error,
// it is asked whether the store can take documents.
func New(w store.Writer) *Sink { return &Sink{writer: w} }

// Topics are the topics the sink reads.
func Topics() []string { return append(live(), bus.TopicReruns) }

func live() []string { return []string{bus.TopicEvents, bus.TopicAlerts, bus.TopicEmailAlert} }

// Write hands a batch to the store. Of a rerun only what would be searchable,
// had it been made live, is written.
func (s *Sink) Write(ctx context.Context, batch []*client.Record) error {
	docs := make([]store.Doc, 0, len(batch))
	of := make([]int, 0, len(batch)) // the record of each document
	for i, r := range batch {
		if d, wanted := document(r); wanted {
			docs, of = append(docs, d), append(of, i)
		}
	}
	err := s.writer.Write(ctx, docs)
	if refused, ok := errors.AsType[store.DocErrors](err); ok {
		errs := client.RecordErrors{}
		for i, err := range refused {
			errs[of[i]] = err
		}
		return errs
	}
	return err
}

// Try implements [client.Tryer].
func (s *Sink) Try(ctx context.Context, r *client.Record) error {
	d, wanted := document(r)
	t, can := s.writer.(store.Tester)
	switch {
	case !wanted:
		return nil
	case !can:
		return client.ErrNoTry
	}
	return t.Test(ctx, d)
}

// Flush returns when everything written is durable and can be found.
func (s *Sink) Flush(ctx context.Context) error { return s.writer.Flush(ctx) }

// Committed passes on that what was flushed will not come again.
func (s *Sink) Committed() { s.writer.Committed() }

// Check reports whether the store can take documents.
func (s *Sink) Check(ctx context.Context) error {
	if c, ok := s.writer.(client.Checker); ok {
		return c.Check(ctx)
	}
	return nil
}

// document makes a document of a record; it reports false for what is none.
func document(r *client.Record) (store.Doc, bool) {
	again := r.Topic == bus.TopicReruns
	if again {
		if topic, is := rerun.Document(r.Record); !is || !slices.Contains(live(), topic) {
			return store.Doc{}, false
		}
	}
	d := r.Document()
	return store.Doc{ID: d.ID, Time: d.Time, Capture: d.Capture, Rerun: again, JSON: r.Value}, true
}
