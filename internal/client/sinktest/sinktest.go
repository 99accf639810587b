// Package sinktest checks that a sink keeps the contract of [client.Sink] in
// the runtime: through batches, bad records, an outage and restarts. Every
// sink of the program passes it. It knows no destination.
package sinktest

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// Case is a sink to check.
type Case struct {
	// New returns the sink on its destination. It is called again after the
	// sink before has ended, as after a restart, and finds what that stored.
	New func(t testing.TB) client.Sink
	// Input is the topic read, and Value a record's value: the i-th document,
	// with the id given.
	Input string
	Value func(i int, id string) string
	// Bad is a value that is the record's own fault; "" checks none.
	Bad string
	// Stored returns how often each id is stored.
	Stored func(t testing.TB) map[string]int
	// Break makes the destination unreachable and Mend undoes it; nil for a
	// sink without another side.
	Break, Mend func(t testing.TB)
}

const records = 500

// Check checks the sink.
func Check(t *testing.T, c Case) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Relaxed: true}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	c.try(t)
	c.append(t, b, 0, records/2)
	c.life(t, b, nil) // ended before its end, most likely
	c.append(t, b, records/2, records)
	if c.Bad != "" {
		if err := b.Append(t.Context(), c.record(-1, c.Bad)); err != nil {
			t.Fatal(err)
		}
	}
	c.life(t, b, func(rt *client.Runtime) {
		if c.Break != nil {
			c.outage(t, b, rt)
		}
		drain(t, rt)
	})
	stored := c.Stored(t)
	for i := range records {
		if n := stored[id(i)]; n != 1 {
			t.Errorf("document %d is stored %d times", i, n)
		}
	}
	if len(stored) != records {
		t.Errorf("%d documents are stored, want %d", len(stored), records)
	}
	letters := 0
	if err := dead.New(b).Each(t.Context(), dead.Filter{}, func(e dead.Entry) bool {
		letters++
		if c.Bad == "" || string(e.Record.Value) != c.Bad {
			t.Errorf("healthy record %.80q is dead: %s %s", e.Record.Value, e.Code, e.Error)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if want := min(len(c.Bad), 1); letters != want {
		t.Errorf("%d dead letters, want %d", letters, want)
	}
}

// try asks a sink that can tell without writing, before anything is written:
// what it then writes is counted later.
func (c Case) try(t *testing.T) {
	sink := c.New(t)
	if closer, closes := sink.(client.Closer); closes {
		defer func() {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	tryer, can := sink.(client.Tryer)
	if !can {
		return
	}
	other := records + 1 // one that is not appended later
	for value, bad := range map[string]bool{c.Value(other, id(other)): false, c.Bad: true} {
		if value == "" {
			continue
		}
		r := c.record(other, value)
		err := tryer.Try(t.Context(), &client.Record{Record: r, Origin: bus.Value(r, event.HeaderOrigin)})
		if (err != nil) != bad || bad && fault.Of(err).Class != fault.Permanent {
			t.Errorf("trying %.80q: %v", value, err)
		}
	}
}

// outage breaks the destination, appends the first record again, and wants
// the client to pause for as long as it lasts.
func (c Case) outage(t *testing.T, b *bus.Bus, rt *client.Runtime) {
	t.Helper()
	drain(t, rt)
	c.Break(t)
	c.append(t, b, 0, 1) // under the id it has: stored once all the same
	deadline := time.Now().Add(60 * time.Second)
	for rt.Client("checked").Status().Kind != client.PhaseOutage && rt.Client("checked").Status().Kind != client.PhaseFlush {
		if time.Now().After(deadline) {
			t.Fatalf("the client does not pause: %+v", rt.Client("checked").Status())
		}
		<-time.After(5 * time.Millisecond)
	}
	c.Mend(t)
}

func id(i int) string { return event.ID(fmt.Sprint("sinktest:", i), event.KindEvent, 0) }

func (c Case) record(i int, value string) *bus.Record {
	return &bus.Record{
		Topic: c.Input, Key: []byte(strconv.Itoa(i % 7)), Value: []byte(value),
		Headers: []bus.Header{
			{Key: event.HeaderOrigin, Value: []byte(fmt.Sprint("sinktest:", i))},
			{Key: event.HeaderID, Value: []byte(id(i))},
			{Key: event.HeaderTime, Value: []byte(time.Now().UTC().Format(time.RFC3339Nano))},
		},
	}
}

func (c Case) append(t *testing.T, b *bus.Bus, from, to int) {
	t.Helper()
	var all []*bus.Record
	for i := from; i < to; i++ {
		all = append(all, c.record(i, c.Value(i, id(i))))
	}
	if err := b.Append(t.Context(), all...); err != nil {
		t.Fatal(err)
	}
}

func drain(t *testing.T, rt *client.Runtime) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := rt.Drain(ctx, "checked"); err != nil {
		t.Fatalf("%v: %+v", err, rt.Status())
	}
}

// life is one life of a process with the sink; without meanwhile it is ended
// as soon as it runs.
func (c Case) life(t *testing.T, b *bus.Bus, meanwhile func(*client.Runtime)) {
	t.Helper()
	rt := client.NewRuntime(b, obs.Scope{})
	cl, err := rt.New(client.Spec{Name: "checked", Inputs: []string{c.Input}, Sink: c.New(t), Attempts: 2, Backoff: 5 * time.Millisecond, FlushEvery: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cl.Run(ctx) }()
	if meanwhile != nil {
		meanwhile(rt)
	} else {
		for s := cl.Status(); s.Kind == client.PhaseStopped || s.Kind == client.PhaseJoining; s = cl.Status() {
			select {
			case err := <-ended:
				t.Fatalf("the client ended with %v", err)
			case <-time.After(time.Millisecond):
			}
		}
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("the client ended with %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the client does not end")
	}
}
