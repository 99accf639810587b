package client_test

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
)

// ideal is 256 calls of 100 ms at once, in records a second.
const ideal = 2560

// TestManySlowCallsAreInFlightAtOnce runs a stage with an outside call of 100 ms
// over 12 partitions. One call at a time for each partition would give 120
// records/s: half of the ideal tells, whatever else the machine does. With
// DECODER_LONG=1, on a machine that does nothing else, it asks for what is
// aimed at.
func TestManySlowCallsAreInFlightAtOnce(t *testing.T) {
	for _, c := range []struct {
		name              string
		members, inFlight int
		slow              bool // 1 % of the calls take 2 s
		least             float64
	}{
		{"one process", 1, 256, false, 0.95},
		{"four processes", 4, 64, false, 0.95},
		{"one in a hundred is slow", 1, 256, true, 0.80},
	} {
		t.Run(c.name, func(t *testing.T) {
			least := c.least
			if os.Getenv("DECODER_LONG") == "" {
				least = 0.5
			}
			if rate := slowCalls(t, c.members, c.inFlight, c.slow); rate < ideal*least && !raceDetector {
				t.Errorf("%.0f records/s, want %.0f", rate, ideal*least)
			}
		})
	}
}

// slowCalls returns the records a second of a stage whose calls take 100 ms.
func slowCalls(t *testing.T, members, inFlight int, slow bool) float64 {
	t.Helper()
	b := bustest.Open(t)
	const records = ideal * 3
	var done, calls, first, last atomic.Int64
	s := &stage{handle: func(ctx context.Context, in *client.Record, o *client.Output) error {
		took := 100 * time.Millisecond
		if n := calls.Add(1); slow && n%100 == 0 {
			took = 2 * time.Second
		}
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return ctx.Err()
		}
		switch done.Add(1) { // the rate is that of the middle, without start and end
		case records / 10:
			first.Store(time.Now().UnixNano())
		case records / 10 * 9:
			last.Store(time.Now().UnixNano())
		}
		return pass(ctx, in, o)
	}}
	var batch []*bus.Record
	for i := range records {
		batch = append(batch, &bus.Record{Topic: bus.TopicEmail, Key: []byte(strconv.Itoa(i)), Value: []byte("x")})
	}
	if err := b.Append(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	var rt *client.Runtime
	var ends []func()
	for range members {
		var end func()
		rt, end = run(t, b, client.Spec{Name: "slow", Inputs: []string{bus.TopicEmail}, Outputs: []string{out}, Stage: s, Concurrency: inFlight})
		ends = append(ends, end)
	}
	drain(t, rt, "slow")
	for _, end := range ends {
		end()
	}
	took := time.Duration(last.Load() - first.Load())
	rate := records * 0.8 / took.Seconds()
	t.Logf("the middle of %d records in %s: %.0f/s, %.1f %% of the ideal", records, took, rate, 100*rate/ideal)
	return rate
}
