// Package store is the sink that makes events and alerts searchable: records
// of the topics events, alerts and email_alert become documents of a
// store.Writer. It knows nothing of how they are stored.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/store"
)

// Sink writes records to a store. It implements client.Sink, client.Flusher
// and client.Checker.
type Sink struct{ writer store.Writer }

// New returns a sink that writes to w. When w has a method Check(ctx) error,
// it is asked whether the store can take documents.
func New(w store.Writer) *Sink { return &Sink{writer: w} }

// Write hands a batch to the store. Records without the headers decoder-id and
// decoder-time are parsed for them; what is in neither is taken from the
// record: its origin gives the id, its timestamp the time.
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
	d := store.Doc{JSON: r.Value}
	for _, h := range r.Headers {
		switch h.Key {
		case event.HeaderID:
			d.ID = string(h.Value)
		case event.HeaderTime:
			d.Time, _ = time.Parse(time.RFC3339Nano, string(h.Value)) // else the zero time: not known
		case event.HeaderCapture:
			d.Capture = len(h.Value) > 0
		}
	}
	if d.ID == "" || d.Time.IsZero() {
		parse(&d)
	}
	if d.ID == "" {
		d.ID = event.ID(r.Origin, event.KindEvent, 0)
	}
	if d.Time.IsZero() {
		d.Time = r.Timestamp
	}
	return d
}

// parse fills in what the headers did not say. A value that is not JSON stays
// as it is: the store names it.
func parse(d *store.Doc) {
	var f event.Flattener
	_ = f.Flatten(d.JSON, func(path, value []byte, kind event.Kind) error {
		if kind != event.String {
			return nil
		}
		switch string(path) {
		case "event.id":
			if d.ID == "" {
				d.ID = string(value)
			}
		case "@timestamp":
			if d.Time.IsZero() {
				d.Time, _ = time.Parse(time.RFC3339Nano, string(value))
			}
		case "decoder.capture.name":
			d.Capture = d.Capture || len(value) > 0
		}
		return nil
	})
}
