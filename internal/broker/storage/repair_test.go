package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const repairBatches, perRepairBatch = 40, 3

// damaged makes a log, closes it, and flips bytes in some of its segments.
func damaged(t *testing.T, seed uint64, policy string) *crashFS {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 6))
	fsys := newCrashFS(seed)
	s := open(t, fsys)
	p := s.topic("t", 1, ConfigSegmentBytes, "16384", ConfigCleanupPolicy, policy).Partition(0)
	for i := range repairBatches {
		mustAppend(t, p, batch(strconv.Itoa(i), perRepairBatch, rnd.IntN(400)))
	}
	s.stop()
	var logs []string
	for _, name := range names(fsys.now) {
		if strings.Contains(name, "/t/0/") && strings.HasSuffix(name, logSuffix) && len(fsys.now[name].data) > 0 {
			logs = append(logs, name)
		}
	}
	for range 1 + rnd.IntN(3) {
		i := fsys.now[logs[rnd.IntN(len(logs))]]
		i.data[rnd.IntN(len(i.data))] ^= byte(1 + rnd.IntN(255))
		i.durable, i.pending = slices.Clone(i.data), nil
	}
	return fsys
}

// unreadable returns the offsets at which a read says that the disk is corrupt.
func unreadable(t *testing.T, p *Partition) (out []int64) {
	t.Helper()
	for offset := p.Start(); offset < p.High(); offset++ {
		if _, err := p.Read(nil, offset, 2000, true); errors.Is(err, ErrCorrupt) {
			out = append(out, offset)
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestRepairGetsReadersPastWhatCannotBeReadAndLosesNothingElse(t *testing.T) {
	holes := 0
	for seed := range long(60) {
		policy := []string{"delete", "compact"}[seed%2]
		fsys := damaged(t, uint64(seed), policy)
		s := open(t, fsys)
		bad := unreadable(t, s.Topic("t").Partition(0))
		s.stop()
		lost, err := repair(t.Context(), fsys, testDir)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		holes += len(lost)
		var gone []int64
		for _, l := range lost {
			if l.Topic != "t" || len(fsys.now[l.File].data) == 0 {
				t.Errorf("seed %d: %+v", seed, l)
			}
			for o := l.From; o < l.To; o++ {
				gone = append(gone, o)
			}
		}
		if !slices.Equal(gone, bad) {
			t.Fatalf("seed %d: %v are given up, %v could not be read", seed, gone, bad)
		}
		s = open(t, fsys)
		p := s.Topic("t").Partition(0)
		if still := unreadable(t, p); len(still) > 0 || p.High() != repairBatches*perRepairBatch {
			t.Fatalf("seed %d: %v cannot be read, of %d", seed, still, p.High())
		}
		var want []string
		for o := range p.High() {
			if !slices.Contains(gone, o) {
				want = append(want, fmt.Sprintf("%d/%d", o/perRepairBatch, o%perRepairBatch))
			}
		}
		if got := values(t, p); !slices.Equal(got, want) {
			t.Fatalf("seed %d: %v are left, not %v", seed, got, want)
		}
		if base := mustAppend(t, p, batch("on", 1, 1)); base != repairBatches*perRepairBatch {
			t.Fatalf("seed %d: next offset %d", seed, base)
		}
		s.stop()
		if again, err := repair(t.Context(), fsys, testDir); err != nil || len(again) > 0 {
			t.Fatalf("seed %d: again %+v, %v", seed, again, err)
		}
	}
	if holes == 0 {
		t.Error("nothing was ever damaged")
	}
}

// The power fails at every change of the disk that a repair makes; the next
// one ends it.
func TestInterruptedRepairIsDoneAgain(t *testing.T) {
	for at := 1; ; at++ {
		fsys := damaged(t, 3, "delete")
		clean := damaged(t, 3, "delete")
		s := open(t, clean)
		want := len(unreadable(t, s.Topic("t").Partition(0)))
		s.stop()
		fsys.failAt = at
		_, err := repair(t.Context(), fsys, testDir)
		done := err == nil
		fsys = fsys.crash()
		if _, err := repair(t.Context(), fsys, testDir); err != nil {
			t.Fatalf("change %d: %v", at, err)
		}
		s = open(t, fsys)
		p := s.Topic("t").Partition(0)
		if got := values(t, p); len(got) != repairBatches*perRepairBatch-want || want == 0 || p.High() != repairBatches*perRepairBatch {
			t.Fatalf("change %d: %d records are left of %d to %d, %d were bad", at, len(got), p.Start(), p.High(), want)
		}
		s.stop()
		if done {
			t.Logf("%d changes", at)
			return
		}
	}
}
