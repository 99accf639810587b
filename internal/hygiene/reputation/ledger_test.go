package reputation

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
)

// life is the services of one life of the program, on what the lives before
// noted.
func life(t *testing.T, dir string, f *fake, l Limits) (s *Services, health *obs.Health, end func()) {
	t.Helper()
	db, err := state.Open(t.Context(), dir, Schema())
	if err != nil {
		t.Fatal(err)
	}
	health = &obs.Health{}
	s, err = New(Privacy{}, []Asked{{f, l}}, nil, obs.Scope{Metrics: prometheus.NewRegistry(), Health: health})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Restore(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return s, health, func() { _ = db.Close() }
}

// stop is what an orderly end does before the database is closed.
func stop(t *testing.T, s *Services) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestARestartKeepsToTheQuota(t *testing.T) {
	const quota = 500 // calls are noted ten at a time
	dir := t.TempDir()
	f := &fake{do: func(context.Context, int64) (Result, error) { return Result{Verdict: Clean}, nil }}
	n := 0
	ask := func(s *Services, times int) (got string) {
		for range times {
			n++
			c, _ := s.guarded[0].ask(t.Context(), Domain, fmt.Sprintf("d%d.example", n))
			got = code(c)
		}
		return got
	}
	limits := Limits{Quota: quota, Rate: 1e6, Burst: 1e6}
	s, _, end := life(t, dir, f, limits)
	ask(s, 123)
	stop(t, s)
	end()
	s, health, end := life(t, dir, f, limits)
	if got := s.Status()[0].Spent; got != 123 {
		t.Errorf("after an orderly end %d calls count, want the 123 that were made", got)
	}
	if all := health.All(); len(all) != 1 || all[0].Message != "not asked yet; 123 of 500 calls today" {
		t.Errorf("the health says %+v", all)
	}
	ask(s, 1)
	end() // a crash: nothing more is noted
	s, _, end = life(t, dir, f, limits)
	if got := s.Status()[0].Spent; got < 124 || got > 124+10 {
		t.Errorf("after a crash %d calls count, 124 were made", got)
	}
	if got := ask(s, quota); got != CodeQuota {
		t.Errorf("the quota is used up, and the answer is %s", got)
	}
	end()
	s, _, end = life(t, dir, f, limits)
	defer end()
	before := f.calls.Load()
	if got := ask(s, 10); got != CodeQuota || f.calls.Load() != before || before > quota {
		t.Errorf("after a restart the answer is %s; %d calls of %d", got, f.calls.Load(), quota)
	}
	s.guarded[0].now = func() time.Time { return time.Now().Add(24 * time.Hour) }
	if got := ask(s, 1); got != Clean {
		t.Errorf("on the next day the answer is %s", got)
	}
}

func TestARestartLeavesAloneWhoAskedForIt(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
		left time.Duration // after which it is asked again
	}{
		"a pause":      {fault.NewThrottled(CodeThrottled, 10*time.Minute, errors.New("429")), CodeThrottled, 10 * time.Minute},
		"open breaker": {fault.NewRetry(CodeService, errors.New("500")), CodeBreaker, breakerTimeout},
	} {
		dir := t.TempDir()
		answer := c.err
		f := &fake{do: func(context.Context, int64) (Result, error) { return Result{Verdict: Clean}, answer }}
		s, _, end := life(t, dir, f, Limits{})
		for i := range 5 { // failures in a row open the breaker
			s.guarded[0].ask(t.Context(), Domain, fmt.Sprintf("d%d.example", i))
		}
		end()
		answer = nil
		s, _, end = life(t, dir, f, Limits{ErrTTL: time.Nanosecond})
		before := f.calls.Load()
		got, _ := s.guarded[0].ask(t.Context(), Domain, "again.example")
		if code(got) != c.want || f.calls.Load() != before {
			t.Errorf("%s: after a restart the answer is %s, want %s", name, code(got), c.want)
		}
		if st := s.Status()[0]; (st.Breaker == "open") != (c.want == CodeBreaker) || (st.Paused > 0) != (c.want == CodeThrottled) {
			t.Errorf("%s: shown as %+v", name, st)
		}
		s.guarded[0].now = func() time.Time { return time.Now().Add(c.left) }
		if got, _ := s.guarded[0].ask(t.Context(), Domain, "again.example"); code(got) != Clean {
			t.Errorf("%s: when the time is over the answer is %s", name, code(got))
		}
		end()
	}
}

func TestASecondTryCountsAsACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, f := guardedFake(t, Limits{Quota: 3}, func(context.Context, int64) (Result, error) {
			return Result{}, fault.NewRetry(CodeService, errors.New("500"))
		})
		for _, d := range []string{"a.example", "b.example", "c.example"} {
			g.ask(t.Context(), Domain, d)
		}
		if n, s := f.calls.Load(), g.status(); n != 3 || s.Spent != 3 {
			t.Errorf("%d calls were made and %d counted, want 3", n, s.Spent)
		}
	})
}
