package custom

import (
	"bytes"
	"slices"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
)

// sample keeps records to ask the other side again when it must be told
// whether that side works or a record is at fault: one that was answered, and
// until there is one, the last that was not. It may be used concurrently.
type sample struct {
	mu      sync.Mutex
	good    *client.Record
	since   time.Time
	failing *client.Record
	trials  int // of the failing one in a row
}

const (
	sampleAge  = time.Minute // of the good one, before another takes its place
	sampleSize = 1 << 20
	// trialsAllowed is how often a side that has never answered is taken to be
	// away; a program's first record that no program can answer shall not stop
	// it for good. With the pauses between checks it is some minutes.
	trialsAllowed = 20
)

// answered notes a record that the other side has answered well.
func (s *sample) answered(in *client.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trials, s.failing = 0, nil
	if len(in.Value) <= sampleSize && (s.good == nil || time.Since(s.since) > sampleAge) {
		s.good, s.since = copyOf(in), time.Now()
	}
}

// failed notes a record that it has not.
func (s *sample) failed(in *client.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good == nil && len(in.Value) <= sampleSize {
		s.failing = copyOf(in)
	}
}

// pick returns the record to ask with; nil when there is none, or it was asked
// with often enough to show that the record is at fault.
func (s *sample) pick() *client.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.good != nil || s.failing == nil {
		return s.good
	}
	if s.trials++; s.trials > trialsAllowed {
		return nil
	}
	return s.failing
}

// copyOf is needed since a record's bytes are its own only while it is handled.
func copyOf(in *client.Record) *client.Record {
	r := &bus.Record{
		Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Timestamp: in.Timestamp,
		Key: bytes.Clone(in.Key), Value: bytes.Clone(in.Value), Headers: slices.Clone(in.Headers),
	}
	for i, h := range r.Headers {
		r.Headers[i].Value = bytes.Clone(h.Value)
	}
	return &client.Record{Record: r, Origin: in.Origin, Resent: in.Resent}
}
