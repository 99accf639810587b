package client

import (
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// TestABusyPartitionAmongIdleOnesIsNotHeldToItsShare: all that one sensor
// sends lies in one of thirty partitions, and waits for the log as rarely as
// if there were no others.
func TestABusyPartitionAmongIdleOnesIsNotHeldToItsShare(t *testing.T) {
	const n, inFlight = 30, 30 << 20
	c := &Client{spec: Spec{InFlight: inFlight}, window: 2, partitions: map[bus.Partition]*partition{}}
	for i := range int32(n) {
		tp := bus.Partition{Topic: "t", Partition: i}
		p := &partition{Partition: tp, c: c}
		p.tracker.ended = func(int64) {}
		c.partitions[tp] = p
	}
	records := []*bus.Record{{Offset: 1}}
	var entries []*entry
	for tp, p := range c.partitions {
		e := p.tracker.add(records, 2<<20) // twice its share
		entries = append(entries, e)
		if len(entries) <= 3 && !p.room() {
			t.Errorf("%d partitions at work, and %v may not go on", len(entries), tp)
		}
	}
	if got := c.flow(); got != inFlight/n {
		t.Errorf("all at work: each may have %d in flight, want %d", got, inFlight/n)
	}
	for _, p := range c.partitions {
		if p.room() {
			t.Errorf("%v may go on with twice its share in flight while all are at work", p.Partition)
		}
	}
	for _, e := range entries {
		e.release()
	}
	for _, p := range c.partitions {
		if !p.room() {
			t.Errorf("%v may not go on with nothing in flight", p.Partition)
		}
	}
}

// TestAPartitionThatKeepsPaceIsNotPaused: whatever it holds, since the fetch
// under way at a pause does without it, and may wait long for others.
func TestAPartitionThatKeepsPaceIsNotPaused(t *testing.T) {
	const inFlight = 8 << 20
	c := &Client{spec: Spec{InFlight: inFlight}, partitions: map[bus.Partition]*partition{}}
	p := &partition{c: c}
	for i := range int32(4) {
		c.partitions[bus.Partition{Topic: "t", Partition: i}] = p
	}
	now := time.Now()
	for _, tt := range []struct {
		name         string
		held         int64
		moved, began time.Duration // ago: an entry ended; the front was read
		want         bool
	}{
		{"keeps pace", 2 * inFlight, 0, time.Second, false},
		{"slow, with half of the memory", inFlight/2 + 1, 0, 2 * crawling, true},
		{"slow, with less", inFlight / 2, 0, 2 * crawling, false},
		{"stands still, with more than its share", inFlight/4 + 1, 2 * standing, 2 * standing, true},
		{"stands still, with its share", inFlight / 4, 2 * standing, 2 * standing, false},
	} {
		p.movedAt.Store(now.Add(-tt.moved).UnixNano())
		p.queue = []arrival{{at: now.Add(-tt.began)}}
		if got := p.tooMuch(tt.held); got != tt.want {
			t.Errorf("%s: paused %v, want %v", tt.name, got, tt.want)
		}
	}
}
