package storage

import "sync/atomic"

// guard refuses writes before the disk is full. Between two looks at the disk
// it counts what is written.
type guard struct {
	free  atomic.Int64 // bytes, as far as known
	full  atomic.Bool
	grown atomic.Int64 // bytes written since the budget was last looked at
}

// lookAfter is how many bytes are written at most before the disk and the
// budget are looked at again, without waiting for the clock: a fast producer
// writes hundreds of megabytes between two of its ticks.
func lookAfter(budget int64) int64 { return min(budget/16, 16<<20) }

// measure looks at the disk.
func (g *guard) measure(s *Store) {
	free, err := s.fs.Free(s.cfg.Dir)
	if err != nil {
		s.log.Warn("measuring free disk space", "error", err)
		return
	}
	g.free.Store(int64(min(free, 1<<62)))
	full := g.free.Load() < s.cfg.MinFree
	if g.full.Swap(full) != full {
		s.log.Warn("free-disk guard changed", "refuses_writes", full, "free_bytes", free)
		if f := s.cfg.Events.Full; f != nil {
			f(full, free)
		}
	}
}

// admit says whether n bytes may be written to the topic. The broker's own
// topics are small and are never refused: a commit frees more than it takes.
func (s *Store) admit(t *Topic, n int) error {
	if budget := s.budget.Load(); budget > 0 && s.guard.grown.Add(int64(n)) >= lookAfter(budget) {
		s.guard.grown.Store(0)
		select {
		case s.grown <- struct{}{}:
		default: // is to be looked at already
		}
	}
	if s.guard.free.Add(-int64(n)) < s.cfg.MinFree && !t.Internal {
		return ErrDiskFull
	}
	return nil
}

// Free returns the bytes free on the disk, as far as known.
func (s *Store) Free() int64 { return s.guard.free.Load() }
