// Package stagetest checks that a stage keeps the contract of [client.Stage],
// by itself and in the runtime. Every stage of the program passes it. It knows
// no format.
package stagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// Case is a stage to check.
type Case struct {
	New     func(t testing.TB) client.Stage // a fresh instance, alike each time
	Input   string                          // topic of the records
	Outputs []string
	Good    []Record // handled without error; more is better
	Bad     []Record // the records' own fault

	Concurrency int
}

// Record is a record of the input topic. Without an origin it gets one.
type Record struct {
	Key, Value string
	Headers    []bus.Header
}

// Check checks the stage.
func Check(t *testing.T, c Case) {
	t.Run("the same records give the same documents", c.checkSame)
	t.Run("nothing of a record is kept or changed", c.checkOwnership)
	t.Run("ids are unique and every output has its origin", c.checkIDs)
	t.Run("bad records are permanent faults", c.checkBad)
	t.Run("damaged records do no harm", c.checkDamaged)
	t.Run("a cancelled call returns", c.checkCancelled)
	t.Run("in the runtime nothing is lost or doubled over restarts", c.checkRuntime)
}

func (c Case) records(of []Record, prefix string) []*bus.Record {
	records := make([]*bus.Record, len(of))
	for i, r := range of {
		records[i] = &bus.Record{
			Topic: c.Input, Offset: int64(i), Key: []byte(r.Key), Value: []byte(r.Value), Timestamp: time.UnixMilli(1_700_000_000_000 + int64(i)),
			Headers: append(slices.Clone(r.Headers), bus.Header{Key: event.HeaderOrigin, Value: []byte(fmt.Sprintf("stagetest:%s:%d", prefix, i))}),
		}
	}
	return records
}

// output is what of an output counts.
type output struct {
	Topic, Key, Value string
	Headers           []string
}

func outputsOf(records []*bus.Record) []output {
	var all []output
	for _, r := range records {
		o := output{Topic: r.Topic, Key: string(r.Key), Value: string(r.Value)}
		for _, h := range r.Headers {
			o.Headers = append(o.Headers, h.Key+"="+string(h.Value))
		}
		all = append(all, o)
	}
	return all
}

func (c Case) run(t *testing.T, records []*bus.Record) [][]output {
	t.Helper()
	s := c.New(t)
	defer closeStage(t, s)
	var all [][]output
	for _, r := range records {
		made, err := client.Try(t.Context(), s, r)
		if err != nil {
			t.Fatalf("good record %q: %v", r.Value, err)
		}
		all = append(all, outputsOf(made))
	}
	return all
}

func closeStage(t *testing.T, s client.Stage) {
	if closer, ok := s.(client.Closer); ok {
		if err := closer.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	}
}

func (c Case) checkSame(t *testing.T) {
	first := c.run(t, c.records(c.Good, "good"))
	if diff := cmp.Diff(first, c.run(t, c.records(c.Good, "good"))); diff != "" {
		t.Errorf("a second instance makes something else of the same records:\n%s", diff)
	}
}

func (c Case) checkOwnership(t *testing.T) {
	s := c.New(t)
	defer closeStage(t, s)
	for _, r := range c.records(c.Good, "good") {
		before := bytes.Clone(r.Value)
		made, err := client.Try(t.Context(), s, r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(before, r.Value) {
			t.Errorf("the stage has changed its input %q", before)
		}
		want := outputsOf(made)
		for i := range r.Value {
			r.Value[i] = 'X'
		}
		for i := range r.Key {
			r.Key[i] = 'X'
		}
		if diff := cmp.Diff(want, outputsOf(made)); diff != "" {
			t.Errorf("an output changes with the input's bytes:\n%s", diff)
		}
	}
}

func (c Case) checkIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, made := range c.run(t, c.records(c.Good, "good")) {
		for _, o := range made {
			id, origin := "", false
			for _, h := range o.Headers {
				if value, is := bytes.CutPrefix([]byte(h), []byte(event.HeaderID+"=")); is {
					id = string(value)
				}
				origin = origin || bytes.HasPrefix([]byte(h), []byte(event.HeaderOrigin+"="))
			}
			if !slices.Contains(c.Outputs, o.Topic) {
				t.Errorf("topic %s is none of the stage's outputs", o.Topic)
			}
			if id == "" || seen[o.Topic+id] || !origin {
				t.Errorf("id %q (seen: %t), origin: %t", id, seen[o.Topic+id], origin)
			}
			seen[o.Topic+id] = true
		}
	}
}

func (c Case) checkBad(t *testing.T) {
	s := c.New(t)
	defer closeStage(t, s)
	for _, r := range c.records(c.Bad, "bad") {
		_, err := client.Try(t.Context(), s, r)
		if err == nil {
			t.Errorf("bad record %.80q was handled", r.Value)
			continue
		}
		if e := fault.Of(err); e.Class != fault.Permanent || e.Code == fault.CodeUnknown || e.Code == client.CodePanic {
			t.Errorf("bad record %.80q: class %s, code %s: %v", r.Value, e.Class, e.Code, err)
		}
	}
}

// checkDamaged handles records with bytes changed, cut and doubled. They may
// be handled or not, but never with a panic or as something to try again.
func (c Case) checkDamaged(t *testing.T) {
	s := c.New(t)
	defer closeStage(t, s)
	random := rand.New(rand.NewPCG(1, 2))
	for range 2000 / max(len(c.Good), 1) {
		for _, r := range c.records(c.Good, "damaged") {
			r.Value = damage(random, r.Value)
			_, err := client.Try(t.Context(), s, r)
			if err == nil {
				continue
			}
			if e := fault.Of(err); e.Class == fault.Retry || e.Code == client.CodePanic {
				t.Fatalf("damaged record %.300q: class %s, code %s: %v", r.Value, e.Class, e.Code, err)
			}
		}
	}
}

func damage(random *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + random.IntN(3) {
		if len(b) == 0 {
			return b
		}
		i := random.IntN(len(b))
		switch random.IntN(4) {
		case 0:
			b[i] = byte(random.IntN(256))
		case 1:
			b = b[:i]
		case 2:
			b = append(b[:i:i], b[i+1:]...)
		case 3:
			b = append(b[:i:i], append([]byte{'{', '"', '['}, b[i:]...)...)
		}
	}
	return b
}

func (c Case) checkCancelled(t *testing.T) {
	s := c.New(t)
	defer closeStage(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, r := range c.records(c.Good, "good") {
			_, _ = client.Try(ctx, s, r) // with or without an error
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("Handle does not return although its context has ended")
	}
}

func (c Case) checkRuntime(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	want := map[string]bool{}
	for _, made := range c.run(t, c.records(c.Good, "good")) {
		for _, o := range made {
			for _, h := range o.Headers {
				if value, is := bytes.CutPrefix([]byte(h), []byte(event.HeaderID+"=")); is {
					want[o.Topic+" "+string(value)] = true
				}
			}
		}
	}
	b, err := bus.Open(t.Context(), bus.Config{Dir: t.TempDir(), Relaxed: true}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	all := append(c.records(c.Good, "good"), c.records(c.Bad, "bad")...)
	half := len(all) / 2
	c.append(t, b, all[:half])
	c.life(t, b, false)
	c.append(t, b, all[half:])
	c.life(t, b, true)
	got := map[string]bool{}
	for _, topic := range c.Outputs {
		for _, r := range bustest.All(t, b, topic) {
			got[topic+" "+bus.Value(r, event.HeaderID)] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("documents by id:\n%s", diff)
	}
	letters := 0
	if err := dead.New(b).Each(t.Context(), dead.Filter{}, func(dead.Entry) bool { letters++; return true }); err != nil {
		t.Fatal(err)
	}
	if letters != len(c.Bad) {
		t.Errorf("%d dead letters of %d bad records", letters, len(c.Bad))
	}
}

func (c Case) append(t *testing.T, b *bus.Bus, records []*bus.Record) {
	t.Helper()
	if err := b.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// life is one life of a process with the stage. One that is not to the end is
// ended as soon as it has begun to commit.
func (c Case) life(t *testing.T, b *bus.Bus, toTheEnd bool) {
	t.Helper()
	rt := client.NewRuntime(b, obs.Scope{})
	cl, err := rt.New(client.Spec{Name: "checked", Inputs: []string{c.Input}, Outputs: c.Outputs, Stage: c.New(t), Concurrency: c.Concurrency})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- cl.Run(ctx) }()
	if toTheEnd {
		if err := rt.Drain(t.Context(), "checked"); err != nil {
			t.Fatal(err)
		}
	} else {
		for deadline := time.Now().Add(30 * time.Second); ; {
			at, err := b.Committed(t.Context(), "decoder-checked")
			if err != nil || time.Now().After(deadline) {
				t.Fatal(errors.Join(err, errors.New("nothing is committed")))
			}
			if len(at) > 0 {
				break
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
