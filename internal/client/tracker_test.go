package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// lent is the context of a record whose memory is lent: recycling asks it for
// whom to give that back to.
type lent struct {
	context.Context
	back func()
}

func (l lent) Value(any) any { l.back(); return nil }

func TestARecordIsLookedAtNoMoreOnceItsMemoryIsGivenBack(t *testing.T) {
	p := &partition{}
	p.tracker.ended = func(int64) {}
	given := 0
	first, second := &bus.Record{Offset: 1, Timestamp: time.Unix(1, 0)}, &bus.Record{Offset: 2, Timestamp: time.Unix(2, 0)}
	first.Context = lent{t.Context(), func() {
		given++
		if at := p.oldest(); !at.IsZero() {
			t.Errorf("the oldest record is still the one of %s", at)
		}
	}}
	second.Context = lent{t.Context(), func() {
		given++
		if at := p.oldest(); !at.Equal(first.Timestamp) {
			t.Errorf("the oldest record is the one of %s, want the first", at)
		}
	}}
	a, b := p.tracker.add([]*bus.Record{first}, 1), p.tracker.add([]*bus.Record{second}, 1)
	b.release()
	a.release()
	if given != 2 {
		t.Errorf("memory was given back %d times, want 2", given)
	}
}

func TestAnEntryAboutToEndIsNotTakenForBroken(t *testing.T) {
	given := map[int64]int{}
	record := func(offset int64) []*bus.Record {
		return []*bus.Record{{Offset: offset, Context: lent{t.Context(), func() { given[offset]++ }}}}
	}
	tr := &tracker{ended: func(int64) {}}
	refused, taken := tr.add(record(1), 1), tr.add(record(2), 1)
	refused.acknowledged(nil, errors.New("refused"))
	taken.pending.Store(0) // its last output was acknowledged, and its end is not noted yet
	if broken, wait := tr.settled(); !wait || len(broken) > 0 {
		t.Errorf("%d broken, to wait %t; want to wait for the entry that ends", len(broken), wait)
	}
	taken.end()
	broken, wait := tr.settled()
	if wait || len(broken) != 1 || broken[0] != refused {
		t.Fatalf("%d broken, to wait %t; want the one that was refused", len(broken), wait)
	}
	refused.mended()
	if at, _, entries := tr.position(); at != 3 || entries != 0 || tr.refused() {
		t.Errorf("at %d with %d entries, refused %t", at, entries, tr.refused())
	}
	if given[1] != 1 || given[2] != 1 {
		t.Errorf("memory was given back %v times, want each once", given)
	}
}
