package app

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/rules"
	"github.com/decodersring/decoder/internal/selftest"
)

// selfTest makes an exchange on the watched interface and waits for its alert
// in the inbox.
type selfTest struct{ app *App }

// SelfTest implements api.SelfTest.
func (s selfTest) SelfTest(ctx context.Context, progress func(string)) (api.SelfTestResult, error) {
	if s.app.source == nil {
		return api.SelfTestResult{}, api.Unavailable("this instance watches no interface, so nothing can be tested")
	}
	progress("sending a request and an answer that must raise an alert, on " + s.app.watched)
	group := ""
	r, err := selftest.Run(ctx, s.app.watched, func(ctx context.Context, e selftest.Exchange) (found bool, err error) {
		group, err = s.alertOf(ctx, e)
		return group != "", err
	})
	if errors.Is(err, selftest.ErrNoAlert) {
		return api.SelfTestResult{Text: fmt.Sprintf("no alert within %s: the chain from the interface to the inbox is broken; decoder doctor, decoder groups and decoder rules list %d say where", selftest.Patience, rules.SelftestID)}, nil
	}
	if err != nil {
		return api.SelfTestResult{}, err
	}
	return api.SelfTestResult{
		OK: true, Alert: group, LatencyMS: float64(r.Took.Microseconds()) / 1000,
		Text: fmt.Sprintf("the alert was in the inbox %s after the packet", r.Took.Round(100*time.Microsecond)),
	}, nil
}

// alertOf returns the group of the exchange's alert once the inbox has it.
func (s selfTest) alertOf(ctx context.Context, e selftest.Exchange) (string, error) {
	found, err := s.app.inbox.List(ctx, inbox.Filter{Text: strconv.Itoa(rules.SelftestID), From: e.Sent.Truncate(time.Microsecond)})
	if err != nil || len(found.Groups) == 0 {
		return "", err
	}
	return found.Groups[0].Group, nil
}
