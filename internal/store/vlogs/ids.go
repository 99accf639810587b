package vlogs

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"
)

// ids knows which ids are stored, so that one document is kept for each: the
// library would keep them all.
//
// An id always comes with the same time, so only those of about that time have
// to be known: they are read from the storage when a document of that time is
// written for the first time, and forgotten when other times have been written
// for long. It does not matter when a document comes again: at once, after a
// crash that lost any part of what was written, or years later when a capture
// is replayed or the log is read from its beginning.
//
// Time is cut into spans: a day, or where a day has many documents its hours,
// and so on down to seconds. Spans are forgotten or cut only in flushed, when
// the storage finds all that was written, and can be asked again.
//
// Ids are kept as 64 bits of a keyed hash: among 100,000 ids of a span, the
// chance that a new one is taken for a known one is 1 in 10^14.
type ids struct {
	load func(ctx context.Context, f *folder, from, to int64, limit int) ([]uint64, error)

	mu    sync.Mutex
	seed  maphash.Seed
	spans map[spanKey]*span
	last  [2]lastSpan // the two used last: live events and captures come at a time
	total int
	round uint64
}

type spanKey struct {
	folder *folder
	level  int
	start  int64
}

// span is what is known of a span of time: its ids, or that it is cut.
type span struct {
	ids  map[uint64]struct{}
	cut  bool
	used uint64 // the round it was last used in
}

// lastSpan is the span a folder's last document was in.
type lastSpan struct {
	folder     *folder
	span       *span
	start, end int64
}

// levels are the lengths of spans.
var levels = [...]int64{int64(24 * time.Hour), int64(time.Hour), int64(time.Minute), int64(time.Second)}

const (
	// spanIDs is how many ids a span may have before it is cut.
	spanIDs = 100_000
	// keptIDs is how many ids are kept between flushes, about 16 bytes each.
	keptIDs = 500_000
	// keptSpans bounds the spans of few ids.
	keptSpans = 50_000
)

func newIDs(load func(context.Context, *folder, int64, int64, int) ([]uint64, error)) *ids {
	return &ids{load: load, seed: maphash.MakeSeed(), spans: map[spanKey]*span{}}
}

func (x *ids) hash(id string) uint64 { return maphash.String(x.seed, id) }

// add notes an id and reports whether it is new. After an error nothing is
// noted.
func (x *ids) add(ctx context.Context, f *folder, at int64, id string) (fresh bool, err error) {
	h := x.hash(id)
	x.mu.Lock()
	defer x.mu.Unlock()
	s, err := x.find(ctx, f, at)
	if err != nil {
		return false, err
	}
	if _, known := s.ids[h]; known {
		return false, nil
	}
	s.ids[h] = struct{}{}
	x.total++
	return true, nil
}

func (x *ids) find(ctx context.Context, f *folder, at int64) (*span, error) {
	for _, l := range x.last {
		if l.folder == f && at >= l.start && at < l.end {
			return l.span, nil
		}
	}
	for level, length := range levels {
		start := at - at%length
		s, err := x.spanAt(ctx, spanKey{f, level, start}, length)
		if err != nil {
			return nil, err
		}
		s.used = x.round
		if !s.cut {
			x.last[0], x.last[1] = lastSpan{f, s, start, start + length}, x.last[0]
			return s, nil
		}
	}
	panic("vlogs: a span of the last level is cut")
}

func (x *ids) spanAt(ctx context.Context, k spanKey, length int64) (*span, error) {
	if s := x.spans[k]; s != nil {
		return s, nil
	}
	finest := k.level == len(levels)-1
	limit := spanIDs
	if finest {
		limit = 0
	}
	stored, err := x.load(ctx, k.folder, k.start, k.start+length-1, limit)
	if err != nil {
		return nil, err
	}
	s := &span{}
	if s.cut = !finest && len(stored) >= spanIDs; !s.cut {
		s.ids = make(map[uint64]struct{}, len(stored))
		for _, h := range stored {
			s.ids[h] = struct{}{}
		}
		x.total += len(s.ids)
	}
	x.spans[k] = s
	return s, nil
}

// flushed says that the storage now finds all that was written: spans with
// many ids are cut, and those not used for longest forgotten.
func (x *ids) flushed() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = [2]lastSpan{}
	x.round++
	for k, s := range x.spans {
		if len(s.ids) >= spanIDs && k.level < len(levels)-1 {
			x.total -= len(s.ids)
			s.ids, s.cut = nil, true
		}
	}
	if x.total <= keptIDs && len(x.spans) <= keptSpans {
		return
	}
	keys := make([]spanKey, 0, len(x.spans))
	for k := range x.spans {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b spanKey) int { // longest unused first
		return int(int64(x.spans[a].used) - int64(x.spans[b].used))
	})
	for _, k := range keys {
		if x.total <= keptIDs/2 && len(x.spans) <= keptSpans/2 {
			return
		}
		x.total -= len(x.spans[k].ids)
		delete(x.spans, k)
	}
}

// forget is told that the storage has lost all of a time: what comes again is
// new.
func (x *ids) forget(f *folder, from, to int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = [2]lastSpan{}
	for k, s := range x.spans {
		if k.folder == f && k.start >= from && k.start < to {
			x.total -= len(s.ids)
			delete(x.spans, k)
		}
	}
}
