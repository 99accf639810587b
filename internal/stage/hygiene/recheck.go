package hygiene

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/hygiene"
)

// headerAttempt counts, on email_recheck, the re-checks a message has had.
const headerAttempt = "mail-recheck-attempt"

// Defaults of re-checking: six times, ten minutes apart.
const (
	RecheckDelay    = 10 * time.Minute
	RecheckAttempts = 6
)

// wait puts a message with its verdict on email_recheck. All wait equally long
// there, so the first in is the first due, and order is all the queue needs.
func wait(in *client.Record, doc *mail.Document, v hygiene.Verdict, attempt int, out *client.Output) error {
	verdict, err := json.Marshal(v)
	if err != nil {
		return fault.NewPermanent("document", fmt.Errorf("writing verdict: %w", err))
	}
	doc.Mail.Verdict = verdict
	value, err := json.Marshal(doc)
	if err != nil {
		return fault.NewPermanent("document", fmt.Errorf("writing document: %w", err))
	}
	h := headers(in, doc, hygiene.Output{ID: doc.Event.ID, Time: doc.Timestamp})
	h = append(h, bus.Header{Key: headerAttempt, Value: []byte(strconv.Itoa(attempt))})
	out.Emit(bus.TopicRecheck, []byte(doc.Mail.Identity), value, h...)
	return nil
}

// Recheck is the stage on email_recheck. A verdict that has become more
// complete goes out as the next revision.
type Recheck struct {
	stage    *Stage
	delay    time.Duration
	attempts int
	now      func() time.Time
}

// NewRecheck returns the stage. Zero values take the defaults.
func NewRecheck(s *Stage, delay time.Duration, attempts int) *Recheck {
	if delay <= 0 {
		delay = RecheckDelay
	}
	if attempts <= 0 {
		attempts = RecheckAttempts
	}
	return &Recheck{stage: s, delay: delay, attempts: attempts, now: time.Now}
}

// Handle implements client.Stage. It asks to be called again when the record
// is due; that is the one decision made by the wall clock, and it decides
// nothing but when a service is asked.
func (r *Recheck) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	if left := in.Timestamp.Add(r.delay).Sub(r.now()); left > 0 {
		return fault.NewThrottled("not_due", left, errors.New("the message is not due to be checked again"))
	}
	doc, err := read(in.Value)
	if err != nil {
		return err
	}
	var before hygiene.Verdict
	if err := json.Unmarshal(doc.Mail.Verdict, &before); err != nil {
		return fault.NewPermanent("bad_document", fmt.Errorf("reading verdict: %w", err))
	}
	doc.Mail.Verdict = nil
	attempt, _ := strconv.Atoi(bus.Value(in.Record, headerAttempt))
	v := r.stage.engine.Recheck(ctx, doc, before)
	if err := ctx.Err(); err != nil {
		return err
	}
	if missing(v) >= missing(before) {
		v = before // nothing new: no revision for that
	} else if err := r.stage.emit(in, doc, v, v.Alarming() || before.Alarming(), out); err != nil {
		return err
	}
	if v.Incomplete && attempt+1 < r.attempts {
		return wait(in, doc, v, attempt+1, out)
	}
	return nil
}

// missing counts the answers a verdict lacks.
func missing(v hygiene.Verdict) int {
	n := 0
	for _, a := range v.Answers {
		if a.Result == "error" {
			n++
		}
	}
	return n
}
