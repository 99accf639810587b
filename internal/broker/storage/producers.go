package storage

import (
	"maps"
	"math"
	"slices"
	"time"
)

const (
	// keptBatches is how many batches of a producer can be recognised when
	// they are sent again: as many as a producer may have in flight.
	keptBatches = 5
	// maxProducers bounds the producers remembered in one partition; the one
	// silent for longest is forgotten first.
	maxProducers = 2000
)

// producerBatch is a batch a producer has appended.
type producerBatch struct {
	First int32 `json:"first"` // sequence numbers
	Last  int32 `json:"last"`
	Base  int64 `json:"base"` // offsets
	End   int64 `json:"end"`
}

// producer is what a partition remembers of an idempotent producer.
type producer struct {
	Epoch   int16           `json:"epoch"`
	First   int32           `json:"first"` // sequence number that was seen first
	Seen    int64           `json:"seen"`  // wall clock, milliseconds
	Batches []producerBatch `json:"batches"`
}

// producers maps a producer's id to its state.
type producers map[int64]*producer

func (ps producers) clone() producers {
	c := make(producers, len(ps))
	for id, p := range ps {
		c[id] = &producer{Epoch: p.Epoch, First: p.First, Seen: p.Seen, Batches: slices.Clone(p.Batches)}
	}
	return c
}

// check says whether the batch is the producer's next. A batch that is there
// already comes back with its offsets.
func (ps producers) check(h *header) (dup *producerBatch, err error) {
	p := ps[h.producerID]
	if p == nil || len(p.Batches) == 0 {
		// Forgotten, or new here: any start is taken, as Kafka does.
		return nil, nil
	}
	if h.epoch < p.Epoch {
		return nil, ErrFenced
	}
	if h.epoch > p.Epoch {
		if h.sequence != 0 {
			return nil, ErrSequence
		}
		return nil, nil
	}
	for i := range p.Batches {
		if b := &p.Batches[i]; b.First == h.sequence && b.Last == h.lastSequence() {
			return b, nil
		}
	}
	last := p.Batches[len(p.Batches)-1].Last
	if h.sequence == (last+1)&math.MaxInt32 { // 0 comes after the largest
		return nil, nil
	}
	// What is before the first that was seen, of a new producer that had more
	// than one under way, is no duplicate: clients take that for success.
	if before := (last - h.sequence) & math.MaxInt32; before <= (last-p.First)&math.MaxInt32 {
		return nil, ErrDuplicateSequence
	}
	return nil, ErrSequence
}

// note remembers an appended batch.
func (ps producers) note(h *header, now time.Time) {
	if !h.idempotent() {
		return
	}
	p := ps[h.producerID]
	if p == nil || p.Epoch != h.epoch {
		p = &producer{Epoch: h.epoch, First: h.sequence}
		ps[h.producerID] = p
	}
	if len(p.Batches) == keptBatches {
		copy(p.Batches, p.Batches[1:])
		p.Batches = p.Batches[:keptBatches-1]
	}
	p.Batches = append(p.Batches, producerBatch{First: h.sequence, Last: h.lastSequence(), Base: h.base, End: h.end()})
	p.Seen = now.UnixMilli()
	if len(ps) > maxProducers {
		ps.forgetOldest()
	}
}

func (ps producers) forgetOldest() {
	oldest, seen := int64(-1), int64(math.MaxInt64)
	for id, p := range ps {
		if p.Seen < seen {
			oldest, seen = id, p.Seen
		}
	}
	delete(ps, oldest)
}

// expire forgets producers silent since before the time.
func (ps producers) expire(before time.Time) {
	maps.DeleteFunc(ps, func(_ int64, p *producer) bool { return p.Seen < before.UnixMilli() })
}
