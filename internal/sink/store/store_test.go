package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

type writer struct {
	docs             []store.Doc
	err              error
	flushes, commits int
}

func (w *writer) Write(_ context.Context, docs []store.Doc) error {
	w.docs = append(w.docs, docs...)
	return w.err
}
func (w *writer) Flush(context.Context) error { w.flushes++; return w.err }
func (w *writer) Committed()                  { w.commits++ }
func (w *writer) Check(context.Context) error { return w.err }

func record(value string, headers ...string) *client.Record {
	r := &client.Record{Record: &bus.Record{Value: []byte(value), Timestamp: time.Unix(7, 0)}, Origin: "o"}
	for i := 0; i < len(headers); i += 2 {
		r.Headers = append(r.Headers, bus.Header{Key: headers[i], Value: []byte(headers[i+1])})
	}
	return r
}

func TestRecordsBecomeDocuments(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	stamp := "2026-01-02T03:04:05.000000006Z"
	body := `{"@timestamp":"` + stamp + `","event":{"id":"a"},"decoder":{"capture":{"name":"c"}}}`
	for name, c := range map[string]struct {
		in   *client.Record
		want store.Doc
	}{
		"headers route without parsing": {record("x", event.HeaderID, "i", event.HeaderTime, stamp), store.Doc{ID: "i", Time: at}},
		"a capture":                     {record("x", event.HeaderID, "i", event.HeaderTime, stamp, event.HeaderCapture, "f"), store.Doc{ID: "i", Time: at, Capture: true}},
		"no headers":                    {record(body), store.Doc{ID: "a", Time: at, Capture: true}},
		"a broken time":                 {record(body, event.HeaderID, "a", event.HeaderTime, "yesterday"), store.Doc{ID: "a", Time: at, Capture: true}},
		"nothing known":                 {record(`{"a":1}`), store.Doc{ID: event.ID("o", event.KindEvent, 0), Time: time.Unix(7, 0)}},
		"not JSON":                      {record(`{"a":`), store.Doc{ID: event.ID("o", event.KindEvent, 0), Time: time.Unix(7, 0)}},
	} {
		w := &writer{}
		if err := New(w).Write(t.Context(), []*client.Record{c.in}); err != nil {
			t.Fatal(err)
		}
		c.want.JSON = c.in.Value
		if d := cmp.Diff([]store.Doc{c.want}, w.docs); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func TestRefusedDocumentsBecomeRecordErrors(t *testing.T) {
	cause := fault.NewPermanent(store.CodeTooOld, errors.New("old"))
	w := &writer{err: store.DocErrors{1: cause}}
	err := New(w).Write(t.Context(), []*client.Record{record("x"), record("y")})
	refused, ok := errors.AsType[client.RecordErrors](err)
	if !ok || len(refused) != 1 || !errors.Is(refused[1], cause) {
		t.Errorf("got %v", err)
	}
	w.err = fault.NewRetry("disk_low", errors.New("full"))
	if err := New(w).Write(t.Context(), []*client.Record{record("x")}); !errors.Is(err, w.err) {
		t.Errorf("got %v, want the store's own error", err)
	}
	if err := New(w).Check(t.Context()); !errors.Is(err, w.err) {
		t.Errorf("check: got %v", err)
	}
}

func TestOfARerunOnlyDocumentsAreWrittenAndApart(t *testing.T) {
	at := "2026-01-02T03:04:05Z"
	again := func(id string, headers ...string) *client.Record {
		r := record(`{}`, append(headers, event.HeaderID, id, event.HeaderTime, at)...)
		r.Topic = bus.TopicReruns
		return r
	}
	w := &writer{err: store.DocErrors{1: errors.New("refused")}}
	err := New(w).Write(t.Context(), []*client.Record{
		again("state", rerun.HeaderKind, "state"), again("a", rerun.HeaderKind, "document", rerun.HeaderTopic, bus.TopicAlerts),
		again("message", rerun.HeaderKind, "document", rerun.HeaderTopic, bus.TopicJsonified),
		again("b", rerun.HeaderKind, "document", rerun.HeaderTopic, bus.TopicEvents), again("failure", rerun.HeaderKind, "failure"),
	})
	var ids []string
	for _, d := range w.docs {
		if ids = append(ids, d.ID); !d.Rerun {
			t.Errorf("%s is not apart", d.ID)
		}
	}
	if d := cmp.Diff([]string{"a", "b"}, ids); d != "" {
		t.Error(d)
	}
	refused, ok := errors.AsType[client.RecordErrors](err)
	if !ok || len(refused) != 1 || refused[3] == nil {
		t.Errorf("got %v, want an error of record 3", err)
	}
}

func TestBarriersReachTheStore(t *testing.T) {
	w := &writer{}
	s := New(w)
	var _ client.Sink = s
	var _ client.Flusher = s
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Committed()
	if w.flushes != 1 || w.commits != 1 {
		t.Errorf("%d flushes and %d commits reached the store", w.flushes, w.commits)
	}
}
