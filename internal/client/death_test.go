package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/obs"
)

// roleVariable makes the test binary one process of a client, which can die.
const roleVariable = "DECODER_CLIENT_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := mortal(role); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// mortal runs a client that the record "killer" ends, as running out of
// memory would; "failing" fails the first time and hangs the second.
func mortal(role string) error {
	ctx := context.Background()
	b, err := bus.Open(ctx, bus.Config{Brokers: []string{os.Getenv("BROKER")}}, obs.Scope{})
	if err != nil {
		return err
	}
	defer b.Close()
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		switch string(in.Value) {
		case "killer":
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "failing":
			return errors.New("fails")
		}
		return pass(ctx, in, o)
	}}
	spec := client.Spec{Name: "mortal", Inputs: []string{in}, Session: 6 * time.Second, Attempts: 4, Backoff: 200 * time.Millisecond}
	switch role {
	case "sink":
		spec.Sink = sinkOf(func(batch []*client.Record) error {
			for _, r := range batch {
				if err := s.handle(ctx, r, &client.Output{}); err != nil {
					return err
				}
			}
			return nil
		})
	case "flusher":
		spec.Sink = &paced{buffering: buffering{durable: map[string]bool{}}, answer: errors.New("away")}
	case "concurrent":
		spec.Stage, spec.Concurrency = s, 8
	default:
		spec.Stage = s
	}
	return client.Run(ctx, b, spec, obs.Scope{})
}

type sinkOf func([]*client.Record) error

func (f sinkOf) Write(_ context.Context, batch []*client.Record) error { return f(batch) }

// openLog opens an embedded log that other processes reach.
func openLog(t *testing.T) *bus.Bus {
	t.Helper()
	if os.Getenv("DECODER_TEST_BROKERS") != "" {
		t.Skip("runs on the embedded log alone")
	}
	return bustest.OpenConfig(t, bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Open: true})
}

// spawn starts a mortal process; ended is closed when it has.
func spawn(t *testing.T, b *bus.Bus, role string) (kill func(), ended chan struct{}) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "BROKER="+b.Address())
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }() // it is meant to be killed
	kill = func() { _ = cmd.Process.Kill(); <-ended }
	t.Cleanup(kill)
	return kill, ended
}

func TestTheRecordOfThreeDeathsIsGivenUpAndNoOther(t *testing.T) {
	t.Parallel() // here and below: they have logs of their own, and wait for most of the time
	for _, role := range []string{"ordered", "concurrent", "sink"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			b := openLog(t)
			var records []*bus.Record
			for i := range 1000 { // several partitions, the killer in the midst of one
				v := strconv.Itoa(i)
				if i == 500 {
					v = "killer"
				}
				records = append(records, &bus.Record{Topic: in, Key: []byte(fmt.Sprint("k", i%10)), Value: []byte(v)})
			}
			if err := b.Append(t.Context(), records...); err != nil {
				t.Fatal(err)
			}
			for range 4 { // the first makes it suspect
				_, ended := spawn(t, b, role)
				select {
				case <-ended:
				case <-time.After(60 * time.Second):
					t.Fatal("the process does not die")
				}
			}
			_, ended := spawn(t, b, role)
			bustest.Follow(t, b, "dead_mortal", 60*time.Second, func(r *bus.Record) bool {
				l := dead.Read(r)
				if string(r.Value) != "killer" || l.Code != client.CodeDeath || l.Attempts != 3 {
					t.Errorf("dead letter %q: %+v", r.Value, l)
				}
				return false
			})
			await(t, func() bool { // all is committed in the end
				at, err := b.Committed(t.Context(), "decoder-mortal")
				if err != nil {
					t.Fatal(err)
				}
				return done(at) == 1000
			})
			select {
			case <-ended:
				t.Error("it died once more")
			default:
			}
			if role != "sink" {
				if n := len(ids(t, bustest.All(t, b, out))); n != 999 {
					t.Errorf("%d outputs", n)
				}
			}
			if n := len(bustest.All(t, b, "dead_mortal")); n != 1 {
				t.Errorf("%d dead letters", n)
			}
		})
	}
}

func TestAttemptsSurviveARestart(t *testing.T) {
	t.Parallel()
	b := openLog(t)
	if err := b.Append(t.Context(), &bus.Record{Topic: in, Value: []byte("failing")}); err != nil {
		t.Fatal(err)
	}
	kill, _ := spawn(t, b, "ordered")
	await(t, func() bool { // two attempts are noted
		g, err := b.GroupMetadata(t.Context(), "decoder-mortal")
		if err != nil {
			t.Fatal(err)
		}
		for _, metadata := range g {
			if strings.Contains(metadata, `"n":2`) {
				return true
			}
		}
		return false
	})
	kill()
	began := time.Now()
	spawn(t, b, "ordered")
	bustest.Follow(t, b, "dead_mortal", 60*time.Second, func(r *bus.Record) bool {
		l := dead.Read(r)
		if l.Attempts != 4 {
			t.Errorf("given up after %d attempts", l.Attempts)
		}
		if l.First.After(began) {
			t.Errorf("first failed at %s, after the restart at %s", l.First, began)
		}
		return false
	})
}

// TestWhatAKillMakesSuspectIsDoneSoon kills a process before a backlog, all of
// which is suspect then.
func TestWhatAKillMakesSuspectIsDoneSoon(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"ordered", "concurrent"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			b := openLog(t)
			const backlog = 30_000
			var records []*bus.Record
			for i := range backlog {
				records = append(records, &bus.Record{Topic: in, Key: []byte("k"), Value: []byte(strconv.Itoa(i))})
			}
			if err := b.Append(t.Context(), records...); err != nil {
				t.Fatal(err)
			}
			kill, _ := spawn(t, b, role)
			await(t, func() bool { // the marks are open
				marks, err := b.GroupMetadata(t.Context(), "decoder-mortal")
				if err != nil {
					t.Fatal(err)
				}
				return len(marks) > 0
			})
			kill()
			if at, err := b.Committed(t.Context(), "decoder-mortal"); err != nil || done(at) > backlog/2 {
				t.Fatalf("too much was done before the kill: %v, %v", at, err)
			}
			spawn(t, b, role)
			var began time.Time
			await(t, func() bool {
				at, err := b.Committed(t.Context(), "decoder-mortal")
				if err != nil {
					t.Fatal(err)
				}
				if began.IsZero() && done(at) > 0 {
					began = time.Now()
				}
				return done(at) == backlog
			})
			if took := time.Since(began); took > 20*time.Second { // one after the other takes a minute and more
				t.Errorf("the backlog took %s", took)
			}
		})
	}
}

// done is how many records of the input are committed.
func done(at map[bus.Partition]int64) (n int64) {
	for p, offset := range at {
		if p.Topic == in {
			n += max(offset, 0)
		}
	}
	return n
}

// A sink whose other side is away is not under suspicion while it waits: after
// a kill, that would hold up all partitions of the process.
func TestAfterAKillASinkThatCannotFlushHoldsUpNoOtherPartition(t *testing.T) {
	t.Parallel()
	b := openLog(t)
	send(t, b, 100)
	spans, err := b.Bounds(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	filled := 0
	for _, s := range spans {
		if s.To > s.From {
			filled++
		}
	}
	kill, _ := spawn(t, b, "flusher")
	await(t, func() bool { // all partitions have been begun
		at, err := b.Committed(t.Context(), "decoder-mortal")
		if err != nil {
			t.Fatal(err)
		}
		return len(at) >= filled
	})
	kill()
	s := &paced{buffering: buffering{durable: map[string]bool{}}, answer: errors.New("away")}
	rt, end := run(t, b, client.Spec{Name: "mortal", Inputs: []string{in}, Sink: s, Session: 6 * time.Second})
	await(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.buffer) == 100 })
	s.set(nil)
	drain(t, rt, "mortal")
	end()
	if len(s.durable) != 100 || filled < 2 {
		t.Errorf("%d durable of %d partitions", len(s.durable), filled)
	}
}
