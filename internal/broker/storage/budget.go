package storage

import (
	"fmt"
	"maps"
	"slices"
)

// SetBudget changes what all topics together may take; 0 is no limit. It
// counts from the next round of retention.
func (s *Store) SetBudget(bytes int64) { s.budget.Store(bytes) }

// Size returns the bytes of all topics.
func (s *Store) Size() int64 {
	var n int64
	for _, p := range s.partitions() {
		n += p.Size()
	}
	return n
}

// segmentShare is how large a segment may become: many of them make up the
// budget, since it can only be kept by removing whole ones that have been read
// to their end.
func (s *Store) segmentShare() int64 {
	const parts, least = 64, 1 << 20
	if budget := s.budget.Load(); budget > 0 {
		return max(budget/parts, least)
	}
	return maxSegment
}

// enforceBudget removes the oldest segments of all topics until they fit:
// first of topics with an ordinary budget, then of those that come last. What
// a reader has still to read stays, and rather nothing more is taken in.
func (s *Store) enforceBudget() {
	limit := s.budget.Load()
	if limit <= 0 {
		s.guard.hold(s, nil)
		return
	}
	unread := s.unread()
	excess := s.Size() - limit
	first, pinned := s.oldest(unread, BudgetNormal, BudgetDerived)
	scarce := excess > 0 && first == nil && !pinned
	if s.scarce.Swap(scarce) != scarce {
		s.log.Warn("what the disk budget may take first is used up", "scarce", scarce, "bytes_over", excess)
		if f := s.cfg.Events.Scarce; f != nil {
			f(scarce)
		}
		return // it is taken in the next round, when this has been told
	}
	over := s.reduce(excess, unread, BudgetNormal, BudgetDerived)
	if over > 0 && scarce {
		s.reduce(over, nil, BudgetLast)
	}
	s.guard.hold(s, s.mustHold(limit, unread, over > 0 && pinned && first == nil))
}

func (s *Store) unread() map[Place]Reader {
	if s.cfg.Unread == nil {
		return nil
	}
	return s.cfg.Unread()
}

// reduce removes the oldest segments of the classes, as far as they may go,
// until excess is gone, and returns what is left of it.
func (s *Store) reduce(excess int64, unread map[Place]Reader, classes ...Budget) int64 {
	for excess > 0 {
		p, _ := s.oldest(unread, classes...)
		if p == nil {
			break
		}
		freed := p.removeOldest()
		if freed == 0 {
			break // it can go in a later round: before that, nothing that is younger
		}
		excess -= freed
	}
	return excess
}

// mustHold returns why nothing more is to be taken in: half of the budget is
// still to be read, which leaves the other half for what is made from it, or
// the budget is used up by what cannot go before it is read.
func (s *Store) mustHold(limit int64, unread map[Place]Reader, stuck bool) error {
	waiting, by := s.waiting(unread)
	most := limit / 2
	if s.guard.isHeld() {
		most = limit / 8 * 3 // not to and fro at the limit
	}
	if waiting < most && !stuck {
		return nil
	}
	return fmt.Errorf("%w: of the log's %s, %s wait to be read, most by %s: give it a larger one if they cannot keep up", ErrUnread, mebibytes(limit), mebibytes(waiting), by)
}

// waiting returns the bytes that are still to be read, about, and who has most
// of them to read.
func (s *Store) waiting(unread map[Place]Reader) (bytes int64, by string) {
	each := map[string]int64{}
	for place, r := range unread {
		t := s.Topic(place.Topic)
		if t == nil || !protected(t) {
			continue
		}
		if p := t.Partition(place.Partition); p != nil {
			n := p.behind(r.Offset)
			bytes += n
			each[r.Name] += n
		}
	}
	for _, name := range slices.Sorted(maps.Keys(each)) {
		if by == "" || each[name] > each[by] {
			by = name
		}
	}
	return bytes, by
}

// protected says whether what is unread in the topic is kept from the budget.
func protected(t *Topic) bool {
	b := t.Config().Budget
	return b == BudgetNormal || b == BudgetDerived
}

// behind returns the bytes from the offset on; of the segment it lies in, the
// part that goes by the offsets.
func (p *Partition) behind(offset int64) int64 {
	var n int64
	for _, s := range *p.segments.Load() {
		size, end := s.size.Load(), s.end.Load()
		switch {
		case end <= offset || size == 0:
		case s.base >= offset:
			n += size
		default:
			n += int64(float64(size) * float64(end-offset) / float64(end-s.base))
		}
	}
	return n
}

// oldest returns the partition of the classes whose first segment is oldest of
// those that may go; nil when there is none. pinned says that others hold
// something that is still to be read.
func (s *Store) oldest(unread map[Place]Reader, classes ...Budget) (oldest *Partition, pinned bool) {
	var age int64
	for _, p := range s.partitions() {
		first, _ := p.first()
		if p.topic.Internal || !slices.Contains(classes, p.topic.Config().Budget) || first == nil || p.Offline() != nil {
			continue
		}
		if r, ok := unread[Place{p.topic.Name, p.index}]; ok && first.end.Load() > r.Offset {
			pinned = true
			continue
		}
		if m := first.maxTime.Load(); oldest == nil || m < age {
			oldest, age = p, m
		}
	}
	return oldest, pinned
}

// first returns the first segment that holds something, nil when none does, and
// how many there are up to it: compaction may have emptied those before it.
func (p *Partition) first() (s *segment, n int) {
	for i, s := range *p.segments.Load() {
		if s.size.Load() > 0 {
			return s, i + 1
		}
	}
	return nil, 0
}

// removeOldest removes the first segment that holds something and returns its
// size. If that is the one being written it is sealed, and can go in a later
// round.
func (p *Partition) removeOldest() int64 {
	first, n := p.first()
	if freed := p.remove(n, "budget"); freed > 0 {
		return freed
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writable() == nil && first != nil && first == p.active {
		p.rollOrFail()
	}
	p.store.askCheckpoint()
	return 0
}
