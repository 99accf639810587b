package control_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/inbox"
)

func appendLines(t *testing.T, b *bus.Bus, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicJSON, Key: []byte("k"), Value: fmt.Appendf(nil, "line %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTail(t *testing.T) {
	b := bustest.Open(t)
	if err := b.Ensure(t.Context(), append(bus.Catalogue(), bus.DeadTopic("x"))...); err != nil {
		t.Fatal(err)
	}
	c := serve(t, t.TempDir(), api.Deps{Log: b})
	appendLines(t, b, 0, 20)
	got := func(in api.Tail) (lines []string) {
		t.Helper()
		in.Topic = bus.TopicJSON
		if err := c.Tail(t.Context(), in, func(r api.Record) error {
			lines = append(lines, string(r.Value))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if l := got(api.Tail{}); len(l) != 10 || l[9] != "line 19" {
		t.Errorf("the last ten: %q", l)
	}
	if l := got(api.Tail{Last: 3}); !slices.Equal(l, []string{"line 17", "line 18", "line 19"}) {
		t.Errorf("the last three: %q", l)
	}
	if l := got(api.Tail{From: "first", Limit: 2}); !slices.Equal(l, []string{"line 0", "line 1"}) {
		t.Errorf("the first two: %q", l)
	}
	if l := got(api.Tail{From: "1h"}); len(l) != 20 {
		t.Errorf("of the last hour: %q", l)
	}
	at, err := b.Bounds(t.Context(), bus.TopicJSON)
	if err != nil {
		t.Fatal(err)
	}
	partition := "" // that all have come to
	for p, s := range at {
		if s.To > 0 {
			partition = strconv.Itoa(int(p))
		}
	}
	for _, c := range []struct {
		in          api.Tail
		want, first int
	}{
		{api.Tail{From: "begin"}, 20, 0},
		{api.Tail{From: "15"}, 5, 15},
		{api.Tail{From: "0", Limit: 1}, 1, 0},
		{api.Tail{From: "99"}, 0, 0},
		{api.Tail{From: "end"}, 0, 0},
		{api.Tail{From: "next"}, 0, 0},
		{api.Tail{Partition: partition}, 10, 10},
		{api.Tail{Partition: partition, From: "18"}, 2, 18},
		{api.Tail{Partition: partition, Last: 1}, 1, 19},
	} {
		l := got(c.in)
		if len(l) != c.want || len(l) > 0 && l[0] != fmt.Sprint("line ", c.first) {
			t.Errorf("%+v gives %q, want %d from line %d", c.in, l, c.want, c.first)
		}
	}
	for _, in := range []api.Tail{{From: "soon"}, {Partition: "99"}, {Partition: "x"}, {From: "begin", Partition: "-1"}} {
		in.Topic = bus.TopicJSON
		if e, ok := errors.AsType[*api.Error](c.Tail(t.Context(), in, nil)); !ok || e.Code != "bad_request" {
			t.Errorf("%+v: %v, want a bad request", in, e)
		}
	}
	for _, in := range []api.Tail{{Follow: true, Last: 2, Limit: 4}, {Follow: true, From: "first", Limit: 24}} {
		done := make(chan []string, 1)
		started := make(chan struct{}, 1)
		go func() {
			var lines []string
			in.Topic = bus.TopicJSON
			_ = c.Tail(t.Context(), in, func(r api.Record) error { // what it gave says whether it failed
				lines = append(lines, string(r.Value))
				select {
				case started <- struct{}{}:
				default:
				}
				return nil
			})
			done <- lines
		}()
		<-started
		appendLines(t, b, 20, 26)
		select {
		case l := <-done:
			if len(l) != in.Limit {
				t.Errorf("following: %q", l)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("what was appended did not come")
		}
	}
	if err := c.Tail(t.Context(), api.Tail{Topic: "none"}, nil); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("unknown topic: %v", err)
	}
}

func TestDeadLettersAreResentAndDiscarded(t *testing.T) {
	b := bustest.Open(t)
	if err := b.Ensure(t.Context(), append(bus.Catalogue(), bus.DeadTopic("x"))...); err != nil {
		t.Fatal(err)
	}
	c := serve(t, t.TempDir(), api.Deps{Log: b})
	for i := range 3 {
		if err := b.Append(t.Context(), dead.Bury(dead.Letter{
			Client: "x", Origin: fmt.Sprint("o", i), Failure: dead.Failure{Error: "no", Code: "bad", Attempts: 2, First: time.Now(), Last: time.Now()},
			Record: &bus.Record{Topic: bus.TopicJSON, Offset: int64(i), Value: []byte{0xff, byte(i)}},
		})); err != nil {
			t.Fatal(err)
		}
	}
	l, err := c.DeadLetters(t.Context(), api.DeadLetterFilter{})
	if err != nil || l.Total != 3 || len(l.Groups) != 1 || l.Groups[0].Code != "bad" || len(l.Letters) != 3 {
		t.Fatalf("%+v, %v", l, err)
	}
	first := l.Letters[0].Position
	d, err := c.DeadLetter(t.Context(), first.Topic, first.Partition, first.Offset)
	if err != nil || d.Record == nil || len(d.Record.Value) != 2 || d.Record.Value[0] != 0xff || d.Origin.Topic != bus.TopicJSON {
		t.Fatalf("%+v, %v", d, err)
	}
	one := func(p inbox.Position) api.Letters { return api.Letters{Letters: []inbox.Position{p}} }
	if n, err := c.Resend(t.Context(), one(first)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if n, err := c.Discard(t.Context(), one(l.Letters[1].Position)); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	if l, err = c.DeadLetters(t.Context(), api.DeadLetterFilter{Client: "x"}); err != nil || l.Total != 1 {
		t.Errorf("%+v, %v", l, err)
	}
	resent := bustest.All(t, b, bus.TopicResend)
	if len(resent) != 1 || dead.Addressee(resent[0]) != "x" {
		t.Errorf("%+v", resent)
	}
	gone := inbox.Position{Topic: "dead_x", Offset: 99}
	if _, err := c.Resend(t.Context(), one(gone)); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("a letter that is not there: %v", err)
	}
	if _, err := c.Discard(t.Context(), one(inbox.Position{Topic: bus.TopicAlerts})); err == nil {
		t.Error("a record that is no dead letter was discarded")
	}
	if n, err := c.Discard(t.Context(), api.Letters{Filter: &api.DeadLetterFilter{Client: "x", Text: "NO"}}); err != nil || n != 1 {
		t.Errorf("by filter: %d, %v", n, err)
	}
	if _, err := c.Discard(t.Context(), api.Letters{}); err == nil {
		t.Error("no letters were discarded")
	}
}

type ruleBook = api.Rules

type fakeRules struct {
	ruleBook
	err error
}

func (r fakeRules) Update(_ context.Context, say func(string)) (api.RuleUpdate, error) {
	say("fetching")
	say("testing")
	return api.RuleUpdate{Total: 7}, r.err
}

func TestProgressComesBeforeTheResult(t *testing.T) {
	var said []string
	got, err := serve(t, t.TempDir(), api.Deps{Rules: fakeRules{}}).UpdateRules(t.Context(), func(s string) { said = append(said, s) })
	if err != nil || got.Total != 7 || !slices.Equal(said, []string{"fetching", "testing"}) {
		t.Errorf("%+v %q %v", got, said, err)
	}
	_, err = serve(t, t.TempDir(), api.Deps{Rules: fakeRules{err: api.BadRequest("rule 3 is broken")}}).UpdateRules(t.Context(), nil)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Message != "rule 3 is broken" {
		t.Errorf("%v", err)
	}
}

type jobs = api.Replays

type fakeReplays struct{ jobs }

func (fakeReplays) Submit(_ context.Context, r api.ReplayRequest) (api.Replay, error) {
	return api.Replay{ID: "1", Captures: len(r.Paths)}, nil
}

func (fakeReplays) Watch(_ context.Context, id string, wait bool, emit func(api.ReplayUpdate) error) error {
	for n := range 3 {
		u := api.ReplayUpdate{Replay: api.Replay{ID: id, Done: n, Searchable: wait}, Capture: &api.Capture{Capture: strconv.Itoa(n), Alerts: map[string]uint64{"2100498": 1}}}
		if err := emit(u); err != nil {
			return err
		}
	}
	return errors.New("it broke")
}

func TestReplayIsWatchedToItsEnd(t *testing.T) {
	c := serve(t, t.TempDir(), api.Deps{Replays: fakeReplays{}})
	if _, err := c.SubmitReplay(t.Context(), api.ReplayRequest{Paths: []string{"relative"}}); err == nil {
		t.Error("a relative path was taken")
	}
	j, err := c.SubmitReplay(t.Context(), api.ReplayRequest{Paths: []string{"/a", "/b"}})
	if err != nil || j.Captures != 2 {
		t.Fatal(err)
	}
	n := 0
	err = c.WatchReplay(t.Context(), j.ID, true, func(u api.ReplayUpdate) error {
		if u.Replay.ID != "1" || !u.Replay.Searchable || u.Capture.Alerts["2100498"] != 1 {
			t.Errorf("%+v", u)
		}
		n++
		return nil
	})
	if e, ok := errors.AsType[*api.Error](err); n != 3 || !ok || e.Message != "it broke" {
		t.Errorf("%d updates, %v", n, err)
	}
}
