package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// signed is a record that tells by itself whether one byte of it is another's.
func signed(n int) *bus.Record {
	key := fmt.Appendf(nil, "key %d", n)
	value := bytes.Repeat(fmt.Appendf(nil, "value %d ", n), 20+n%480)
	return &bus.Record{Topic: in, Key: key, Value: value, Headers: []bus.Header{
		{Key: event.HeaderOrigin, Value: fmt.Appendf(nil, "test:%d", n)}, {Key: "sum", Value: sum(key, value)},
	}}
}

func sum(key, value []byte) []byte {
	h := fnv.New64a()
	_, _ = h.Write(key)
	_, _ = h.Write(value)
	return strconv.AppendUint(nil, h.Sum64(), 16)
}

func whole(r *bus.Record) bool {
	return bus.Value(r, "sum") == string(sum(r.Key, r.Value)) && "key "+bus.Value(r, event.HeaderOrigin)[len("test:"):] == string(r.Key)
}

// TestWhatIsMadeOfARecordIsRightWhileMemoryIsLentAgain passes records on
// without a copy, some after failures, some as dead letters, all after the log
// has refused them for a while, and has their memory go round as fast as it
// does.
func TestWhatIsMadeOfARecordIsRightWhileMemoryIsLentAgain(t *testing.T) {
	const n = 12_000
	for _, concurrency := range []int{0, 8} {
		t.Run(fmt.Sprint("concurrency ", concurrency), func(t *testing.T) {
			b := bustest.Open(t)
			var handled, torn atomic.Int64
			tries := make([]atomic.Int32, n)
			s := &stage{handle: func(_ context.Context, r *client.Record, o *client.Output) error {
				handled.Add(1)
				if !whole(r.Record) {
					torn.Add(1)
				}
				i, _ := strconv.Atoi(r.Origin[len("test:"):])
				switch {
				case i%1000 == 1 && tries[i].Add(1) == 1:
					return fault.NewRetry("once", errors.New("once"))
				case i%50 == 2:
					return fault.NewPermanent("never", errors.New("never"))
				}
				o.Emit("made_late", r.Key, r.Value, bus.Header{Key: "sum", Value: []byte(bus.Value(r.Record, "sum"))})
				return nil
			}}
			rt, _ := run(t, b, client.Spec{
				Name: "lent", Inputs: []string{in}, Stage: s, InFlight: 1 << 20, Concurrency: concurrency, Backoff: time.Millisecond,
			})
			for i := 0; i < n; {
				var records []*bus.Record
				for range 200 {
					records = append(records, signed(i))
					i++
				}
				if err := b.Append(t.Context(), records...); err != nil {
					t.Fatal(err)
				}
			}
			await(t, func() bool { return strings.Contains(rt.Client("lent").Status().Reason, bus.CodeUnknownTopic) })
			if err := b.Ensure(t.Context(), bus.Lookup("made_late")); err != nil {
				t.Fatal(err)
			}
			drain(t, rt, "lent")
			seen := map[string]bool{}
			for _, r := range bustest.All(t, b, "made_late") {
				if !whole(r) {
					t.Fatalf("output %s is torn: %.100q", r.Key, r.Value)
				}
				seen[string(r.Key)] = true
			}
			for _, r := range bustest.All(t, b, "dead_lent") {
				if l := dead.Read(r); !whole(l.Record) {
					t.Fatalf("dead letter %s is torn: %.100q", l.Record.Key, l.Record.Value)
				}
				seen[string(r.Key)] = true
			}
			if len(seen) != n || torn.Load() > 0 {
				t.Errorf("%d of %d records came out; the stage was given %d of others' bytes", len(seen), n, torn.Load())
			}
			t.Logf("%d calls for %d records", handled.Load(), n)
		})
	}
}
