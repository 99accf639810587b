package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

const (
	in  = bus.TopicJSON
	out = bus.TopicEvents
)

func scope(t testing.TB) obs.Scope {
	return obs.Scope{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: prometheus.NewRegistry(), Health: &obs.Health{}}
}

// stage is a stage made of functions.
type stage struct {
	handle func(ctx context.Context, in *client.Record, out *client.Output) error
	check  func() error
}

func (s *stage) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	return s.handle(ctx, in, out)
}

// checked is a stage with another side.
type checked struct{ stage }

func (s *checked) Check(context.Context) error { return s.check() }

func pass(_ context.Context, in *client.Record, o *client.Output) error {
	o.Emit(out, in.Key, in.Value, bus.Header{Key: event.HeaderID, Value: []byte(event.ID(in.Origin, event.KindEvent, 0))})
	return nil
}

// run runs a client until the test, or the function returned, ends it.
func run(t testing.TB, b *bus.Bus, spec client.Spec) (*client.Runtime, func()) {
	t.Helper()
	rt := client.NewRuntime(b, scope(t))
	c, err := rt.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	end := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("client ended with %v", err)
		}
	})
	t.Cleanup(end)
	return rt, end
}

// send appends n records with keys k0 … k9 and values 0 … n-1.
func send(t testing.TB, b *bus.Bus, n int) {
	t.Helper()
	var records []*bus.Record
	for i := range n {
		records = append(records, &bus.Record{Topic: in, Key: []byte(fmt.Sprint("k", i%10)), Value: []byte(strconv.Itoa(i))})
	}
	if err := b.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

// drain waits until the client has handled all there is.
func drain(t testing.TB, rt *client.Runtime, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	if err := rt.Drain(ctx, name); err != nil {
		t.Fatalf("%v; status %+v", err, rt.Status())
	}
}

func values(records []*bus.Record) []string {
	var v []string
	for _, r := range records {
		v = append(v, string(r.Value))
	}
	slices.Sort(v)
	return v
}

func ids(t testing.TB, records []*bus.Record) map[string]int {
	t.Helper()
	n := map[string]int{}
	for _, r := range records {
		n[bus.Value(r, event.HeaderID)]++
	}
	return n
}

func TestOutputsKeepOrderPerKeyAndCarryTheOrigin(t *testing.T) {
	b := bustest.Open(t)
	rt, _ := run(t, b, client.Spec{Name: "pass", Inputs: []string{in}, Outputs: []string{out}, Stage: &stage{handle: pass}})
	send(t, b, 5000)
	drain(t, rt, "pass")
	last := map[string]int{}
	records := bustest.All(t, b, out)
	for _, r := range records {
		var n int
		fmt.Sscan(string(r.Value), &n)
		if before, seen := last[string(r.Key)]; seen && n <= before {
			t.Fatalf("key %s: %d after %d", r.Key, n, before)
		}
		last[string(r.Key)] = n
		if !strings.HasPrefix(bus.Value(r, event.HeaderOrigin), "log:") {
			t.Fatalf("origin %q", bus.Value(r, event.HeaderOrigin))
		}
	}
	if len(ids(t, records)) != 5000 || len(records) != 5000 {
		t.Errorf("%d records, %d ids", len(records), len(ids(t, records)))
	}
}

func TestAPoisonRecordBecomesADeadLetterWithItsBytes(t *testing.T) {
	b := bustest.Open(t)
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		switch string(in.Value) {
		case "3":
			o.Emit(out, nil, []byte("half done"))
			return fault.NewPermanent("bad_json", errors.New("no JSON"))
		case "7":
			panic("seven")
		}
		return pass(ctx, in, o)
	}}
	rt, _ := run(t, b, client.Spec{Name: "poison", Inputs: []string{in}, Outputs: []string{out}, Stage: s, Version: "v1"})
	send(t, b, 10)
	drain(t, rt, "poison")
	// A log that refuses an output at first gets others of its batch again.
	if got := slices.Compact(values(bustest.All(t, b, out))); strings.Join(got, " ") != "0 1 2 4 5 6 8 9" {
		t.Errorf("outputs %v", got)
	}
	letters := map[string]dead.Letter{}
	for _, r := range bustest.All(t, b, "dead_poison") {
		letters[string(r.Value)] = dead.Read(r)
	}
	bad, panicked := letters["3"], letters["7"]
	if len(letters) != 2 || bad.Code != "bad_json" || bad.Error != "no JSON" || bad.Attempts != 1 || bad.Version != "v1" ||
		string(bad.Record.Key) != "k3" || bad.Record.Topic != in || len(bad.Record.Headers) != 0 || bad.Client != "poison" ||
		bad.First.IsZero() || !strings.HasPrefix(bad.Origin, "log:") {
		t.Errorf("letter %+v of %d", bad, len(letters))
	}
	if panicked.Code != client.CodePanic || !strings.Contains(panicked.Error, "seven") || !strings.Contains(panicked.Error, "client_test.go") {
		t.Errorf("letter of the panic %+v", panicked)
	}
}

func TestAFlakyRecordIsTriedAgainAndOneThatStaysBadIsGivenUp(t *testing.T) {
	b := bustest.Open(t)
	var calls atomic.Int32
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		switch {
		case string(in.Value) == "1" && calls.Add(1) < 3:
			return errors.New("flaky")
		case string(in.Value) == "2":
			return fault.NewRetry("refused", errors.New("always"))
		}
		return pass(ctx, in, o)
	}}
	rt, _ := run(t, b, client.Spec{Name: "flaky", Inputs: []string{in}, Stage: s, Attempts: 3, Backoff: time.Millisecond})
	send(t, b, 4)
	drain(t, rt, "flaky")
	if got := values(bustest.All(t, b, out)); strings.Join(got, " ") != "0 1 3" {
		t.Errorf("outputs %v", got)
	}
	letters := bustest.All(t, b, "dead_flaky")
	if len(letters) != 1 {
		t.Fatalf("%d letters", len(letters))
	}
	if l := dead.Read(letters[0]); l.Attempts != 3 || l.Code != "refused" {
		t.Errorf("letter %+v", l)
	}
}

func TestAnOutagePausesAndNothingBecomesADeadLetter(t *testing.T) {
	for _, concurrency := range []int{0, 8} {
		t.Run(fmt.Sprint("concurrency ", concurrency), func(t *testing.T) {
			b := bustest.Open(t)
			var away atomic.Bool
			away.Store(true)
			down := func() error {
				if away.Load() {
					return errors.New("connection refused")
				}
				return nil
			}
			s := &checked{stage{check: down, handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
				if err := down(); err != nil {
					return err
				}
				return pass(ctx, in, o)
			}}}
			rt, _ := run(t, b, client.Spec{Name: "outage", Inputs: []string{in}, Stage: s, Attempts: 2, Backoff: time.Millisecond, Concurrency: concurrency})
			send(t, b, 100)
			await(t, func() bool {
				s := rt.Status()[0]
				return s.Kind == client.PhaseOutage && strings.Contains(s.Reason, "refused")
			})
			away.Store(false)
			drain(t, rt, "outage")
			if n := len(ids(t, bustest.All(t, b, out))); n != 100 {
				t.Errorf("%d outputs", n)
			}
			if n := len(bustest.All(t, b, "dead_outage")); n != 0 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

// await polls a condition the program offers no event for.
func await(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-deadline:
			t.Fatal("waited 30 s in vain")
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestThrottlingWaitsAndCostsNoAttempt(t *testing.T) {
	b := bustest.Open(t)
	var calls atomic.Int32
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		if calls.Add(1) < 6 {
			return fault.NewThrottled("rate_limited", 10*time.Millisecond, errors.New("429"))
		}
		return pass(ctx, in, o)
	}}
	rt, _ := run(t, b, client.Spec{Name: "throttled", Inputs: []string{in}, Stage: s, Attempts: 1})
	began := time.Now()
	send(t, b, 1)
	drain(t, rt, "throttled")
	if n := len(bustest.All(t, b, out)); n != 1 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("%d outputs after %s", n, time.Since(began))
	}
}

func TestAConcurrentStageGoesPastSlowAndFailingRecords(t *testing.T) {
	b := bustest.Open(t)
	var most, now atomic.Int32
	gate := make(chan struct{})
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		switch string(in.Value) {
		case "0":
			<-gate
		case "1":
			return fault.NewPermanent("bad", errors.New("bad"))
		}
		return pass(ctx, in, o)
	}}
	rt, _ := run(t, b, client.Spec{Name: "concurrent", Inputs: []string{in}, Stage: s, Concurrency: 16})
	send(t, b, 1000)
	bustest.Follow(t, b, out, 20*time.Second, func() func(*bus.Record) bool {
		n := 0
		return func(*bus.Record) bool { n++; return n < 998 }
	}())
	close(gate)
	drain(t, rt, "concurrent")
	if n := len(ids(t, bustest.All(t, b, out))); n != 999 {
		t.Errorf("%d outputs", n)
	}
	if n := len(bustest.All(t, b, "dead_concurrent")); n != 1 {
		t.Errorf("%d dead letters", n)
	}
	if most.Load() > 16 {
		t.Errorf("%d in flight", most.Load())
	}
}

func TestARestartGoesOnWithoutLossOrRepetition(t *testing.T) {
	b := bustest.Open(t)
	spec := client.Spec{Name: "again", Inputs: []string{in}, Stage: &stage{handle: pass}}
	for range 3 {
		rt, end := run(t, b, spec)
		send(t, b, 500)
		drain(t, rt, "again")
		end()
	}
	if n := len(bustest.All(t, b, out)); n != 1500 {
		t.Errorf("%d outputs", n)
	}
}

func TestAnOutputTooLargeIsTheRecordsFault(t *testing.T) {
	b := bustest.Open(t)
	s := &stage{handle: func(_ context.Context, in *client.Record, o *client.Output) error {
		o.Emit(bus.TopicTriage, nil, make([]byte, 2<<20))
		return nil
	}}
	rt, _ := run(t, b, client.Spec{Name: "large", Inputs: []string{in}, Outputs: []string{bus.TopicTriage}, Stage: s})
	send(t, b, 1)
	drain(t, rt, "large")
	letters := bustest.All(t, b, "dead_large")
	if len(letters) != 1 || dead.Read(letters[0]).Code != bus.CodeTooLarge {
		t.Errorf("letters %v", letters)
	}
}
