package client_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/obs"
)

// kindOf returns what the client does, and how its health is.
func kindOf(rt *client.Runtime, h *obs.Health, name string) (client.Status, obs.Level) {
	s := rt.Client(name).Status()
	for _, c := range h.All() {
		if c.Component == "client/"+name {
			return s, c.Level
		}
	}
	return s, ""
}

func TestAStuckClientIsToldFromASlowOne(t *testing.T) {
	b := bustest.Open(t)
	sc := scope(t)
	rt := client.NewRuntime(b, sc)
	release := make(chan struct{})
	hang := &stage{handle: func(ctx context.Context, r *client.Record, o *client.Output) error {
		<-release
		return pass(ctx, r, o)
	}}
	slow := &stage{handle: func(ctx context.Context, r *client.Record, o *client.Output) error {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-release:
		}
		return pass(ctx, r, o)
	}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for name, s := range map[string]client.Stage{"hangs": hang, "slow": slow} {
		// The slow one has its progress told record by record, as slow calls are.
		spec := client.Spec{Name: name, Inputs: []string{in}, Outputs: []string{out}, Stage: s, Concurrency: 2, Stuck: 2 * time.Second, Timeout: time.Hour}
		c, err := rt.New(spec)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- c.Run(ctx) }()
	}
	send(t, b, 1000)
	await(t, func() bool {
		s, level := kindOf(rt, sc.Health, "hangs")
		return s.Kind == client.PhaseStuck && level == obs.Failed && strings.Contains(s.Reason, "does not return from "+in)
	})
	if s, level := kindOf(rt, sc.Health, "slow"); s.Kind == client.PhaseStuck || level != obs.OK || s.Lag == 0 {
		t.Errorf("the slow one is %+v, %s", s, level)
	}
	close(release)
	await(t, func() bool {
		s, level := kindOf(rt, sc.Health, "hangs")
		return s.Kind == client.PhaseIdle && level == obs.OK
	})
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAProcessBeyondThePartitionsIsReady has more processes than partitions:
// those left over have joined, and wait in reserve.
func TestAProcessBeyondThePartitionsIsReady(t *testing.T) {
	b := bustest.Open(t)
	var healths []*obs.Health
	var runtimes []*client.Runtime
	ctx, cancel := context.WithCancel(t.Context())
	const processes = 14 // 6 partitions of the input, 6 of resend
	ended := make(chan error, processes)
	for range processes {
		sc := scope(t)
		rt := client.NewRuntime(b, sc)
		c, err := rt.New(client.Spec{Name: "many", Inputs: []string{in}, Outputs: []string{out}, Stage: &stage{handle: pass}})
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- c.Run(ctx) }()
		healths, runtimes = append(healths, sc.Health), append(runtimes, rt)
	}
	await(t, func() bool {
		reserve := 0
		for i, rt := range runtimes {
			s, level := kindOf(rt, healths[i], "many")
			if level != obs.OK {
				return false
			}
			if len(s.Partitions) == 0 && s.Kind == client.PhaseIdle {
				reserve++
			}
		}
		return reserve == processes-12
	})
	cancel()
	for range processes {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

// TestAClientWithoutItsLogIsNotReady takes the log away from a client that has
// nothing to do.
func TestAClientWithoutItsLogIsNotReady(t *testing.T) {
	t.Parallel()
	log := openLog(t)
	b := bustest.OpenConfig(t, bus.Config{Brokers: []string{log.Address()}})
	sc := scope(t)
	rt := client.NewRuntime(b, sc)
	c, err := rt.New(client.Spec{Name: "alone", Inputs: []string{in}, Outputs: []string{out}, Stage: &stage{handle: pass}, Session: 6 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	await(t, func() bool { _, level := kindOf(rt, sc.Health, "alone"); return level == obs.OK })
	log.Close()
	await(t, func() bool {
		s, level := kindOf(rt, sc.Health, "alone")
		return s.Kind == client.PhaseJoining && level == obs.Starting && s.Reason != ""
	})
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
