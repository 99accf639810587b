package store

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Subscription is a live search: matching documents as they are written, each
// as it came.
type Subscription struct {
	C <-chan json.RawMessage // closed by Close

	c       chan json.RawMessage
	query   *Query
	missed  atomic.Uint64
	closing func(*Subscription)
}

// Missed returns how many documents matched while the buffer was full.
func (s *Subscription) Missed() uint64 { return s.missed.Load() }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() { s.closing(s) }

// Tail passes documents on to subscriptions; stores have one. Its zero value
// is ready and it may be used concurrently.
type Tail struct {
	mu   sync.RWMutex
	subs []*Subscription
}

// Subscribe adds a subscription, as [Tailer] has it.
func (t *Tail) Subscribe(q *Query, buffer int) *Subscription {
	s := &Subscription{c: make(chan json.RawMessage, max(buffer, 1)), query: q, closing: t.remove}
	s.C = s.c
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subs = append(t.subs, s)
	return s
}

func (t *Tail) remove(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.subs, s); i >= 0 {
		t.subs = slices.Delete(t.subs, i, i+1)
		close(s.c)
	}
}

// Active reports whether anyone is subscribed: without, a store need not
// offer.
func (t *Tail) Active() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.subs) > 0
}

// Offer passes a document on to whom it matches. It never blocks, and copies
// the bytes it keeps.
func (t *Tail) Offer(doc []byte, f Fields, at time.Time) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for _, s := range t.subs {
		if !s.query.Matches(f, at) {
			continue
		}
		select {
		case s.c <- slices.Clone(doc):
		default:
			s.missed.Add(1)
		}
	}
}
