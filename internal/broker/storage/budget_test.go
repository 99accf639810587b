package storage

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// eventually waits for what the store's own goroutine does.
func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !check(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

// slowReader is one that has still to read partition 0 of a topic.
type slowReader struct {
	topic string
	at    atomic.Int64 // negative: it is gone
}

func (r *slowReader) unread() map[Place]Reader {
	if r.at.Load() < 0 {
		return nil
	}
	return map[Place]Reader{{r.topic, 0}: {Name: "slow", Offset: r.at.Load()}}
}

// appendUntilRefused returns how many batches of about 4 KB were taken.
func appendUntilRefused(t *testing.T, p *Partition, most int) (taken int, refused error) {
	t.Helper()
	for n := range most {
		_, c, err := p.Append(batch(strconv.Itoa(int(p.High())), 1, 4000))
		if err != nil {
			return n, err
		}
		if err := waitFor(c); err != nil {
			t.Fatal(err)
		}
		// A disk in memory is faster than any look at it.
		eventually(t, "the budget to be looked at", func() bool { return len(p.store.grown) == 0 })
	}
	return most, nil
}

func TestBudgetKeepsWhatIsUnreadAndRefusesIntakeInstead(t *testing.T) {
	const budget = 1 << 20
	var told atomic.Int64
	r := &slowReader{topic: "in"}
	s := open(t, newCrashFS(1), func(o *Options) {
		o.Budget, o.Unread, o.Look = budget, r.unread, time.Millisecond
		o.Events.Intake = func(refused error) {
			if refused != nil {
				told.Add(1)
			}
		}
	})
	defer s.stop()
	in := s.topic("in", 1, ConfigSegmentBytes, "16384").Partition(0)
	out := s.topic("out", 1, ConfigSegmentBytes, "16384", ConfigBudget, string(BudgetDerived)).Partition(0)
	own := s.topic("own", 1, ConfigSegmentBytes, "16384").Partition(0)

	taken, err := appendUntilRefused(t, in, 3*budget/4000)
	if !errors.Is(err, ErrUnread) {
		t.Fatalf("after %d batches: %v", taken, err)
	}
	eventually(t, "the reason", func() bool { return s.Refused() != nil && strings.Contains(s.Refused().Error(), "most by slow") })
	if n := int64(taken) * 4000; n < budget/3 || in.Start() != 0 {
		t.Fatalf("refused after %d bytes of %d, the log begins at %d", n, budget, in.Start())
	}
	// What is made of it goes on, and so do others' letters; new records do not.
	mustAppend(t, out, batch("derived", 1, 4000))
	if _, c, err := own.AppendDerived(batch("derived", 1, 4000)); err != nil || waitFor(c) != nil {
		t.Fatalf("a derived batch for an intake topic: %v", err)
	}
	if _, _, err := own.Append(batch("new", 1, 4000)); !errors.Is(err, ErrUnread) {
		t.Fatalf("another intake topic: %v", err)
	}
	eventually(t, "the refusal to be told", func() bool { return told.Load() > 0 })

	// The reader gets on: intake goes on, and read segments make room.
	for range 6 {
		r.at.Store(in.High())
		eventually(t, "intake to go on", func() bool { return s.Refused() == nil })
		before := in.High()
		if taken, err = appendUntilRefused(t, in, 3*budget/4000); !errors.Is(err, ErrUnread) {
			t.Fatalf("after %d more batches: %v", taken, err)
		}
		if first := in.Start(); first > before {
			t.Fatalf("what is unread from %d on begins at %d", before, first)
		}
		eventually(t, "what was read to make room", func() bool { return s.Size() <= budget+budget/8 })
	}
	if in.Start() == 0 {
		t.Error("nothing that was read was removed")
	}
	// A reader that is gone holds nothing up.
	r.at.Store(-1)
	eventually(t, "intake to go on", func() bool { return s.Refused() == nil })
	if taken, err := appendUntilRefused(t, in, 3*budget/4000); err != nil {
		t.Fatalf("nobody reads, and after %d batches: %v", taken, err)
	}
}

func TestUnreadRecordsOutliveTheBudgetButNotTheirAge(t *testing.T) {
	r := &slowReader{topic: "in"}
	var ahead atomic.Int64
	s := open(t, newCrashFS(1), func(o *Options) {
		o.Budget, o.Unread = 64<<10, r.unread
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	defer s.stop()
	p := s.topic("in", 1, ConfigSegmentBytes, "16384", "retention.ms", "3600000").Partition(0)
	if _, err := appendUntilRefused(t, p, 1000); !errors.Is(err, ErrUnread) {
		t.Fatal(err)
	}
	s.rounds()
	if p.Start() != 0 {
		t.Fatalf("the budget took unread records up to %d", p.Start())
	}
	ahead.Store(int64(2 * time.Hour))
	s.rounds()
	if p.Start() != p.High() || s.Refused() != nil {
		t.Errorf("old records from %d to %d are kept: %v", p.Start(), p.High(), s.Refused())
	}
}

func TestDeadLettersAreNotTakenToMakeRoomForUnreadRecords(t *testing.T) {
	r := &slowReader{topic: "in"}
	s := open(t, newCrashFS(1), func(o *Options) { o.Unread = r.unread })
	defer s.stop()
	dead := s.topic("dead", 1, ConfigSegmentBytes, "16384", ConfigBudget, "last").Partition(0)
	fillTopic(t, dead, 20)
	in := s.topic("in", 1, ConfigSegmentBytes, "16384").Partition(0)
	fillTopic(t, in, 20)
	d0, i0 := dead.Size(), in.Size()
	s.SetBudget(d0)
	s.rounds()
	if dead.Size() != d0 || in.Size() != i0 || !errors.Is(s.Refused(), ErrUnread) {
		t.Errorf("dead letters %d of %d, unread %d of %d, refused: %v", dead.Size(), d0, in.Size(), i0, s.Refused())
	}
}

// Another program fills the disk, and clears it again.
func TestGuardStopsIntakeFirstAndSeesOtherPrograms(t *testing.T) {
	const limit = 1 << 20
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.MinFree, o.Look = limit, time.Millisecond })
	defer s.stop()
	in := s.topic("in", 1).Partition(0)
	out := s.topic("out", 1, ConfigBudget, string(BudgetDerived)).Partition(0)
	try := func(p *Partition, size int) error {
		_, c, err := p.Append(batch("a", 1, size))
		if err != nil {
			return err
		}
		return waitFor(c)
	}
	const small, large = 10, 2 * little
	for _, c := range []struct {
		free                  int64
		intake, alert, others bool
	}{
		{2 * limit, true, true, true},
		{limit - 10_000, false, true, true},
		{limit + 100, false, true, true}, // not to and fro
		{limit/4 - 1, false, true, false},
		{limit/8 - 1, false, false, false},
		{limit / 2, false, true, true},
		{limit + limit/8 + 100_000, true, true, true},
	} {
		fsys.free.Store(c.free)
		eventually(t, fmt.Sprintf("the guard with %d bytes free", c.free), func() bool {
			return (try(in, small) == nil) == c.intake && (try(out, small) == nil) == c.alert && (try(out, large) == nil) == c.others
		})
		if err := try(in, small); !c.intake && (!errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), "1.0 MiB are wanted")) {
			t.Errorf("with %d bytes free intake is told %v", c.free, err)
		}
		if (s.Refused() == nil) != c.intake {
			t.Errorf("with %d bytes free: refused %v", c.free, s.Refused())
		}
	}
}
