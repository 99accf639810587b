package hygiene

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
)

// Recorded returns what Recall has made of the event of a verdict, by the
// event's id; nil when the log holds none any more.
type Recorded func(ctx context.Context, id string) ([]byte, error)

// Recall returns the verdict in the event of one, as JSON.
func Recall(value []byte) ([]byte, error) {
	var e struct {
		Mail struct {
			Verdict json.RawMessage `json:"verdict"`
		} `json:"mail"`
	}
	if err := json.Unmarshal(value, &e); err != nil {
		return nil, fault.NewPermanent(codeBadVerdict, fmt.Errorf("reading the verdict recorded: %w", err))
	}
	return e.Mail.Verdict, nil
}

const codeBadVerdict = "bad_verdict"

// Repeat is the stage as a rerun needs it: it asks no service, learns nothing
// about senders, and puts nothing on email_recheck. Each message is judged as
// of its first verdict, with the answers recorded there.
type Repeat struct {
	stage    *Stage
	recorded Recorded
}

// NewRepeat returns the stage.
func NewRepeat(e *hygiene.Engine, k hygiene.Keep, r Recorded) *Repeat {
	return &Repeat{stage: New(e, k, obs.Scope{}), recorded: r} // what it judges is none of the program's metrics
}

// Handle implements client.Stage.
func (r *Repeat) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	doc, err := read(in.Value)
	if err != nil {
		return err
	}
	before, err := r.before(ctx, doc)
	if err != nil {
		return err
	}
	v := r.stage.engine.Repeat(doc, before)
	return r.stage.emit(in, doc, v, v.Alarming(), out)
}

// unrecorded is the answer that stands for all that is not known any more: the
// verdict is then incomplete, and never clean.
func unrecorded() hygiene.Verdict {
	return hygiene.Verdict{Answers: []hygiene.Answer{{Service: "log", Result: "error", Detail: "no verdict is recorded"}}}
}

func (r *Repeat) before(ctx context.Context, doc *mail.Document) (hygiene.Verdict, error) {
	value, err := r.recorded(ctx, event.ID(mail.Origin(doc.Mail.Identity), event.KindEvent, 0))
	if err != nil {
		return hygiene.Verdict{}, err
	}
	if value == nil {
		return unrecorded(), nil
	}
	var v hygiene.Verdict
	if err := json.Unmarshal(value, &v); err != nil {
		return v, fault.NewPermanent(codeBadVerdict, fmt.Errorf("reading the verdict recorded: %w", err))
	}
	return v, nil
}
