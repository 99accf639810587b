package vlogs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"
)

// storedFake is a storage that finds what was flushed.
type storedFake struct {
	x       *ids
	pending map[int64][]string
	found   map[int64][]string
	loads   int
}

func newStoredFake() *storedFake {
	f := &storedFake{pending: map[int64][]string{}, found: map[int64][]string{}}
	f.x = newIDs(f.load)
	return f
}

func (f *storedFake) load(_ context.Context, _ *folder, from, to int64, limit int) ([]uint64, error) {
	f.loads++
	var out []uint64
	for at, ids := range f.found {
		if at < from || at > to {
			continue
		}
		for _, id := range ids {
			if out = append(out, f.x.hash(id)); limit > 0 && len(out) >= limit {
				return out, nil
			}
		}
	}
	return out, nil
}

func (f *storedFake) add(t *testing.T, at time.Time, id string) bool {
	t.Helper()
	fresh, err := f.x.add(t.Context(), nil, at.UnixNano(), id)
	if err != nil {
		t.Fatal(err)
	}
	if fresh {
		f.pending[at.UnixNano()] = append(f.pending[at.UnixNano()], id)
	}
	return fresh
}

func (f *storedFake) flush() {
	for at, ids := range f.pending {
		f.found[at] = append(f.found[at], ids...)
	}
	clear(f.pending)
	f.x.flushed()
}

func TestSpansAreCutAndForgottenAndStillKnown(t *testing.T) {
	f := newStoredFake()
	base := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(i int) time.Time { return base.Add(time.Duration(i) * 40 * time.Millisecond) }
	const n = spanIDs * 3
	for i := range n { // one day, then some of its hours, overflow
		if !f.add(t, at(i), strconv.Itoa(i)) {
			t.Fatalf("%d is not new", i)
		}
		if i%50_000 == 0 {
			f.flush()
		}
	}
	f.flush()
	for k, s := range f.x.spans {
		if len(s.ids) >= spanIDs {
			t.Errorf("a span of level %d keeps %d ids", k.level, len(s.ids))
		}
	}
	for i := 0; i < n; i += 101 {
		if f.add(t, at(i), strconv.Itoa(i)) {
			t.Fatalf("%d is taken for new", i)
		}
	}
	total := 0
	for _, s := range f.x.spans {
		total += len(s.ids)
	}
	if total != f.x.total {
		t.Errorf("%d ids kept, %d counted", total, f.x.total)
	}
	if f.loads > 200 {
		t.Errorf("the storage was asked %d times", f.loads)
	}
}

func TestManyIDsOfOneSecondAreKnown(t *testing.T) {
	f := newStoredFake()
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 2 * spanIDs {
		f.add(t, at, strconv.Itoa(i))
	}
	f.flush()
	for i := range 2 * spanIDs {
		if f.add(t, at, strconv.Itoa(i)) {
			t.Fatalf("%d is taken for new", i)
		}
	}
}

func TestKeptIDsAreBounded(t *testing.T) {
	f := newStoredFake()
	at := func(day, i int) time.Time {
		return time.Date(2001+day, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Millisecond)
	}
	for day := range 15 {
		for i := range spanIDs - 1 {
			f.add(t, at(day, i), fmt.Sprint(day, i))
		}
		f.flush()
		if f.x.total > keptIDs {
			t.Fatalf("%d ids kept", f.x.total)
		}
	}
	for day := range 15 {
		if f.add(t, at(day, 5), fmt.Sprint(day, 5)) {
			t.Errorf("day %d is forgotten", day)
		}
	}
}

func TestNothingIsNotedWhenTheStorageCannotBeAsked(t *testing.T) {
	f := newStoredFake()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.x.load = func(ctx context.Context, _ *folder, _, _ int64, _ int) ([]uint64, error) { return nil, ctx.Err() }
	if _, err := f.x.add(ctx, nil, 0, "a"); err == nil {
		t.Fatal("no error")
	}
	f.x.load = f.load
	if !f.add(t, time.Unix(0, 0), "a") {
		t.Error("it is taken for stored")
	}
}

func TestDeepestSpansAreSeconds(t *testing.T) {
	if !slices.Equal(levels[:], []int64{86400e9, 3600e9, 60e9, 1e9}) {
		t.Errorf("levels: %v", levels)
	}
}
