package client_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

func TestAResentLetterGoesToItsClientAloneAndKeepsItsID(t *testing.T) {
	b := bustest.Open(t)
	var mended atomic.Bool
	var othersCalls atomic.Int32
	broken := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		if !mended.Load() {
			return fault.NewPermanent("bad", errors.New("bug in the decoder"))
		}
		if string(in.Key) != "k0" || bus.Value(in.Record, "h") != "v" || in.Topic != bus.TopicJSON {
			t.Errorf("record came back as %+v", in.Record)
		}
		return pass(ctx, in, o)
	}}
	other := &stage{handle: func(context.Context, *client.Record, *client.Output) error { othersCalls.Add(1); return nil }}
	rt, _ := run(t, b, client.Spec{Name: "broken", Inputs: []string{in}, Stage: broken})
	rt2, _ := run(t, b, client.Spec{Name: "other", Inputs: []string{in}, Stage: other})
	if err := b.Append(t.Context(), &bus.Record{Topic: in, Key: []byte("k0"), Value: []byte("x"), Headers: []bus.Header{{Key: "h", Value: []byte("v")}}}); err != nil {
		t.Fatal(err)
	}
	drain(t, rt, "broken")
	letters := dead.New(b)

	// Resent while still broken, it comes back with its history.
	resendOnly(t, letters)
	await(t, func() bool { return len(bustest.All(t, b, "dead_broken")) == 2 })
	open := list(t, letters, dead.Filter{})
	if len(open) != 1 || len(open[0].History) != 1 || open[0].History[0].Code != "bad" || open[0].Record.Topic != in {
		t.Fatalf("open letters %+v", open)
	}
	origin := open[0].Origin

	mended.Store(true)
	resendOnly(t, letters)
	bustest.Follow(t, b, out, 20*time.Second, func(r *bus.Record) bool {
		if got, want := bus.Value(r, event.HeaderID), event.ID(origin, event.KindEvent, 0); got != want {
			t.Errorf("id %s, want the one the first attempt had given, %s", got, want)
		}
		return false
	})
	if left := list(t, letters, dead.Filter{}); len(left) != 0 {
		t.Errorf("still open: %+v", left)
	}
	resent := list(t, letters, dead.Filter{States: []dead.State{dead.Resent}})
	if len(resent) != 2 || resent[0].Decided.By != "tester" || resent[0].Decided.At.IsZero() {
		t.Errorf("resent letters %+v", resent)
	}
	drain(t, rt2, "other")
	if othersCalls.Load() != 1 {
		t.Errorf("the other client was called %d times", othersCalls.Load())
	}
}

func list(t *testing.T, l *dead.Letters, f dead.Filter) []dead.Entry {
	t.Helper()
	all, err := l.List(t.Context(), f, 100, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func resendOnly(t *testing.T, l *dead.Letters) {
	t.Helper()
	n, err := l.ResendAll(t.Context(), dead.Filter{}, "tester", "")
	if err != nil || n != 1 {
		t.Fatalf("resent %d letters, %v", n, err)
	}
}

func TestLettersAreFilteredGroupedPagedEditedAndDiscarded(t *testing.T) {
	b := bustest.Open(t)
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		if strings.HasPrefix(string(in.Value), "good") {
			return pass(ctx, in, o)
		}
		return fault.NewPermanent([]string{"odd", "even"}[in.Offset%2], fmt.Errorf("reading %s", in.Value))
	}}
	rt, _ := run(t, b, client.Spec{Name: "strict", Inputs: []string{in}, Stage: s})
	for i := range 20 { // one key: one partition, so that offsets alternate
		if err := b.Append(t.Context(), &bus.Record{Topic: in, Key: []byte("k"), Value: []byte(fmt.Sprintf("bad-%02d", i))}); err != nil {
			t.Fatal(err)
		}
	}
	drain(t, rt, "strict")
	letters := dead.New(b)
	groups, err := letters.Groups(t.Context(), dead.Filter{})
	if err != nil || len(groups) != 2 || groups[0].Count != 10 || groups[0].Client != "strict" {
		t.Errorf("groups %+v, %v", groups, err)
	}
	if got := list(t, letters, dead.Filter{Code: "odd", Text: "BAD-1"}); len(got) != 5 {
		t.Errorf("%d letters by code and text", len(got))
	}
	var seen []string
	var before *dead.Entry
	for {
		page, err := letters.List(t.Context(), dead.Filter{}, 7, before)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			seen = append(seen, string(e.Record.Value))
		}
		before = &page[len(page)-1]
	}
	if len(seen) != 20 || seen[0] != "bad-19" || seen[19] != "bad-00" {
		t.Errorf("pages gave %v", seen)
	}

	first := list(t, letters, dead.Filter{Text: "bad-00"})[0]
	again, err := letters.Show(t.Context(), first.At)
	if err != nil || string(again.Record.Value) != "bad-00" {
		t.Errorf("shown %+v, %v", again, err)
	}
	if err := letters.Resend(t.Context(), "tester", "typo", dead.Edited(first.Letter, []byte("good now"))); err != nil {
		t.Fatal(err)
	}
	bustest.Follow(t, b, out, 20*time.Second, func(r *bus.Record) bool {
		origin := bus.Value(r, event.HeaderOrigin)
		if !strings.HasPrefix(origin, "edit:") || !strings.HasSuffix(origin, ":"+first.Origin) {
			t.Errorf("origin of the edited record is %q", origin)
		}
		if bus.Value(r, event.HeaderID) == event.ID(first.Origin, event.KindEvent, 0) {
			t.Error("the edited record took the old id")
		}
		return false
	})
	n, err := letters.DiscardAll(t.Context(), dead.Filter{Code: "even"}, "tester", "noise")
	if err != nil || n == 0 {
		t.Errorf("discarded %d, %v", n, err)
	}
	if left := list(t, letters, dead.Filter{Code: "even"}); len(left) != 0 {
		t.Errorf("%d letters left open", len(left))
	}
	if _, err := client.Try(t.Context(), s, first.Record); fault.Of(err).Class != fault.Permanent {
		t.Errorf("trying gave %v", err)
	}
}
