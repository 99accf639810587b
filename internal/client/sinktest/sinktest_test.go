package sinktest_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/sinktest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// set is a destination that keeps one document per id.
type set struct {
	mu     sync.Mutex
	stored map[string]int
	away   bool
}

func (s *set) Write(_ context.Context, batch []*client.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	errs := client.RecordErrors{}
	for i, r := range batch {
		if string(r.Value) == "bad" {
			errs[i] = fault.NewPermanent("bad", errors.New("bad"))
			continue
		}
		s.stored[bus.Value(r.Record, event.HeaderID)] = 1
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

func (s *set) Check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("away")
	}
	return nil
}

func (s *set) reach(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

func TestASinkThatKeepsTheContractPasses(t *testing.T) {
	s := &set{stored: map[string]int{}}
	sinktest.Check(t, sinktest.Case{
		New: func(testing.TB) client.Sink { return s }, Input: bus.TopicEvents, Bad: "bad",
		Value:  func(int, string) string { return "good" },
		Stored: func(testing.TB) map[string]int { s.mu.Lock(); defer s.mu.Unlock(); return maps.Clone(s.stored) },
		Break:  func(testing.TB) { s.reach(true) },
		Mend:   func(testing.TB) { s.reach(false) },
	})
}
