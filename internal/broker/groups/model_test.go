package groups

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// slowLog is a log that takes its time, and now and then loses what is not yet
// durable, as a partition does whose sync fails. It tells in any order.
type slowLog struct {
	mu      sync.Mutex
	batches []slowBatch
	durable int // batches
}

type slowBatch struct {
	records []Record
	ended   chan error
}

func (l *slowLog) Append(records []Record) (int64, func(context.Context) error, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ended := make(chan error, 1)
	l.batches = append(l.batches, slowBatch{records, ended})
	return int64(len(l.batches)), func(context.Context) error { return <-ended }, nil
}

func (l *slowLog) Each(fn func(key, value []byte)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches[:l.durable] {
		for _, r := range b.records {
			fn(r.Key, r.Value)
		}
	}
	return nil
}

// settle ends what waits, well or not.
func (l *slowLog) settle(rnd *rand.Rand, err error) {
	l.mu.Lock()
	waiting := l.batches[l.durable:]
	if err != nil {
		l.batches = l.batches[:l.durable:l.durable]
	}
	l.durable = len(l.batches)
	l.mu.Unlock()
	for _, i := range rnd.Perm(len(waiting)) {
		waiting[i].ended <- err
	}
}

// has says whether a record with the offset was ever durable.
func (l *slowLog) has(at int64) (found bool) {
	_ = l.Each(func(_, value []byte) {
		var v kmsg.OffsetCommitValue
		found = found || value != nil && v.ReadFrom(value) == nil && v.Offset == at
	})
	return found
}

// world is a manager, its log, and what the two say.
type world struct {
	fixture
	log   *slowLog
	topic atomic.Int32 // its id
}

func newWorld(t *testing.T) *world {
	w := &world{log: &slowLog{}}
	w.topic.Store(1)
	w.t, w.Manager = t, w.reopen()
	return w
}

func (w *world) reopen() *Manager {
	m := New(Config{
		InitialDelay: delay, Retention: time.Hour,
		Topic: func(string, int32) ([16]byte, bool) { return [16]byte{byte(w.topic.Load())}, true },
	}, w.log)
	if err := m.Load(); err != nil {
		w.t.Fatal(err)
	}
	return m
}

// tells is what is told of a group: its offsets and, when it is stable, its
// generation and members with what they were assigned.
func tells(m *Manager, stable bool) (out []string) {
	for g := range m.all() {
		for p := range int32(3) {
			if o := g.offsets[topicPartition{"t", p}]; o != nil {
				out = append(out, fmt.Sprintf("%d is read to %d", p, o.value.Offset))
			}
		}
		for _, mb := range g.sorted() {
			if stable {
				out = append(out, fmt.Sprintf("%d %s %s: %s of %s", g.generation, g.protocol, g.leader, mb.MemberID, mb.Assignment))
			}
		}
	}
	return out
}

// TestMemoryIsAsTheLogWhateverFails commits, deletes, forgets and crashes at
// random over a log that is slow and fails. What is answered as done is in the
// log; when all has ended, memory is what would be read back.
func TestMemoryIsAsTheLogWhateverFails(t *testing.T) {
	for seed := range uint64(2000) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 7))
			w := newWorld(t)
			defer func() { w.close(); w.log.settle(rnd, nil) }()
			var waiting sync.WaitGroup
			for at := range int64(60) {
				w.act(rnd, &waiting, at)
				if rnd.IntN(6) > 0 {
					continue
				}
				w.quiet(rnd, &waiting)
				again := w.reopen()
				stable := w.state() == "Stable 1"
				if d := cmp.Diff(tells(again, stable), tells(w.Manager, stable)); d != "" {
					t.Fatalf("seed %d, after %d steps: the log (-) and memory (+) differ:\n%s", seed, at, d)
				}
				again.close()
			}
			w.quiet(rnd, &waiting)
		})
	}
}

// quiet has everything end well.
func (w *world) quiet(rnd *rand.Rand, waiting *sync.WaitGroup) {
	time.Sleep(2 * delay) // joins are answered
	for range 5 {         // what is answered may have more written
		w.log.settle(rnd, nil)
		synctest.Wait()
	}
	waiting.Wait()
}

// act is one step.
func (w *world) act(rnd *rand.Rand, waiting *sync.WaitGroup, at int64) {
	m := w.Manager
	switch rnd.IntN(12) {
	case 0:
		w.log.settle(rnd, nil)
	case 1:
		w.log.settle(rnd, errDisk)
	case 2:
		waiting.Go(func() { deletions["a group"](m) })
	case 3:
		waiting.Go(func() { deletions["offsets"](m) })
	case 4:
		w.topic.Add(1)
		waiting.Go(func() { m.TopicDeleted("t") })
		synctest.Wait() // nobody commits to it before it is forgotten
	case 5:
		time.Sleep(time.Duration(rnd.IntN(90)) * time.Minute)
		waiting.Go(m.expire)
	case 6: // a crash
		m.close()
		synctest.Wait()
		w.log.settle(rnd, errDisk)
		waiting.Wait()
		w.Manager = w.reopen()
	case 7: // a member comes, and is gone
		waiting.Go(func() {
			joined := <-w.join(joining(""))
			if joined.ErrorCode == code.None {
				m.Sync(syncing(joined.MemberID, joined.Generation, map[string]string{joined.MemberID: strconv.FormatInt(at, 10)}))
			}
		})
		time.Sleep(2 * delay)
	default:
		r := committing("", -1, at)
		r.Topics[0].Partitions[0].Partition = rnd.Int32N(3)
		wait := m.Commit(r)
		if rnd.IntN(4) == 0 {
			return // its connection ends
		}
		waiting.Go(func() {
			if c := wait(context.Background()).Topics[0].Partitions[0].ErrorCode; c == code.None && !w.log.has(at) {
				w.t.Errorf("the commit of %d was answered, and is not in the log", at)
			}
		})
	}
}
