package client_test

import (
	"context"
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
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx, b, spec, scope(t)) }()
	defer func() { cancel(); <-ended }()
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
