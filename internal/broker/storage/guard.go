package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// guard refuses writes before the disk is full, and before the budget could
// only be kept by removing what is still to be read. Between two looks at the
// disk it counts what is written.
type guard struct {
	free    atomic.Int64          // bytes, as far as known
	grown   atomic.Int64          // bytes written since the budget was last looked at
	refusal atomic.Pointer[error] // why nothing new is taken in

	mu    sync.Mutex
	full  error // nil: there is room on the disk
	held  error // nil: the budget can be kept
	since time.Time
	told  error // what was last told of
}

// Parts of MinFree that are kept: a quarter for what is made from records taken
// in before, since that is what frees room, and an eighth for the least of it,
// such as an alert that says so.
const (
	forDerived = 4
	forLittle  = 8
	little     = 16 << 10 // bytes of a batch
)

// lookAfter is how many bytes are written at most before the disk and the
// budget are looked at again, without waiting for the clock: a fast producer
// writes hundreds of megabytes between two of its ticks.
func lookAfter(budget int64) int64 { return min(budget/16, 16<<20) }

// watch measures the disk until ctx ends. It does not wait for the store's
// other work: another program may fill the disk within a second.
func (g *guard) watch(ctx context.Context, s *Store) {
	tick := time.Tick(s.cfg.Look)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
			g.measure(s)
		}
	}
}

// measure looks at the disk.
func (g *guard) measure(s *Store) {
	b, err := s.fs.Free(s.cfg.Dir)
	if err != nil {
		s.log.Warn("measuring free disk space", "error", err)
		return
	}
	free := int64(min(b, 1<<62))
	g.free.Store(free)
	g.mu.Lock()
	defer g.mu.Unlock()
	wanted := s.cfg.MinFree
	if g.full != nil {
		wanted += wanted / 8 // not to and fro at the limit
	}
	g.full = nil
	if free < wanted {
		g.full = s.diskFull(free)
	}
	g.judge(s)
}

func (s *Store) diskFull(free int64) error {
	return fmt.Errorf("%w: %s are free on the disk of %s, %s are wanted: remove something there", ErrDiskFull, mebibytes(free), s.cfg.Dir, mebibytes(s.cfg.MinFree))
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(max(n, 0))/(1<<20)) }

// hold has the guard refuse intake for the budget's sake; nil ends that.
func (g *guard) hold(s *Store, why error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = why
	g.judge(s)
}

func (g *guard) isHeld() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.held != nil
}

// tellAfter is how long the budget may refuse intake before it is told: readers
// that are behind for a moment concern nobody.
const tellAfter = 2 * time.Second

// judge sets what is refused, and tells what has changed. The caller holds
// g.mu.
func (g *guard) judge(s *Store) {
	now := cmp.Or(g.full, g.held)
	if now != nil && g.refused() == nil {
		g.since = time.Now()
	}
	g.refusal.Store(&now)
	if now != nil && g.full == nil && time.Since(g.since) < tellAfter || fmt.Sprint(now) == fmt.Sprint(g.told) {
		return
	}
	if now == nil {
		s.log.Info("intake goes on")
	} else if g.told == nil || errors.Is(now, ErrDiskFull) != errors.Is(g.told, ErrDiskFull) {
		s.log.Warn("intake is refused, producers are asked to try again", "reason", now)
	}
	g.told = now
	if f := s.cfg.Events.Intake; f != nil {
		f(now)
	}
}

func (g *guard) refused() error {
	if r := g.refusal.Load(); r != nil {
		return *r
	}
	return nil
}

// admit says whether n bytes may be written to the topic; intake, that they are
// new. The broker's own topics are small and are never refused: a commit frees
// more than it takes.
func (s *Store) admit(t *Topic, n int, intake bool) error {
	if budget := s.budget.Load(); budget > 0 && s.guard.grown.Add(int64(n)) >= lookAfter(budget) {
		s.guard.grown.Store(0)
		ask(s.grown)
	}
	free, kept := s.guard.free.Add(-int64(n)), s.cfg.MinFree/forDerived
	if n <= little {
		kept = s.cfg.MinFree / forLittle
	}
	switch {
	case t.Internal, s.cfg.MinFree < 0 && !intake:
		return nil
	case free < kept, intake && free < s.cfg.MinFree:
		return s.diskFull(free)
	case intake:
		return s.guard.refused()
	}
	return nil
}

// Free returns the bytes free on the disk, as far as known.
func (s *Store) Free() int64 { return s.guard.free.Load() }

// Refused returns why nothing new is taken in at present; nil when it is.
func (s *Store) Refused() error { return s.guard.refused() }
