// Package jsonify is the stage that turns each message on email_ingest into a
// document on email_jsonified. It owns which shapes of record it takes, how
// much of a body is kept and how the document is addressed on the log; what
// is in a message is package mail's to say.
package jsonify

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// KindEmail is the kind of output of which a message's document is the only
// one.
const KindEmail = "email"

// DefaultBody is how much of a message's text is kept: enough for every check.
const DefaultBody = 64 << 10

// Config says how messages are read and what of them is kept.
type Config struct {
	Limits mail.Limits
	Border mail.Border
	Own    []string // own domains
	// Body is how many bytes of a message's text stay in its document: 0 is
	// DefaultBody, below 0 none. The checks of words read no more than that.
	Body int
	// Auth computes SPF, DKIM and DMARC where the border has not written its
	// results; nil leaves them unknown. It waits for the DNS, so the stage
	// should then run concurrently.
	Auth Authenticator
	// Recorded is asked instead of Auth, if it is set: a rerun takes what was
	// computed when the message came. An error is the log's.
	Recorded func(ctx context.Context, doc *mail.Document) (mail.Auth, error)
}

// Authenticator computes what a message's authentication is worth. What it
// returns stands in the document with its time.
type Authenticator interface {
	Check(ctx context.Context, raw []byte, doc *mail.Document) mail.Auth
}

// Stage implements client.Stage. It may be used concurrently.
type Stage struct {
	config  Config
	defects *prometheus.CounterVec
	shapes  *prometheus.CounterVec
}

// New returns the stage.
func New(c Config, scope obs.Scope) *Stage {
	if c.Body == 0 {
		c.Body = DefaultBody
	}
	s := &Stage{
		config: c,
		defects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_mail_defects_total", Help: "Messages with a defect, by defect.",
		}, []string{"defect"}),
		shapes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_mail_messages_total", Help: "Messages read, by the shape they came in.",
		}, []string{"shape"}),
	}
	scope.Register(s.defects, s.shapes)
	return s
}

// Handle implements client.Stage. Only a record without any message is its
// own fault: all else gives a document.
func (s *Stage) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	raw, delivery, shape, err := mail.Unwrap(in.Value)
	if err != nil {
		return fault.NewPermanent("no_message", err)
	}
	if h := bus.Value(in.Record, mail.HeaderDelivery); h != "" {
		var d mail.Delivery
		if err := json.Unmarshal([]byte(h), &d); err != nil {
			return fault.NewPermanent("bad_delivery_header", fmt.Errorf("reading header %s: %w", mail.HeaderDelivery, err))
		}
		delivery = merge(d, delivery)
	}
	doc := mail.Decode(raw, delivery, mail.Options{
		Limits: s.config.Limits, Border: s.config.Border, Own: s.config.Own, Default: in.Timestamp.UTC(),
	})
	if err := s.authenticate(ctx, raw, doc); err != nil {
		return err
	}
	s.address(doc, in, shape)
	value, err := json.Marshal(doc)
	if err != nil {
		return fault.NewPermanent("document", fmt.Errorf("writing document: %w", err))
	}
	s.shapes.WithLabelValues(shape).Inc()
	for _, d := range doc.Mail.Defects {
		s.defects.WithLabelValues(d).Inc()
	}
	origin := mail.Origin(doc.Mail.Identity)
	headers := []bus.Header{
		{Key: event.HeaderOrigin, Value: []byte(origin)},
		{Key: event.HeaderID, Value: []byte(doc.Event.ID)},
		{Key: event.HeaderTime, Value: []byte(doc.Timestamp.Format(time.RFC3339Nano))},
	}
	if c := bus.Value(in.Record, event.HeaderCapture); c != "" {
		headers = append(headers, bus.Header{Key: event.HeaderCapture, Value: []byte(c)})
	}
	out.Emit(bus.TopicJsonified, []byte(doc.Mail.Identity), value, headers...)
	return nil
}

// authenticate fills in what the border has not written.
func (s *Stage) authenticate(ctx context.Context, raw []byte, doc *mail.Document) (err error) {
	switch {
	case doc.Mail.Auth.Trusted:
		return nil
	case s.config.Recorded != nil:
		doc.Mail.Auth, err = s.config.Recorded(ctx, doc)
		return err
	case s.config.Auth != nil:
		doc.Mail.Auth = s.config.Auth.Check(ctx, raw, doc)
		return ctx.Err()
	}
	return nil
}

// Recall returns, as JSON, what a document on email_jsonified says was computed
// of its message's authentication: a mail.Auth.
func Recall(value []byte) ([]byte, error) {
	var doc struct {
		Mail struct {
			Auth json.RawMessage `json:"auth"`
		} `json:"mail"`
	}
	if err := json.Unmarshal(value, &doc); err != nil {
		return nil, fault.NewPermanent("bad_document", fmt.Errorf("reading the document recorded: %w", err))
	}
	return doc.Mail.Auth, nil
}

// address gives the document its id, the place of its raw record, and takes
// away what is not to be kept.
func (s *Stage) address(doc *mail.Document, in *client.Record, shape string) {
	doc.Event.ID = event.ID(mail.Origin(doc.Mail.Identity), KindEmail, 0)
	doc.Event.Created = in.Timestamp.UTC()
	doc.Mail.Shape = shape
	doc.Decoder = &mail.Decoder{Raw: &mail.RawRecord{Topic: in.Topic, Partition: in.Partition, Offset: in.Offset}}
	doc.Mail.Body.Text = mail.Truncate(doc.Mail.Body.Text, max(0, s.config.Body))
}

// merge takes what the source saw before what the wrapping says.
func merge(seen, said mail.Delivery) mail.Delivery {
	if seen.From == "" && !seen.Null {
		seen.From = said.From
	}
	if len(seen.To) == 0 {
		seen.To = said.To
	}
	return seen
}
