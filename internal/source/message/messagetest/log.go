// Package messagetest stands in for the log in tests of mail sources.
package messagetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Log counts, by origin, what it has acknowledged. It implements bus.Appender.
type Log struct {
	mu      sync.Mutex
	origins map[string]int
	down    bool
	tried   chan struct{}
}

// New returns a log that acknowledges.
func New() *Log { return &Log{origins: map[string]int{}, tried: make(chan struct{}, 1)} }

// Append implements bus.Appender.
func (l *Log) Append(_ context.Context, records ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.tried <- struct{}{}:
	default:
	}
	if l.down {
		return errors.New("the log is down")
	}
	for _, r := range records {
		l.origins[bus.Value(r, event.HeaderOrigin)]++
	}
	return nil
}

// Down makes the log refuse, or take again.
func (l *Log) Down(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

// Tried receives when something has been appended or refused.
func (l *Log) Tried() <-chan struct{} { return l.tried }

// Await waits until the log holds n different messages.
func (l *Log) Await(t *testing.T, n int) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if have := l.Len(); have >= n {
			return
		}
		select {
		case <-l.tried:
		case <-deadline:
			t.Fatalf("%d messages, want %d", l.Len(), n)
		}
	}
}

// Len returns how many different messages the log holds.
func (l *Log) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.origins)
}

// Once fails the test for every message that was appended more than once.
func (l *Log) Once(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for origin, n := range l.origins {
		if n != 1 {
			t.Errorf("%s appended %d times", origin, n)
		}
	}
}
