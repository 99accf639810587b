package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// TestFlippedByteHurtsOneBatchAndAReadOverItSaysSo flips bytes anywhere in
// logs and indexes of a log that was closed, and reads from every offset.
func TestFlippedByteHurtsOneBatchAndAReadOverItSaysSo(t *testing.T) {
	const batches, perBatch = 120, 3
	for seed := range long(60) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 4))
		fsys := newCrashFS(uint64(seed))
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigSegmentBytes, "32768").Partition(0)
		for i := range batches {
			mustAppend(t, p, batch(strconv.Itoa(i), perBatch, rnd.IntN(400)))
		}
		s.stop()

		var files []string
		for _, name := range names(fsys.now) {
			if strings.Contains(name, "/t/0/") && len(fsys.now[name].data) > 16 {
				files = append(files, name)
			}
		}
		name := files[rnd.IntN(len(files))]
		data := fsys.now[name].data
		at := rnd.IntN(len(data))
		data[at] ^= byte(1 + rnd.IntN(255))
		what := fmt.Sprintf("seed %d: %s byte %d", seed, name, at)

		var reported atomic.Int32
		s = open(t, fsys, func(o *Options) {
			o.Events.Corrupt = func(string, int32, string, int64) { reported.Add(1) }
		})
		p = s.Topic("t").Partition(0)
		if p.High() != batches*perBatch || p.Start() != 0 {
			t.Fatalf("%s: log from %d to %d", what, p.Start(), p.High())
		}
		bad := map[int64]bool{}
		for offset := range p.High() {
			b, err := p.Read(nil, offset, 2000, true)
			if errors.Is(err, ErrCorrupt) {
				bad[offset/perBatch] = true
				continue
			}
			if err != nil {
				t.Fatalf("%s: reading at %d: %v", what, offset, err)
			}
			h, ok := parseHeader(b)
			if !ok || !crcOK(b, &h) || offset < h.base || offset >= h.end() {
				t.Fatalf("%s: reading at %d gave a batch of %d to %d", what, offset, h.base, h.end())
			}
			if err := eachRecord(b, &h, func(r *Record) bool {
				if want := fmt.Sprintf("%d/%d ", r.Offset/perBatch, r.Offset%perBatch); !strings.HasPrefix(string(r.Value), want) {
					t.Fatalf("%s: offset %d holds %.20s", what, r.Offset, r.Value)
				}
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		isLog := strings.HasSuffix(name, logSuffix)
		if len(bad) > 1 || len(bad) > 0 && !isLog {
			t.Fatalf("%s: batches %v cannot be read", what, bad)
		}
		if len(bad) > 0 != (reported.Load() > 0) {
			t.Errorf("%s: %d bad batches, %d reported", what, len(bad), reported.Load())
		}
		// The log goes on.
		if base := mustAppend(t, p, batch("on", 1, 1)); base != batches*perBatch {
			t.Fatalf("%s: next offset %d", what, base)
		}
		s.stop()
	}
}

// An index is a hint, whatever is in it.
func TestAnyByteOfAnIndexMayBeWrong(t *testing.T) {
	for _, policy := range []string{"delete", "compact"} {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigCleanupPolicy, policy).Partition(0)
		for i := range 30 {
			mustAppend(t, p, batch(strconv.Itoa(i), 2, 700))
		}
		index := fsys.now[p.active.path+indexSuffix].data
		for at := range index {
			for _, flip := range []byte{1, 0x10, 0x20, 0x80, 0xff} {
				index[at] ^= flip
				if got := readable(t, p); len(got) > 0 {
					t.Fatalf("%s: index byte %d flipped by %#x: %v cannot be read", policy, at, flip, got)
				}
				index[at] ^= flip
			}
		}
		s.stop()
	}
}

// TestAnyBytesOnTheDiskAreSurvived opens a store whose files have been
// damaged at random while it was running, and uses it.
func TestAnyBytesOnTheDiskAreSurvived(t *testing.T) {
	for seed := range long(40) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 5))
		fsys := newCrashFS(uint64(seed))
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigSegmentBytes, "16384").Partition(0)
		for i := range 60 {
			mustAppend(t, p, batch(strconv.Itoa(i), 3, rnd.IntN(3000)))
			if i == 40 {
				if err := s.checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
		}
		fsys = fsys.crash()
		s.abandon()
		for range 1 + rnd.IntN(8) {
			all := names(fsys.now)
			i := fsys.now[all[rnd.IntN(len(all))]]
			switch n := len(i.data); {
			case n == 0:
			case rnd.IntN(4) == 0:
				i.data = i.data[:rnd.IntN(n)]
			default:
				i.data[rnd.IntN(n)] ^= byte(1 + rnd.IntN(255))
			}
		}
		s, err := tryOpen(t, fsys)
		if err != nil {
			if !errors.Is(err, errDocument) && !errors.Is(err, ErrFormat) {
				t.Fatalf("seed %d: opening: %v", seed, err)
			}
			continue // a damaged store.json is refused
		}
		if topic := s.Topic("t"); topic != nil {
			p := topic.Partition(0)
			if p.High() > 60*3 {
				t.Fatalf("seed %d: high watermark %d", seed, p.High())
			}
			for offset := p.Start(); offset < p.High(); offset++ {
				if _, err := p.Read(nil, offset, 1000, true); err != nil && !errors.Is(err, ErrCorrupt) {
					t.Fatalf("seed %d: reading at %d: %v", seed, offset, err)
				}
			}
			mustAppend(t, p, batch("on", 1, 1))
		}
		s.stop()
	}
}

// The broker's own log of groups is read by Each: a commit behind a corrupt
// batch counts.
func TestEachGoesOnBehindACorruptBatch(t *testing.T) {
	fsys := newCrashFS(1)
	var reported atomic.Int32
	s := open(t, fsys, func(o *Options) { o.Events.Corrupt = func(string, int32, string, int64) { reported.Add(1) } })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	for i := range 5 {
		mustAppend(t, p, batch(strconv.Itoa(i), 1, 100))
	}
	log := fsys.now[p.dir+"/00000000000000000000.log"]
	log.data[len(log.data)/2] ^= 1
	var got []int64
	if err := p.Each(func(r *Record) { got = append(got, r.Offset) }); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[0 1 3 4]" || reported.Load() != 1 {
		t.Errorf("read %v, %d reported", got, reported.Load())
	}
}

// The CRC does not cover a batch's offset: one that is far too large must not
// look like the latest of its key.
func TestCompactionBelievesNoOffsetBeyondTheSegment(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1, ConfigCleanupPolicy, "compact", ConfigSegmentBytes, "16384").Partition(0)
	for i := range 40 {
		mustAppend(t, p, encodeBatch([]KeyValue{{Key: []byte("k"), Value: fmt.Appendf(nil, "%d %1000d", i, i)}}, 1))
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	log := fsys.now[p.dir+"/00000000000000000000.log"]
	log.data[offBaseOffset+3] ^= 1
	p.compact(p.topic.Config(), s.now())
	var got []int64
	if err := p.Each(func(r *Record) { got = append(got, r.Offset) }); err != nil {
		t.Fatal(err)
	}
	if len(got) == 0 || got[0] != 1 || got[len(got)-1] != 39 {
		t.Errorf("read %v", got)
	}
}
