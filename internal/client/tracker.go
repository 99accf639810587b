package client

import (
	"sync"
	"sync/atomic"

	"github.com/decodersring/decoder/internal/bus"
)

// tracker knows which records of a partition are in flight, and up to where
// all are done with. Entries are added in order of offsets and may end in any.
type tracker struct {
	ended func(bytes int64) // called, without lock, when an entry has ended

	mu      sync.Mutex
	entries []*entry
	at      int64 // all before it are done with; -1: nothing was yet
	bytes   int64
	broken  int // entries that ended with an error
}

// entry is a run of records in flight: one, or several handled in a row.
type entry struct {
	tracker *tracker
	records []*bus.Record // those to handle again if an output is refused
	bytes   int64
	pending atomic.Int32 // what it waits for: outputs, and its maker
	err     atomic.Pointer[error]

	acknowledge func(*bus.Record, error) // acknowledged, as the callback of each output

	next int64 // offset behind its last record; guarded by tracker.mu
	done bool
	left bool // its maker has stopped before its end
}

// newEntry returns an entry that its maker holds.
func (t *tracker) newEntry(records []*bus.Record, bytes, next int64) *entry {
	e := &entry{tracker: t, records: records, bytes: bytes, next: next}
	e.acknowledge = e.acknowledged
	e.pending.Store(1)
	return e
}

// add begins an entry, which ends when its maker and each of its outputs have
// released it.
func (t *tracker) add(records []*bus.Record, bytes int64) *entry {
	e := t.newEntry(records, bytes, records[len(records)-1].Offset+1)
	t.mu.Lock()
	t.entries = append(t.entries, e)
	t.bytes += bytes
	t.mu.Unlock()
	return e
}

// acknowledged notes what became of one output.
func (e *entry) acknowledged(_ *bus.Record, err error) {
	if err != nil {
		e.err.CompareAndSwap(nil, &err)
	}
	e.release()
}

func (e *entry) release() {
	if e.pending.Add(-1) > 0 {
		return
	}
	if e.err.Load() != nil {
		e.tracker.mu.Lock()
		e.tracker.broken++
		e.tracker.mu.Unlock()
		e.tracker.ended(0)
		return
	}
	e.end()
}

// end marks the entry done, moves on over all done at the front, and gives the
// memory of its records back, which nobody looks at once it is done.
func (e *entry) end() {
	t := e.tracker
	t.mu.Lock()
	e.done = true
	freed := int64(0)
	for len(t.entries) > 0 && t.entries[0].done {
		t.at = t.entries[0].next
		freed += t.entries[0].bytes
		t.entries[0] = nil
		t.entries = t.entries[1:]
	}
	t.bytes -= freed
	t.mu.Unlock()
	for _, r := range e.records {
		r.Recycle()
	}
	t.ended(freed)
}

// underWay reports whether the entry will yet end, or break, by itself: it
// waits for its maker or for outputs, or its end is about to be noted. The
// caller holds tracker.mu.
func (e *entry) underWay() bool {
	return !e.done && (e.pending.Load() > 0 || e.err.Load() == nil)
}

// cut shortens an entry to the records before the i-th, and returns one for
// the rest, so that those before can be committed while the rest waits.
func (e *entry) cut(i int) *entry {
	if i == 0 {
		return e
	}
	t := e.tracker
	rest := t.newEntry(e.records[i:], e.bytes/2, e.next)
	t.mu.Lock()
	e.next = e.records[i].Offset
	e.records = e.records[:i]
	e.bytes -= rest.bytes
	t.entries = append(t.entries, rest) // in order: the last entry is the one being worked on
	t.mu.Unlock()
	e.release()
	return rest
}

// leave gives up an entry from its i-th record on: those before may still be
// committed.
func (e *entry) leave(i int) {
	rest := e.cut(i)
	rest.tracker.mu.Lock()
	rest.left = true
	rest.tracker.mu.Unlock()
}

// position returns the offset that may be committed, or -1, and what is in
// flight.
func (t *tracker) position() (at, bytes int64, entries int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.at, t.bytes, len(t.entries)
}

// refused reports whether the log has refused an output.
func (t *tracker) refused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken > 0
}

// settled returns the entries that ended with an error once no other is in
// flight before or between them; nil while some are.
func (t *tracker) settled() (broken []*entry, wait bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken == 0 {
		return nil, false
	}
	for _, e := range t.entries {
		if e.underWay() {
			return nil, true
		}
		if !e.done {
			broken = append(broken, e)
		}
	}
	return broken, false
}

// mended takes a broken entry as done, after its records were handled again.
func (e *entry) mended() {
	e.tracker.mu.Lock()
	e.tracker.broken--
	e.tracker.mu.Unlock()
	e.end()
}
