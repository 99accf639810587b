package client_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
)

// TestManySlowCallsAreInFlightAtOnce measures a stage with an outside call of
// 100 ms over 12 partitions against the ideal of 256 in flight, 2560 records
// a second.
func TestManySlowCallsAreInFlightAtOnce(t *testing.T) {
	const call = 100 * time.Millisecond
	for _, c := range []struct {
		name      string
		members   int
		slow      bool // 1 % of the calls take 2 s
		least     float64
		inFlights int
	}{
		{"one process", 1, false, 0.95, 256},
		{"four processes", 4, false, 0.95, 64},
		{"one in a hundred is slow", 1, true, 0.80, 256},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := bustest.Open(t)
			records := 256 * 10 * 5 // five seconds of the ideal
			var done, calls atomic.Int64
			var first, last atomic.Int64
			s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
				took := call
				if n := calls.Add(1); c.slow && n%100 == 0 {
					took = 2 * time.Second
				}
				select {
				case <-time.After(took):
				case <-ctx.Done():
					return ctx.Err()
				}
				switch done.Add(1) { // the rate is that of the middle, without start and end
				case int64(records / 10):
					first.Store(time.Now().UnixNano())
				case int64(records / 10 * 9):
					last.Store(time.Now().UnixNano())
				}
				return pass(ctx, in, o)
			}}
			var batch []*bus.Record
			for i := range records {
				batch = append(batch, &bus.Record{Topic: bus.TopicEmail, Key: []byte(fmt.Sprint(i)), Value: []byte("x")})
			}
			if err := b.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
			var rt *client.Runtime
			for range c.members {
				rt, _ = run(t, b, client.Spec{Name: "slow", Inputs: []string{bus.TopicEmail}, Outputs: []string{out}, Stage: s, Concurrency: c.inFlights})
			}
			drain(t, rt, "slow")
			took := time.Duration(last.Load() - first.Load())
			rate := float64(records) * 0.8 / took.Seconds()
			t.Logf("%d records, the middle in %s: %.0f/s, %.1f %% of the ideal", done.Load(), took, rate, rate/25.60)
			if rate < 2560*c.least {
				t.Errorf("%.0f records/s, want %.0f", rate, 2560*c.least)
			}
		})
	}
}
