package reputation

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// Codes of why there is no answer, in metrics and answers.
const (
	CodeThrottled = "throttled"
	CodeQuota     = "quota"
	CodeBreaker   = "breaker_open"
	CodeDeadline  = "deadline"
	CodeRefused   = "refused"
	CodeService   = "service"
)

// guarded is a provider with all its wrappers.
type guarded struct {
	provider Provider
	limits   Limits
	flight   singleflight.Group
	cache    *lru.Cache[string, cached]
	limiter  *rate.Limiter
	breaker  *gobreaker.CircuitBreaker[Result]
	calls    *prometheus.CounterVec
	scope    obs.Scope
	now      func() time.Time

	mu sync.Mutex
	account
	noted int                 // calls that the ledger has as spent, some of them not made yet
	save  func(account) error // nil: nothing outlives the process
}

const (
	maxPause       = time.Hour
	breakerTimeout = 30 * time.Second
)

var (
	errQuota   = errors.New("the day's quota is used up")
	errBreaker = errors.New("the service has failed too often, it is left alone for 30 seconds")
)

type cached struct {
	result Result
	err    error
	until  time.Time
	at     time.Time
}

func guard(p Provider, l Limits, calls *prometheus.CounterVec, scope obs.Scope) (*guarded, error) {
	l = l.withDefaults()
	c, err := lru.New[string, cached](l.Cache)
	if err != nil {
		return nil, fmt.Errorf("making the cache of %s: %w", p.Name(), err)
	}
	g := &guarded{provider: p, limits: l, cache: c, calls: calls, scope: scope, now: time.Now, limiter: rate.NewLimiter(rate.Limit(l.Rate), l.Burst)}
	g.breaker = gobreaker.NewCircuitBreaker[Result](gobreaker.Settings{
		Name: p.Name(), MaxRequests: 1, Interval: time.Minute, Timeout: breakerTimeout,
		ReadyToTrip: func(c gobreaker.Counts) bool {
			return c.ConsecutiveFailures >= 5 || c.Requests >= 20 && c.TotalFailures*2 > c.Requests
		},
		// A service that says "not now" works; one that refuses a key does too.
		IsSuccessful: func(err error) bool { return err == nil || fault.Of(err).Class != fault.Retry },
		// Whoever asked has gone: that says nothing of the service.
		IsExcluded: func(err error) bool { return errors.Is(err, context.Canceled) },
		OnStateChange: func(_ string, _, to gobreaker.State) {
			if to == gobreaker.StateOpen {
				g.open()
			}
		},
	})
	return g, nil
}

// ask returns what the service says, and when it said it.
func (g *guarded) ask(ctx context.Context, k Kind, value string) (cached, bool) {
	key := string(k) + " " + value
	if c, ok := g.fresh(key); ok {
		g.count("cached")
		return c, true
	}
	ch := g.flight.DoChan(key, func() (any, error) {
		// The flight serves all who ask for the key, so it does not end with
		// the first of them; its own deadline allows the retry.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*g.limits.Timeout+time.Second)
		defer cancel()
		return g.look(call, key, k, value), nil
	})
	select {
	case r := <-ch:
		c, ok := r.Val.(cached)
		if !ok {
			c = cached{err: fault.NewRetry(CodeService, errors.New("the provider broke off")), at: g.now()}
		}
		return c, false
	case <-ctx.Done():
		g.count(CodeDeadline)
		return cached{err: fault.NewRetry(CodeDeadline, errors.New("no answer within the message's deadline")), at: g.now()}, false
	}
}

func (g *guarded) fresh(key string) (cached, bool) {
	c, ok := g.cache.Get(key)
	if !ok || g.now().After(c.until) {
		return cached{}, false
	}
	return c, true
}

// look asks and keeps the answer for as long as its kind may be kept.
func (g *guarded) look(ctx context.Context, key string, k Kind, value string) cached {
	if c, ok := g.fresh(key); ok {
		return c // another flight has just landed
	}
	r, err := g.limited(ctx, k, value)
	ttl := map[string]time.Duration{Bad: g.limits.BadTTL, Clean: g.limits.CleanTTL, Unknown: g.limits.UnkTTL}[r.Verdict]
	if r.TTL > 0 && r.TTL < 24*time.Hour {
		ttl = r.TTL
	}
	if err != nil {
		ttl = g.limits.ErrTTL
		g.count(fault.Of(err).Code)
	} else {
		g.count(r.Verdict)
	}
	g.report(err)
	c := cached{result: r, err: err, at: g.now(), until: g.now().Add(ttl)}
	if err == nil || fault.Of(err).Code != CodeDeadline {
		g.cache.Add(key, c)
	}
	return c
}

// report tells the program's health how the service stands, its quota included.
func (g *guarded) report(err error) {
	level, message := obs.OK, "answers"
	if err != nil {
		level, message = obs.Degraded, fault.Of(err).Code
	}
	if s := g.status(); s.Quota > 0 {
		message = fmt.Sprintf("%s; %d of %d calls today", message, s.Spent, s.Quota)
	}
	g.scope.Set("service/"+g.provider.Name(), level, message)
}

func (g *guarded) count(result string) { g.calls.WithLabelValues(g.provider.Name(), result).Inc() }

// limited keeps the rate and the quota; it waits for its turn as long as the
// context allows.
func (g *guarded) limited(ctx context.Context, k Kind, value string) (Result, error) {
	if left := g.pausedFor(); left > 0 {
		return Result{}, fault.NewThrottled(CodeThrottled, left, errors.New("the service asked to be left alone"))
	}
	// A call that is not made costs nothing of the quota.
	if st := g.breaker.State(); st == gobreaker.StateOpen || st == gobreaker.StateClosed && g.wasOpen() {
		return Result{}, fault.NewRetry(CodeBreaker, errBreaker)
	}
	if err := g.spend(); err != nil {
		return Result{}, err
	}
	if err := g.limiter.Wait(ctx); err != nil {
		return Result{}, fault.NewThrottled(CodeThrottled, time.Second, errors.New("the rate limit leaves no time before the deadline"))
	}
	r, err := g.breaker.Execute(func() (Result, error) { return g.retried(ctx, k, value) })
	if errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests) {
		return Result{}, fault.NewRetry(CodeBreaker, errBreaker)
	}
	if err != nil && fault.Of(err).Class == fault.Throttled {
		g.pause(fault.Of(err).After)
	}
	return r, err
}

// retried calls once more after a failure that may pass, when there is time.
func (g *guarded) retried(ctx context.Context, k Kind, value string) (Result, error) {
	r, err := g.call(ctx, k, value)
	if err == nil {
		return r, nil
	}
	f := fault.Of(err)
	wait := 50*time.Millisecond + rand.N(100*time.Millisecond)
	switch f.Class {
	case fault.Permanent:
		return r, err
	case fault.Throttled:
		if f.After > time.Second {
			return r, err
		}
		wait += f.After
	}
	if d, ok := ctx.Deadline(); ok && g.now().Add(wait).After(d) {
		return r, err
	}
	select {
	case <-ctx.Done():
		return r, err
	case <-time.After(wait):
	}
	if g.spend() != nil { // a second call counts as well
		return r, err
	}
	return g.call(ctx, k, value)
}

func (g *guarded) call(ctx context.Context, k Kind, value string) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, g.limits.Timeout)
	defer cancel()
	r, err := g.provider.Ask(ctx, k, value)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return r, fault.NewRetry(CodeService, errors.New("the service did not answer in time"))
	}
	return r, err
}

// Status is how a provider stands.
type Status struct {
	Provider string        `json:"provider"`
	Kinds    []Kind        `json:"kinds"`
	Breaker  string        `json:"breaker"` // closed, half-open, open
	Paused   time.Duration `json:"paused,omitempty"`
	Spent    int           `json:"spent"`           // calls today
	Quota    int           `json:"quota,omitempty"` // of the day
	Cached   int           `json:"cached"`
}

func (g *guarded) status() Status {
	s := Status{
		Provider: g.provider.Name(), Kinds: g.provider.Kinds(), Breaker: g.breaker.State().String(),
		Paused: max(0, g.pausedFor()), Quota: g.limits.Quota, Cached: g.cache.Len(),
	}
	if s.Breaker == gobreaker.StateClosed.String() && g.wasOpen() {
		s.Breaker = gobreaker.StateOpen.String()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s.Spent = g.spentOn(g.today())
	return s
}
