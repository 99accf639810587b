// Package hygiene is the stage that judges each message on email_jsonified:
// a verdict event on events, an alert on email_alert when there is cause, and
// a place on email_recheck when a service did not answer. It owns how verdicts
// travel on the log; how they come about is the engine's.
package hygiene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
)

// Concurrency and Window suit a service that takes 100 ms: the stage's client
// should run with them (client.Spec).
const (
	Concurrency = 256
	Window      = 512
)

// Stage implements client.Stage. It may be used concurrently.
type Stage struct {
	engine   *hygiene.Engine
	keep     hygiene.Keep
	verdicts *prometheus.CounterVec
}

// New returns the stage.
func New(e *hygiene.Engine, k hygiene.Keep, scope obs.Scope) *Stage {
	s := &Stage{engine: e, keep: k, verdicts: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "decoder_mail_verdicts_total", Help: "Verdicts, by result.",
	}, []string{"result"})}
	scope.Register(s.verdicts)
	return s
}

// Handle implements client.Stage. It never fails for what a service did or did
// not say: such a verdict goes out incomplete.
func (s *Stage) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	doc, err := read(in.Value)
	if err != nil {
		return err
	}
	v := s.engine.Check(ctx, doc)
	if err := ctx.Err(); err != nil {
		return err // stopping, not a service's silence
	}
	if err := s.emit(in, doc, v, v.Alarming(), out); err != nil {
		return err
	}
	if v.Incomplete {
		return wait(in, doc, v, 0, out)
	}
	return nil
}

func read(value []byte) (*mail.Document, error) {
	var doc mail.Document
	if err := json.Unmarshal(value, &doc); err != nil {
		return nil, fault.NewPermanent("bad_document", fmt.Errorf("reading document: %w", err))
	}
	switch {
	case doc.Mail.SchemaVersion > mail.SchemaVersion:
		return nil, fault.NewPermanent("schema_newer", fmt.Errorf("the document is of version %d, this program reads up to %d", doc.Mail.SchemaVersion, mail.SchemaVersion))
	case doc.Mail.SchemaVersion == 0 || doc.Mail.Identity == "":
		return nil, fault.NewPermanent("bad_document", errors.New("the document has no mail.schema_version or mail.identity"))
	}
	return &doc, nil
}

func (s *Stage) emit(in *client.Record, doc *mail.Document, v hygiene.Verdict, alert bool, out *client.Output) error {
	ev, err := hygiene.EventOf(doc, v, s.keep)
	if err != nil {
		return fault.NewPermanent("document", err)
	}
	key := []byte(doc.Mail.Identity)
	out.Emit(bus.TopicEvents, key, ev.Value, headers(in, doc, ev)...)
	s.verdicts.WithLabelValues(v.Result).Inc()
	if !alert {
		return nil
	}
	al, err := hygiene.AlertOf(doc, v, s.keep)
	if err != nil {
		return fault.NewPermanent("document", err)
	}
	out.Emit(bus.TopicEmailAlert, key, al.Value, headers(in, doc, al)...)
	return nil
}

func headers(in *client.Record, doc *mail.Document, o hygiene.Output) []bus.Header {
	h := []bus.Header{
		{Key: event.HeaderOrigin, Value: []byte(mail.Origin(doc.Mail.Identity))},
		{Key: event.HeaderID, Value: []byte(o.ID)},
		{Key: event.HeaderTime, Value: []byte(o.Time.Format(time.RFC3339Nano))},
	}
	if c := bus.Value(in.Record, event.HeaderCapture); c != "" {
		h = append(h, bus.Header{Key: event.HeaderCapture, Value: []byte(c)})
	}
	return h
}
