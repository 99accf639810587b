package sourcetest_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

// queue is an outside that hands items out until they are acknowledged.
type queue struct {
	mu          sync.Mutex
	items, done int
}

func (q *queue) next() (int, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done, q.done < q.items
}

func (q *queue) acknowledge() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done++
}

type source struct {
	queue *queue
	to    bus.Appender
}

func (s source) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		n, there := s.queue.next()
		if there {
			err := s.to.Append(ctx, &bus.Record{Topic: bus.TopicJSON, Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte(fmt.Sprint("queue:x:", n))}}})
			if err == nil {
				s.queue.acknowledge()
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func TestASourceThatKeepsThePromisesPasses(t *testing.T) {
	q := &queue{}
	sourcetest.Check(t, sourcetest.Case{
		New:          func(_ testing.TB, to bus.Appender) sourcetest.Runner { return source{q, to} },
		Feed:         func(_ testing.TB, n int) { q.mu.Lock(); q.items += n; q.mu.Unlock() },
		Acknowledged: func() int { q.mu.Lock(); defer q.mu.Unlock(); return q.done },
	})
}
