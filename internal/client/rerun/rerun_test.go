package rerun_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// threshold is a stage that makes an alert of numbers at or above its least.
type threshold struct {
	least int
	held  chan struct{} // nil, or Handle waits for it
}

func (s *threshold) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	if s.held != nil {
		select {
		case <-s.held:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var n int
	if err := json.Unmarshal(in.Value, &n); err != nil {
		return fault.NewPermanent("no_number", errors.New("no number"))
	}
	if n >= s.least {
		id := event.ID(in.Origin, event.KindAlert, 0)
		out.Emit(bus.TopicAlerts, in.Key, []byte(fmt.Sprintf(`{"event":{"id":%q},"n":%d}`, id, n)), bus.Header{Key: event.HeaderID, Value: []byte(id)})
	}
	return nil
}

func spec(s client.Stage) client.Spec {
	return client.Spec{Name: "threshold", Inputs: []string{bus.TopicEvents}, Outputs: []string{bus.TopicAlerts}, Stage: s}
}

func TestARerunFindsWhatIsNewAndGoneAndTouchesNothingLive(t *testing.T) {
	b := bustest.Open(t)
	rt := client.NewRuntime(b, obs.Scope{})
	live, err := rt.New(spec(&threshold{least: 50}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEvents, Key: []byte(strconv.Itoa(i % 7)), Value: []byte(strconv.Itoa(i))}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEvents, Value: []byte("bad")}); err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := live.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := rt.Drain(t.Context(), "threshold"); err != nil {
		t.Fatal(err)
	}
	reruns := rerun.New(b, rt)
	run, err := reruns.Begin(t.Context(), rerun.Request{Spec: spec(&threshold{}), From: time.Now().Add(-time.Hour), By: "tester", Note: "least 40"})
	if err != nil {
		t.Fatal(err)
	}
	// What comes after the beginning is none of the run's.
	if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEvents, Value: []byte("99")}); err != nil {
		t.Fatal(err)
	}
	liveAlerts := len(bustest.All(t, b, bus.TopicAlerts))

	// It is interrupted at once, and continued.
	interrupted, cancel := context.WithCancel(t.Context())
	held := make(chan struct{})
	ended := make(chan error, 1)
	go func() { ended <- reruns.Continue(interrupted, run, spec(&threshold{least: 40, held: held})) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	if err := reruns.Continue(t.Context(), run, spec(&threshold{least: 40})); err != nil {
		t.Fatal(err)
	}
	d, err := reruns.Compare(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if d.Same != 50 || d.New.Count != 10 || len(d.New.First) != 10 || d.Gone.Count != 0 || d.Changed.Count != 0 || d.Failed != 1 {
		t.Errorf("difference %+v", d)
	}
	if n := len(bustest.All(t, b, bus.TopicAlerts)); n > liveAlerts+1 { // the live run has seen the later record
		t.Errorf("%d live alerts, before %d", n, liveAlerts)
	}
	runs, err := reruns.List(t.Context())
	if err != nil || len(runs) != 1 || runs[0].State != rerun.Done || runs[0].By != "tester" {
		t.Errorf("runs %+v, %v", runs, err)
	}
	for _, r := range bustest.All(t, b, bus.TopicReruns) {
		if bus.Value(r, rerun.HeaderLiveID) == "" {
			continue
		}
		var document struct {
			Event   struct{ ID string }
			Decoder struct{ Rerun struct{ ID string } }
		}
		if err := json.Unmarshal(r.Value, &document); err != nil || document.Decoder.Rerun.ID != run.ID ||
			document.Event.ID != bus.Value(r, event.HeaderID) || document.Event.ID == bus.Value(r, rerun.HeaderLiveID) {
			t.Fatalf("document %s, %v", r.Value, err)
		}
	}

	stricter, err := reruns.Begin(t.Context(), rerun.Request{Spec: spec(&threshold{}), By: "tester", Note: "least 60"})
	if err != nil {
		t.Fatal(err)
	}
	if err := reruns.Continue(t.Context(), stricter, spec(&threshold{least: 60})); err != nil {
		t.Fatal(err)
	}
	if d, err = reruns.Compare(t.Context(), stricter); err != nil || d.Gone.Count != 10 || d.New.Count != 0 {
		t.Errorf("difference %+v, %v", d, err)
	}
}

func TestWhatAnotherStageMadeOfTheSameRecordsIsNotGone(t *testing.T) {
	b := bustest.Open(t)
	rt := client.NewRuntime(b, obs.Scope{})
	for i := range 20 {
		if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEvents, Value: []byte(strconv.Itoa(i))}); err != nil {
			t.Fatal(err)
		}
	}
	other := spec(otherStage{})
	other.Name = "other"
	for _, s := range []client.Spec{spec(&threshold{least: 10}), other} {
		c, err := rt.New(s)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if err := c.Run(t.Context()); err != nil {
				t.Error(err)
			}
		}()
		if err := rt.Drain(t.Context(), s.Name); err != nil {
			t.Fatal(err)
		}
	}
	reruns := rerun.New(b, rt)
	run, err := reruns.Begin(t.Context(), rerun.Request{Spec: spec(&threshold{}), Settings: map[string]int{"least": 5}, Attachment: []byte("beside it")})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := reruns.Attachment(t.Context(), run); err != nil || string(a) != "beside it" {
		t.Errorf("attachment %q, %v", a, err)
	}
	if err := reruns.Cancel(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	listed, err := rerun.New(b, rt).List(t.Context()) // as another process sees it
	if err != nil || len(listed) != 1 || listed[0].State != rerun.Cancelled || string(listed[0].Settings) != `{"least":5}` {
		t.Fatalf("runs %+v, %v", listed, err)
	}
	if err := reruns.Continue(t.Context(), listed[0], spec(&threshold{least: 5})); err != nil {
		t.Fatal(err)
	}
	d, err := reruns.Compare(t.Context(), listed[0])
	if err != nil || d.Same != 10 || d.New.Count != 5 || d.Gone.Count != 0 || d.Changed.Count != 0 {
		t.Errorf("difference %+v, %v", d, err)
	}
	groups, err := b.Groups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range groups {
		if strings.Contains(g.Name, run.ID) {
			t.Errorf("group %s is left behind", g.Name)
		}
	}
}

// otherStage makes alerts of the same events, with ids of its own.
type otherStage struct{}

func (otherStage) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	id := event.ID(in.Origin, "alert/other", 0)
	out.Emit(bus.TopicAlerts, in.Key, []byte(`{}`), bus.Header{Key: event.HeaderID, Value: []byte(id)})
	return nil
}
