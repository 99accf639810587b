package client_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
)

// TestTopicsMadeAnewAreReadFromTheirBeginning deletes all topics under a
// client, as an operator does who wants to begin anew, and makes them again.
func TestTopicsMadeAnewAreReadFromTheirBeginning(t *testing.T) {
	b := bustest.Open(t)
	spec := client.Spec{Name: "anew", Inputs: []string{in}, Outputs: []string{out}, Stage: &stage{handle: pass}}
	run(t, b, spec)
	put := func(value string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; {
			err := b.Append(t.Context(), &bus.Record{Topic: in, Key: []byte("k"), Value: []byte(value)})
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	for _, value := range []string{"one", "two", "three"} {
		put(value)
	}
	bustest.Follow(t, b, out, 30*time.Second, func(r *bus.Record) bool { return string(r.Value) != "three" })
	if err := b.DeleteTopics(t.Context(), in, out); err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context(), bus.Lookup(in), bus.Lookup(out)); err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"four": true, "five": true, "six": true, "seven": true, "eight": true}
	for value := range left { // more than the old one had
		put(value)
	}
	bustest.Follow(t, b, out, 60*time.Second, func(r *bus.Record) bool {
		delete(left, string(r.Value))
		return len(left) > 0
	})
}

// TestARefusedOutputIsHandledAgainThoughNothingElseComes has the log refuse
// what is made of the last record there is, or of all that is in flight, since
// the topic is not there yet.
func TestARefusedOutputIsHandledAgainThoughNothingElseComes(t *testing.T) {
	for _, n := range []int{1, 600} { // several times what may be in flight
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			b := bustest.Open(t)
			late := &stage{handle: func(_ context.Context, r *client.Record, o *client.Output) error {
				o.Emit("made_late", r.Key, r.Value)
				return nil
			}}
			rt, _ := run(t, b, client.Spec{Name: "late", Inputs: []string{in}, Stage: late, InFlight: 1 << 20})
			var records []*bus.Record
			for range n {
				records = append(records, &bus.Record{Topic: in, Key: []byte("k"), Value: make([]byte, 2<<10)})
			}
			if err := b.Append(t.Context(), records...); err != nil {
				t.Fatal(err)
			}
			await(t, func() bool {
				s := rt.Client("late").Status()
				return s.Kind == client.PhaseLog && strings.Contains(s.Reason, bus.CodeUnknownTopic)
			})
			if err := b.Ensure(t.Context(), bus.Lookup("made_late")); err != nil {
				t.Fatal(err)
			}
			drain(t, rt, "late")
			if all := bustest.All(t, b, "made_late"); len(all) < n {
				t.Errorf("%d of %d outputs", len(all), n)
			}
		})
	}
}
