package storage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
)

// long multiplies the rounds of a test when DECODER_LONG is set.
func long(n int) int {
	if os.Getenv("DECODER_LONG") != "" {
		return 20 * n
	}
	return n
}

// truth is what the power-loss test knows of the log.
type truth struct {
	mu    sync.Mutex
	acked map[string]map[int64]string // partition, base offset, name
	sent  map[string]bool
}

// TestPowerLossKeepsWhatWasAcknowledged cuts the power at random moments, time
// and again on the same log, with any part of what was not synced surviving.
func TestPowerLossKeepsWhatWasAcknowledged(t *testing.T) {
	for seed := range long(60) {
		t.Run(strconv.Itoa(seed), func(t *testing.T) { powerLoss(t, uint64(seed)) })
	}
}

func powerLoss(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 2))
	tr := &truth{acked: map[string]map[int64]string{}, sent: map[string]bool{}}
	fsys := newCrashFS(seed)
	small := func(o *Options) { o.JournalBytes = 16 << 10 }
	s := open(t, fsys, small)
	for i := range 3 {
		s.topic(fmt.Sprint("t", i), 2, ConfigSegmentBytes, "16384")
	}
	for round := range 5 {
		fsys.mu.Lock()
		if rnd.IntN(4) > 0 {
			fsys.failAt = fsys.ops + 1 + rnd.IntN(400)
		}
		fsys.mu.Unlock()
		tr.write(s, round, rnd.Uint64())
		fsys = fsys.crash()
		s.abandon()
		if rnd.IntN(3) == 0 { // and again while it recovers
			fsys.failAt = 1 + rnd.IntN(60)
			if again, err := tryOpen(t, fsys, small); err == nil {
				again.abandon()
			}
			fsys = fsys.crash()
		}
		s = open(t, fsys, small)
		tr.check(t, s)
	}
	s.stop()
}

// write appends from several goroutines until each has appended enough, or the
// power fails.
func (tr *truth) write(s *opened, round int, seed uint64) {
	var wg sync.WaitGroup
	for w := range 4 {
		rnd := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range 30 {
				topic := s.Topic(fmt.Sprint("t", rnd.IntN(3)))
				p := topic.Partition(int32(rnd.IntN(2)))
				name := fmt.Sprintf("r%dw%di%d", round, w, i)
				size := 10 + rnd.IntN(300)
				if rnd.IntN(5) == 0 {
					size = 3000 + rnd.IntN(4000) // past the journal
				}
				if !tr.append(p, name, size) {
					return
				}
				if rnd.IntN(25) == 0 && s.checkpoint() != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

func (tr *truth) append(p *Partition, name string, size int) bool {
	tr.mu.Lock()
	tr.sent[name] = true
	tr.mu.Unlock()
	base, c, err := p.Append(batch(name, 1, size))
	if err == nil {
		err = waitFor(c)
	}
	if err != nil {
		return false
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	key := p.dir
	if tr.acked[key] == nil {
		tr.acked[key] = map[int64]string{}
	}
	tr.acked[key][base] = name
	return true
}

func (tr *truth) check(t *testing.T, s *opened) {
	t.Helper()
	for _, topic := range s.Topics() {
		for _, p := range topic.Partitions() {
			got := values(t, p)
			if int64(len(got)) != p.High() {
				t.Fatalf("%s: %d records to offset %d", p.dir, len(got), p.High())
			}
			acked := tr.acked[p.dir]
			for _, base := range slices.Sorted(maps.Keys(acked)) {
				if base >= int64(len(got)) {
					t.Fatalf("%s: %s was acknowledged at %d, the log ends at %d", p.dir, acked[base], base, len(got))
				}
				if got[base] != acked[base]+"/0" {
					t.Fatalf("%s: %s was acknowledged at %d, %s is there", p.dir, acked[base], base, got[base])
				}
			}
			for _, name := range got {
				if !tr.sent[name[:len(name)-2]] {
					t.Fatalf("%s: nobody sent %s", p.dir, name)
				}
			}
		}
	}
}

// TestPowerLossDuringCompactionKeepsTheLatestOfEachKey cuts the power at every
// single change of the disk that a compaction makes.
func TestPowerLossDuringCompactionKeepsTheLatestOfEachKey(t *testing.T) {
	for at := 1; ; at++ {
		fsys := newCrashFS(uint64(at))
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigCleanupPolicy, "compact", ConfigSegmentBytes, "16384").Partition(0)
		want := map[string]int{}
		for i := range 60 {
			key := fmt.Sprint("k", i%7)
			if i%10 == 0 {
				key = fmt.Sprint("once", i) // what is removed too early is lost
			}
			want[key] = i
			mustAppend(t, p, encodeBatch([]KeyValue{{Key: []byte(key), Value: fmt.Appendf(nil, "%d %1000d", i, i)}}, 1))
		}
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		before := p.Size()
		fsys.mu.Lock()
		start := fsys.ops
		fsys.failAt = start + at
		fsys.mu.Unlock()
		p.compact(p.topic.Config(), s.now())
		cut := fsys.ops >= fsys.failAt
		fsys = fsys.crash()
		s.abandon()

		s = open(t, fsys)
		p = s.Topic("t").Partition(0)
		got := map[string]int{}
		err := p.Each(func(r *Record) {
			var n int
			if _, err := fmt.Sscan(string(r.Value), &n); err != nil {
				t.Fatal(err)
			}
			got[string(r.Key)] = n
		})
		if err != nil || !maps.Equal(got, want) {
			t.Fatalf("cut at change %d: got %v, want %v, %v", at, got, want, err)
		}
		if p.High() != 60 {
			t.Fatalf("cut at change %d: next offset %d", at, p.High())
		}
		_ = values(t, p)
		size := p.Size()
		s.stop()
		if !cut { // it went through
			if size > before/2 {
				t.Errorf("compaction left %d of %d bytes", size, before)
			}
			if at < 10 {
				t.Errorf("compaction made only %d changes", at)
			}
			return
		}
	}
}
