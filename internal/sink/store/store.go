// Package store is the sink that makes events and alerts searchable: records
// of the topics events, alerts and email_alert become documents of a
// store.Writer. It knows nothing of how they are stored.
package store

import (
	"context"
	"errors"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/store"
)

// Sink writes records to a store. It implements client.Sink, client.Flusher
// and client.Checker.
type Sink struct{ writer store.Writer }

// New returns a sink that writes to w. When w has a method Check(ctx) error,
// it is asked whether the store can take documents.
func New(w store.Writer) *Sink { return &Sink{writer: w} }

// Write hands a batch to the store.
func (s *Sink) Write(ctx context.Context, batch []*client.Record) error {
	docs := make([]store.Doc, len(batch))
	for i, r := range batch {
		docs[i] = document(r)
	}
	err := s.writer.Write(ctx, docs)
	if refused, ok := errors.AsType[store.DocErrors](err); ok {
		return client.RecordErrors(refused)
	}
	return err
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

func document(r *client.Record) store.Doc {
	d := r.Document()
	return store.Doc{ID: d.ID, Time: d.Time, Capture: d.Capture, JSON: r.Value}
}
