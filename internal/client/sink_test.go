package client_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/fault"
)

// sink keeps what it is given.
type sink struct {
	mu     sync.Mutex
	values map[string]int
	write  func(batch []*client.Record) error
	check  func() error
}

func (s *sink) Write(_ context.Context, batch []*client.Record) error {
	err := error(nil)
	if s.write != nil {
		err = s.write(batch)
	}
	single, _ := errors.AsType[client.RecordErrors](err)
	if err != nil && single == nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range batch {
		if single[i] == nil {
			s.values[string(r.Value)]++
		}
	}
	return err
}

func (s *sink) Check(context.Context) error {
	if s.check == nil {
		return nil
	}
	return s.check()
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.values)
}

func TestASinkGetsEveryRecordAndBadOnesAreFoundInTheirBatch(t *testing.T) {
	has := func(batch []*client.Record, v string) bool {
		for _, r := range batch {
			if string(r.Value) == v {
				return true
			}
		}
		return false
	}
	for name, write := range map[string]func([]*client.Record) error{
		"named": func(batch []*client.Record) error {
			errs := client.RecordErrors{}
			for i, r := range batch {
				if v := string(r.Value); v == "50" || v == "77" {
					errs[i] = fault.NewPermanent("bad", errors.New(v))
				}
			}
			if len(errs) > 0 {
				return errs
			}
			return nil
		},
		"permanent": func(batch []*client.Record) error {
			if has(batch, "50") || has(batch, "77") {
				return fault.NewPermanent("bad", errors.New("something in there"))
			}
			return nil
		},
		"unknown": func(batch []*client.Record) error {
			if has(batch, "50") || has(batch, "77") {
				return errors.New("something in there")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := bustest.Open(t)
			s := &sink{values: map[string]int{}, write: write}
			send(t, b, 200)
			rt, _ := run(t, b, client.Spec{Name: "sink", Inputs: []string{in}, Sink: s, Backoff: time.Millisecond, Attempts: 2})
			drain(t, rt, "sink")
			letters := map[string]bool{}
			for _, r := range bustest.All(t, b, "dead_sink") {
				letters[string(r.Value)] = true
			}
			if s.count() != 198 || len(letters) != 2 || !letters["50"] || !letters["77"] {
				t.Errorf("%d written, dead %v", s.count(), letters)
			}
		})
	}
}

func TestASinksOutagePausesWithoutDeadLetters(t *testing.T) {
	b := bustest.Open(t)
	var away atomic.Bool
	away.Store(true)
	down := func() error {
		if away.Load() {
			return errors.New("no route to host")
		}
		return nil
	}
	s := &sink{values: map[string]int{}, check: down, write: func([]*client.Record) error { return down() }}
	rt, _ := run(t, b, client.Spec{Name: "sink", Inputs: []string{in}, Sink: s, Backoff: time.Millisecond, Attempts: 2})
	send(t, b, 100)
	await(t, func() bool { return rt.Status()[0].Kind == client.PhaseOutage })
	away.Store(false)
	drain(t, rt, "sink")
	if s.count() != 100 || len(bustest.All(t, b, "dead_sink")) != 0 {
		t.Errorf("%d written, %d dead", s.count(), len(bustest.All(t, b, "dead_sink")))
	}
}

// buffering is a sink that loses what it has not flushed when it is crashed.
type buffering struct {
	sink
	buffer    []string
	durable   map[string]bool
	committed int
	flushErr  error
}

func (s *buffering) Write(_ context.Context, batch []*client.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range batch {
		s.buffer = append(s.buffer, string(r.Value))
	}
	return nil
}

func (s *buffering) Flush(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.flushErr; err != nil {
		s.flushErr = nil
		return err
	}
	for _, v := range s.buffer {
		s.durable[v] = true
	}
	s.buffer = nil
	return nil
}

func (s *buffering) Committed() { s.mu.Lock(); s.committed++; s.mu.Unlock() }

func TestOffsetsOfABufferingSinkFollowItsFlush(t *testing.T) {
	b := bustest.Open(t)
	s := &buffering{durable: map[string]bool{}}
	rt, end := run(t, b, client.Spec{Name: "sink", Inputs: []string{in}, Sink: s, FlushEvery: time.Hour})
	send(t, b, 100)
	await(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.buffer) == 100 })
	at, err := b.Committed(t.Context(), "decoder-sink")
	if err != nil {
		t.Fatal(err)
	}
	for p, offset := range at {
		if offset > 0 {
			t.Errorf("%v is committed up to %d before the flush", p, offset)
		}
	}
	s.mu.Lock()
	s.flushErr = errors.New("disk is slow")
	s.mu.Unlock()
	drain(t, rt, "sink") // asks for the flush, and survives its first failure
	end()
	if len(s.durable) != 100 || s.committed == 0 {
		t.Errorf("%d durable, committed %d times", len(s.durable), s.committed)
	}
}

// view keeps its offsets with its data.
type view struct {
	mu   sync.Mutex
	next map[bus.Partition]int64
	seen map[string]int
}

func (v *view) Write(_ context.Context, batch []*client.Record) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range batch {
		v.seen[string(r.Value)]++
		if !r.Resent {
			v.next[bus.Partition{Topic: r.Topic, Partition: r.Partition}] = r.Offset + 1
		}
	}
	return nil
}

func (v *view) Resume(_ context.Context, p bus.Partition) (int64, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	next, known := v.next[p]
	return next, known, nil
}

func TestAViewBeginsWhereItsDataEndsAndAgainWhenItIsNew(t *testing.T) {
	b := bustest.Open(t)
	v := &view{next: map[bus.Partition]int64{}, seen: map[string]int{}}
	spec := client.Spec{Name: "view", Inputs: []string{in}, Sink: v}
	send(t, b, 100)
	rt, end := run(t, b, spec)
	drain(t, rt, "view")
	end()
	if err := b.DeleteGroup(t.Context(), "decoder-view"); err != nil { // the log forgets, the view does not
		t.Fatal(err)
	}
	send(t, b, 50)
	rt, end = run(t, b, spec)
	drain(t, rt, "view")
	end()
	for i := range 100 {
		if want := 1 + (149-i)/100; i < 50 && v.seen[strconv.Itoa(i)] != 2 || i >= 50 && v.seen[strconv.Itoa(i)] != 1 {
			t.Fatalf("record %d seen %d times, want %d", i, v.seen[strconv.Itoa(i)], want)
		}
	}
	fresh := &view{next: map[bus.Partition]int64{}, seen: map[string]int{}}
	rebuilding, endFresh := run(t, b, client.Spec{Name: "view", Group: "decoder-view-2", Inputs: []string{in}, Sink: fresh})
	drain(t, rebuilding, "view")
	endFresh()
	if len(fresh.seen) != 100 {
		t.Errorf("the new view has seen %d", len(fresh.seen))
	}
}

func TestAnUnsentLetterHasNoWayBack(t *testing.T) {
	b := bustest.Open(t)
	if err := b.Ensure(t.Context(), bus.DeadTopic("x")); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(t.Context(), &bus.Record{Topic: "dead_x", Value: []byte("by hand")}); err != nil {
		t.Fatal(err)
	}
	letters := dead.New(b)
	e := list(t, letters, dead.Filter{})
	if len(e) != 1 || letters.Resend(t.Context(), "tester", "", e[0].Letter) == nil {
		t.Errorf("letters %+v", e)
	}
}

func TestASinkMayFlushLaterAndSaysWhyItCannot(t *testing.T) {
	b := bustest.Open(t)
	s := &paced{buffering: buffering{durable: map[string]bool{}}, answer: client.ErrNotYet}
	rt, end := run(t, b, client.Spec{Name: "sink", Inputs: []string{in}, Sink: s, FlushEvery: time.Millisecond})
	send(t, b, 100)
	kind := func(k client.Kind) func() bool {
		return func() bool { s := rt.Client("sink").Status(); return s.Kind == k }
	}
	asked := s.asked.Load()
	await(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.buffer) == 100 && s.asked.Load() > asked+3 })
	await(t, kind(client.PhaseIdle))
	at, err := b.Committed(t.Context(), "decoder-sink")
	if err != nil {
		t.Fatal(err)
	}
	for p, offset := range at {
		if offset > 0 {
			t.Errorf("%v is committed up to %d before the flush", p, offset)
		}
	}
	s.set(fault.NewThrottled("denied", time.Millisecond, errors.New("who are you?")))
	await(t, kind(client.PhaseFlush))
	if s := rt.Client("sink").Status(); s.Since.IsZero() || !strings.Contains(s.Reason, "who are you?") {
		t.Errorf("it stands still, and says %+v", s)
	}
	s.set(nil)
	drain(t, rt, "sink")
	await(t, kind(client.PhaseIdle))
	end()
	if len(s.durable) != 100 {
		t.Errorf("%d durable", len(s.durable))
	}
}

// paced is a sink that is flushed when it is told to.
type paced struct {
	buffering
	asked  atomic.Int64
	answer error
}

func (s *paced) set(err error) { s.mu.Lock(); s.answer = err; s.mu.Unlock() }

func (s *paced) Flush(ctx context.Context) error {
	s.asked.Add(1)
	s.mu.Lock()
	err := s.answer
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return s.buffering.Flush(ctx)
}

func TestAClientFromNowPassesOverWhatThereWasAndNothingElse(t *testing.T) {
	b := bustest.Open(t)
	s := &sink{values: map[string]int{}}
	spec := client.Spec{Name: "sink", Inputs: []string{in}, Sink: s, FromNow: true}
	send(t, b, 100)
	rt, end := run(t, b, spec)
	drain(t, rt, "sink")
	end()
	if s.count() != 0 {
		t.Errorf("%d of before", s.count())
	}
	send(t, b, 10) // while it is down, before it has ever read
	rt, end = run(t, b, spec)
	drain(t, rt, "sink")
	end()
	if s.count() != 10 {
		t.Errorf("%d of 10 that came meanwhile", s.count())
	}
}

func TestAClientThatIsStoppedBeforeItHasJoinedEndsInOrder(t *testing.T) {
	b := bustest.Open(t)
	c, err := client.NewRuntime(b, scope(t)).New(client.Spec{Name: "sink", Inputs: []string{in}, Sink: &sink{values: map[string]int{}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Run(ctx); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// hanging is a sink whose flush ends with its context alone.
type hanging struct {
	sink
	begun chan struct{}
}

func (s *hanging) Flush(ctx context.Context) error {
	s.begun <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (s *hanging) Committed() {}

func TestAFlushThatHangsKeepsNoClientFromEnding(t *testing.T) {
	t.Parallel()
	b := bustest.Open(t)
	s := &hanging{sink: sink{values: map[string]int{}}, begun: make(chan struct{}, 10)}
	_, end := run(t, b, client.Spec{Name: "sink", Inputs: []string{in}, Sink: s, FlushEvery: time.Millisecond})
	send(t, b, 1)
	<-s.begun
	ended := make(chan struct{})
	go func() { end(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(25 * time.Second):
		t.Fatal("it does not end")
	}
}
