// Package sourcetest checks that a source keeps the promises every source
// makes: nothing acknowledged is lost, nothing read twice gets two origins, an
// error of the log is waited out, and the end is clean. It knows no protocol.
package sourcetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Runner is a source: Run blocks until ctx ends and releases all it opened.
type Runner interface {
	Run(ctx context.Context) error
}

// Case is a source to check.
type Case struct {
	// New returns the source, set to append to the appender. It is called
	// again after the source before has ended, as after a restart.
	New func(t testing.TB, to bus.Appender) Runner
	// Feed gives the outside so many further items, each of its own. What a
	// sender is told must not be waited for: the log may be away.
	Feed func(t testing.TB, n int)
	// Acknowledged returns how many items senders were told are safe; nil for
	// a source that tells nobody.
	Acknowledged func() int
}

const (
	perTurn  = 50
	patience = 60 * time.Second
)

// Check checks the source.
func Check(t *testing.T, c Case) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	l := &log{origins: map[string]int{}}
	end := c.start(t, l)
	c.Feed(t, perTurn)
	l.await(t, perTurn)

	l.set(failing) // the log refuses for a while
	c.Feed(t, perTurn)
	l.awaitCalls(t)
	c.checkAcknowledged(t, l)
	l.set(well)
	l.await(t, 2*perTurn)
	end()

	l.set(forgetful) // it appends, but the source does not hear of it
	end = c.start(t, l)
	c.Feed(t, perTurn)
	l.await(t, 2*perTurn+1)
	end() // and then dies
	l.set(well)
	end = c.start(t, l)
	c.Feed(t, perTurn)
	l.await(t, 4*perTurn)
	end()

	c.checkAcknowledged(t, l)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.origins) != 4*perTurn {
		t.Errorf("%d items were fed, %d origins were seen: what is read again must have the origin it had", 4*perTurn, len(l.origins))
	}
	if l.nameless > 0 {
		t.Errorf("%d records have no %s", l.nameless, event.HeaderOrigin)
	}
}

func (c Case) checkAcknowledged(t *testing.T, l *log) {
	t.Helper()
	if c.Acknowledged == nil {
		return
	}
	told := c.Acknowledged()
	l.mu.Lock()
	defer l.mu.Unlock()
	if told > len(l.origins) {
		t.Errorf("senders were told of %d items, the log has %d", told, len(l.origins))
	}
}

// start runs the source until the function returned ends it in order.
func (c Case) start(t *testing.T, l *log) func() {
	t.Helper()
	source := c.New(t, l)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- source.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		select {
		case err := <-ended:
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("the source ended with %v", err)
			}
		case <-time.After(patience):
			t.Fatal("the source does not end with its context")
		}
	}
}

// mood is how the log behaves.
type mood int

const (
	well mood = iota
	failing
	forgetful
)

// log is an appender that misbehaves when told.
type log struct {
	mu       sync.Mutex
	mood     mood
	calls    int
	origins  map[string]int
	nameless int
}

var errAway = errors.New("the log is away")

// Append implements [bus.Appender].
func (l *log) Append(ctx context.Context, records ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.mood == failing {
		return errAway
	}
	for _, r := range records {
		origin := bus.Value(r, event.HeaderOrigin)
		if origin == "" {
			l.nameless++
		}
		l.origins[origin]++
	}
	if l.mood == forgetful {
		return errAway
	}
	return ctx.Err()
}

func (l *log) set(m mood) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mood, l.calls = m, 0
}

func (l *log) await(t *testing.T, n int) {
	t.Helper()
	l.until(t, "items on the log", n, func() int { return len(l.origins) })
}

func (l *log) awaitCalls(t *testing.T) {
	t.Helper()
	l.until(t, "calls of the failing log", 2, func() int { return l.calls })
}

func (l *log) until(t *testing.T, what string, n int, value func() int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		l.mu.Lock()
		now := value()
		l.mu.Unlock()
		if now >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d %s after %s, want %d", now, what, patience, n)
		}
		<-time.After(5 * time.Millisecond)
	}
}
