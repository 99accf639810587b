package reputation

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/intel"
	"github.com/decodersring/decoder/internal/obs"
)

// fake is a provider whose answers a test decides.
type fake struct {
	calls atomic.Int64
	do    func(ctx context.Context, n int64) (Result, error)
	asked sync.Map
}

func (f *fake) Name() string  { return "fake" }
func (f *fake) Kinds() []Kind { return []Kind{IP, Domain, URL, SHA256, Email} }

func (f *fake) Ask(ctx context.Context, k Kind, v string) (Result, error) {
	f.asked.Store(string(k)+" "+v, true)
	return f.do(ctx, f.calls.Add(1))
}

func guardedFake(t *testing.T, l Limits, do func(context.Context, int64) (Result, error)) (*guarded, *fake) {
	t.Helper()
	f := &fake{do: do}
	g, err := guard(f, l, prometheus.NewCounterVec(prometheus.CounterOpts{Name: "x"}, []string{"service", "result"}), obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	return g, f
}

func code(c cached) string {
	if c.err == nil {
		return c.result.Verdict
	}
	return fault.Of(c.err).Code
}

func TestManyWhoAskAtOnceMakeOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, f := guardedFake(t, Limits{}, func(context.Context, int64) (Result, error) {
			time.Sleep(time.Second)
			return Result{Verdict: Bad}, nil
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if c, _ := g.ask(t.Context(), IP, "192.0.2.1"); code(c) != Bad {
					t.Error(code(c))
				}
			})
		}
		wg.Wait()
		if n := f.calls.Load(); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestAnswersAreKeptAsLongAsTheirKindMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		verdict := ""
		g, f := guardedFake(t, Limits{}, func(context.Context, int64) (Result, error) {
			if verdict == Failed {
				return Result{}, fault.NewPermanent(CodeService, errors.New("no"))
			}
			return Result{Verdict: verdict}, nil
		})
		for v, ttl := range map[string]time.Duration{Bad: 12 * time.Hour, Clean: 3 * time.Hour, Unknown: 30 * time.Minute, Failed: 30 * time.Second} {
			verdict = v
			before := f.calls.Load()
			g.ask(t.Context(), Domain, v)
			time.Sleep(ttl - time.Second)
			if _, hit := g.ask(t.Context(), Domain, v); !hit {
				t.Errorf("%s is not kept", v)
			}
			time.Sleep(2 * time.Second)
			if _, hit := g.ask(t.Context(), Domain, v); hit || f.calls.Load() != before+2 {
				t.Errorf("%s is kept for too long", v)
			}
		}
	})
}

func TestBusyServiceIsLeftAloneAndItsBreakerStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, f := guardedFake(t, Limits{ErrTTL: time.Millisecond}, func(_ context.Context, n int64) (Result, error) {
			if n <= 1 {
				return Result{}, fault.NewThrottled(CodeThrottled, time.Minute, errors.New("429"))
			}
			return Result{Verdict: Clean}, nil
		})
		for range 20 {
			c, _ := g.ask(t.Context(), IP, "192.0.2.1")
			if code(c) != CodeThrottled {
				t.Fatal(code(c))
			}
			time.Sleep(time.Second)
		}
		if n := f.calls.Load(); n != 1 {
			t.Errorf("%d calls while it had asked for a minute", n)
		}
		if s := g.status(); s.Breaker != "closed" || s.Paused == 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Minute)
		if c, _ := g.ask(t.Context(), IP, "192.0.2.1"); code(c) != Clean {
			t.Error(code(c))
		}
	})
}

func TestBrokenServiceIsCalledTwiceThenNotUntilItMayHaveRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := true
		g, f := guardedFake(t, Limits{ErrTTL: time.Millisecond}, func(context.Context, int64) (Result, error) {
			if broken {
				return Result{}, errDown
			}
			return Result{Verdict: Clean}, nil
		})
		g.ask(t.Context(), IP, "192.0.2.1")
		if n := f.calls.Load(); n != 2 {
			t.Errorf("%d calls for one question, want one retry", n)
		}
		for range 10 {
			time.Sleep(time.Second)
			g.ask(t.Context(), IP, "192.0.2.1")
		}
		if n := f.calls.Load(); n != 10 || g.status().Breaker != "open" {
			t.Errorf("%d calls, breaker %s", n, g.status().Breaker)
		}
		if c, _ := g.ask(t.Context(), IP, "192.0.2.1"); code(c) != CodeBreaker {
			t.Error(code(c))
		}
		broken = false
		time.Sleep(31 * time.Second)
		if c, _ := g.ask(t.Context(), IP, "192.0.2.1"); code(c) != Clean || g.status().Breaker != "closed" {
			t.Error(code(c), g.status().Breaker)
		}
	})
}

func TestQuotaHoldsForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, f := guardedFake(t, Limits{Quota: 3, ErrTTL: time.Millisecond}, func(context.Context, int64) (Result, error) {
			return Result{Verdict: Clean}, nil
		})
		for n, want := range []string{Clean, Clean, Clean, CodeQuota, CodeQuota} {
			if c, _ := g.ask(t.Context(), Domain, string(rune('a'+n))+".example"); code(c) != want {
				t.Errorf("question %d: %s, want %s", n, code(c), want)
			}
		}
		if s := g.status(); s.Spent != 3 || s.Quota != 3 {
			t.Errorf("%+v", s)
		}
		time.Sleep(24 * time.Hour)
		if c, _ := g.ask(t.Context(), Domain, "z.example"); code(c) != Clean || f.calls.Load() != 4 {
			t.Error(code(c))
		}
	})
}

func TestRateLimitSpreadsCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := guardedFake(t, Limits{Rate: 10, Burst: 1}, func(context.Context, int64) (Result, error) { return Result{Verdict: Clean}, nil })
		start := time.Now()
		for n := range 11 {
			g.ask(t.Context(), Domain, string(rune('a'+n))+".example")
		}
		if took := time.Since(start); took < 900*time.Millisecond || took > 1100*time.Millisecond {
			t.Errorf("11 calls took %v", took)
		}
	})
}

func document() *mail.Document {
	return mail.Decode([]byte("Received: from a (a.example [203.0.113.9]) by mx; Tue, 3 Mar 2026 09:15:02 +0100\n"+
		"From: x@bad.example\nTo: bob@mine.example\nReply-To: y@other.example\n\n"+
		"http://link.example/a http://www.mine.example/x http://10.0.0.1/ http://link.example/?u=bob%40mine.example"), mail.Delivery{}, mail.Options{})
}

func TestOnlyWhatMayLeaveTheHouseIsAskedAbout(t *testing.T) {
	for _, tt := range []struct {
		privacy Privacy
		want    []string
	}{
		{Privacy{Own: []string{"mine.example"}}, []string{"ip 203.0.113.9", "domain bad.example", "domain other.example", "domain link.example"}},
		{Privacy{Own: []string{"mine.example"}, URLs: true, Emails: true}, []string{"ip 203.0.113.9", "domain bad.example", "domain other.example", "domain link.example", "url http://link.example/a", "email x@bad.example", "email y@other.example"}},
	} {
		f := &fake{do: func(context.Context, int64) (Result, error) { return Result{Verdict: Clean}, nil }}
		s, err := New(tt.privacy, []Asked{{f, Limits{Burst: 100}}}, nil, obs.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		s.Ask(t.Context(), document(), nil)
		n := 0
		f.asked.Range(func(k, _ any) bool {
			n++
			if !strings.Contains(strings.Join(tt.want, "\n")+"\n", k.(string)+"\n") {
				t.Errorf("asked about %s", k)
			}
			return true
		})
		if n != len(tt.want) {
			t.Errorf("%d questions, want %v", n, tt.want)
		}
	}
}

func TestAServiceThatDoesNotAnswerMakesTheVerdictIncompleteAndARecheckCompletesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		f := &fake{do: func(ctx context.Context, _ int64) (Result, error) {
			if down.Load() {
				<-ctx.Done()
				return Result{}, ctx.Err()
			}
			return Result{Verdict: Bad, Detail: "phishing"}, nil
		}}
		s, err := New(Privacy{}, []Asked{{f, Limits{}}}, nil, obs.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		lists, err := hygiene.Load("")
		if err != nil {
			t.Fatal(err)
		}
		e := hygiene.New(hygiene.Config{Deadline: time.Second}, lists, s, nil)
		start := time.Now()
		v := e.Check(t.Context(), document())
		if took := time.Since(start); took > 1100*time.Millisecond {
			t.Errorf("the verdict took %v with a deadline of a second", took)
		}
		if !v.Incomplete || v.Result == hygiene.Clean || len(v.Missing) != 1 {
			t.Errorf("%+v", v)
		}
		down.Store(false)
		time.Sleep(time.Minute) // the breaker closes, the failure is forgotten
		w := e.Recheck(t.Context(), document(), v)
		if w.Incomplete || w.Result != hygiene.Bad || w.Revision != 1 {
			t.Errorf("%+v", w)
		}
		calls := f.calls.Load()
		if again := e.Repeat(document(), w); again.Score != w.Score || f.calls.Load() != calls {
			t.Errorf("with recorded answers: score %d, want %d; %d calls more", again.Score, w.Score, f.calls.Load()-calls)
		}
	})
}

func TestLocalFeedsNeedNoAccount(t *testing.T) {
	x, err := intel.Build([]intel.Indicator{
		{Kind: intel.Domain, Value: "bad.example", Feed: "own.txt", Detail: "kit"},
		{Kind: intel.IP, Net: netip.MustParsePrefix("203.0.113.0/24"), Value: "203.0.113.0/24", Feed: "drop.txt"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Privacy{}, nil, func() *intel.Index { return x }, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	lists, err := hygiene.Load("")
	if err != nil {
		t.Fatal(err)
	}
	v := hygiene.New(hygiene.Config{}, lists, s, nil).Check(t.Context(), document())
	if v.Result != hygiene.Bad || v.Incomplete || len(v.Answers) != 2 {
		t.Errorf("%+v", v)
	}
}
