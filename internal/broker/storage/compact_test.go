package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"testing"
	"time"
)

// packed compresses a batch's records.
func packed(t testing.TB, b []byte, codec int) []byte {
	t.Helper()
	records, err := compress(codec, b[headerSize:])
	if err != nil {
		t.Fatal(err)
	}
	b = append(b[:headerSize:headerSize], records...)
	b[offAttributes+1] |= byte(codec)
	sealBatch(b)
	return b
}

// clock is a store's clock that a test moves.
type clock struct{ ahead atomic.Int64 }

func (c *clock) option(o *Options) {
	o.Now = func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
}

func (c *clock) add(d time.Duration) { c.ahead.Add(int64(d)) }

// everything is what a reader gets that reads on from the start; it must get to
// the end.
func everything(t testing.TB, p *Partition) (out []kept) {
	t.Helper()
	for offset := p.Start(); offset < p.High(); {
		b, err := p.Read(nil, offset, 10_000, true)
		if err != nil || len(b) == 0 {
			t.Fatalf("reading at %d of %d..%d gave %d bytes, %v", offset, p.Start(), p.High(), len(b), err)
		}
		if _, _, err := eachBatchIn(b, 0, func(_ int64, b []byte, h *header) error {
			offset = h.end()
			return eachRecord(b, h, func(r *Record) bool {
				out = append(out, kept{r.Offset, r.Time, string(r.Key), r.Key == nil, string(r.Value), r.Value == nil})
				return true
			})
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

type kept struct {
	offset, time int64
	key          string
	nullKey      bool
	value        string
	tombstone    bool
}

// Keys, null keys, empty keys, tombstones, times, codecs, segments, restarts and
// the hours that pass are random. What compaction leaves is what a map has, and
// a reader gets to the end of it.
func TestCompactionKeepsWhatAMapHas(t *testing.T) {
	for seed := range long(40) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 7))
		fsys := newCrashFS(uint64(seed))
		now := &clock{}
		now.add(1000 * time.Hour)
		s := open(t, fsys, now.option)
		p := s.topic("t", 1, ConfigSegmentBytes, "16384", "message.timestamp.type", []string{"CreateTime", "LogAppendTime"}[seed%2]).Partition(0)
		written := map[int64]kept{}
		come := map[int64]int64{} // when a tombstone was surely not compacted yet
		setPolicy := func(policy string) {
			if err := s.SetConfig("t", false, func(set map[string]string) error { set[ConfigCleanupPolicy] = policy; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for round := range 12 {
			for range 25 {
				var kvs []KeyValue
				for range 1 + rnd.IntN(4) {
					kv := KeyValue{Key: []byte(strconv.Itoa(rnd.IntN(30))), Value: make([]byte, rnd.IntN(400))}
					for i := range kv.Value {
						kv.Value[i] = 'a' + byte(rnd.IntN(26))
					}
					switch rnd.IntN(8) {
					case 0:
						kv.Value = nil
					case 1:
						kv.Key = []byte{}
					case 2:
						if round < 2 { // before it is compacted
							kv.Key = nil
						}
					}
					kvs = append(kvs, kv)
				}
				ms := s.now().UnixMilli() - rnd.Int64N(1e9)
				b := packed(t, encodeBatch(kvs, ms), rnd.IntN(codecZstd+1))
				base := mustAppend(t, p, b)
				if p.topic.Config().AppendTime {
					ms = int64(binary.BigEndian.Uint64(b[offMaxTime:]))
				}
				for i, kv := range kvs {
					o := base + int64(i)
					written[o] = kept{o, ms, string(kv.Key), kv.Key == nil, string(kv.Value), kv.Value == nil}
					come[o] = s.now().UnixMilli()
				}
			}
			if round == 1 {
				setPolicy("compact")
			}
			if rnd.IntN(3) == 0 {
				s.stop()
				s = open(t, fsys, now.option)
				p = s.Topic("t").Partition(0)
			}
			if err := s.checkpoint(); err != nil {
				t.Fatal(err)
			}
			if round == 0 {
				continue
			}
			p.compact(p.topic.Config(), s.now())
			latest := map[string]int64{}
			for o := range p.cleaned {
				if r := written[o]; !r.nullKey {
					latest[r.key] = o
				}
			}
			left := map[int64]bool{}
			newest := kept{offset: -1, time: -1}
			for _, r := range everything(t, p) {
				if r != written[r.offset] {
					t.Fatalf("seed %d: read %+v, written was %+v", seed, r, written[r.offset])
				}
				if r.offset < p.cleaned && (r.nullKey || latest[r.key] != r.offset) {
					t.Fatalf("seed %d: %+v is kept, up to %d key %q is latest at %d", seed, r, p.cleaned, r.key, latest[r.key])
				}
				left[r.offset] = true
				if r.time > newest.time {
					newest = r
				}
			}
			for o := range p.High() {
				r := written[o]
				isLatest := o >= p.cleaned || !r.nullKey && latest[r.key] == o
				// Nobody has compacted a tombstone before it came.
				young := !r.tombstone || s.now().UnixMilli() < come[o]+24*time.Hour.Milliseconds()
				if isLatest && young && !left[o] {
					t.Fatalf("seed %d, round %d: %+v was the latest of its key and is gone", seed, round, r)
				}
			}
			if offset, ms, err := p.MaxTimestamp(); offset != newest.offset || ms != newest.time || err != nil {
				t.Fatalf("seed %d: the largest time is %d at %d, %v; it is %d at %d", seed, ms, offset, err, newest.time, newest.offset)
			}
			if v := verified(t, fsys); len(v) > 0 {
				t.Fatalf("seed %d: verify says %v", seed, v)
			}
			now.add(time.Duration(rnd.IntN(20)) * time.Hour)
		}
		s.stop()
	}
}

// A tombstone stays for delete.retention.ms from the first compaction on,
// however old its timestamp is, and then goes.
func TestTombstoneStaysAsLongAsReadersMayTake(t *testing.T) {
	fsys := newCrashFS(1)
	now := &clock{}
	s := open(t, fsys, now.option)
	p := s.topic("t", 1, ConfigCleanupPolicy, "compact", ConfigSegmentBytes, "16384", "delete.retention.ms", "3600000").Partition(0)
	tombstones := func() (n int) {
		for range 3 {
			fillTopic(t, p, 6)
			if err := s.checkpoint(); err != nil {
				t.Fatal(err)
			}
			p.compact(p.topic.Config(), s.now())
		}
		for _, r := range everything(t, p) {
			if r.tombstone {
				n++
				if r.time != -1 && r.time != 77 {
					t.Errorf("its time is %d now", r.time)
				}
			}
		}
		return n
	}
	mustAppend(t, p, encodeBatch([]KeyValue{{Key: []byte("gone")}}, -1))
	mustAppend(t, p, encodeBatch([]KeyValue{{Key: []byte("too")}, {Key: []byte("0"), Value: []byte("old")}}, 77))
	if n := tombstones(); n != 2 {
		t.Fatalf("%d of 2 are kept at first", n)
	}
	now.add(50 * time.Minute)
	s.stop()
	s = open(t, fsys, now.option)
	defer s.stop()
	p = s.Topic("t").Partition(0)
	if n := tombstones(); n != 2 {
		t.Fatalf("%d of 2 are kept within the hour", n)
	}
	now.add(11 * time.Minute)
	if n := tombstones(); n != 0 {
		t.Fatalf("%d of 2 are kept behind it", n)
	}
}

// Readers get to the end, and the next offset is where it was, if nothing is
// left there.
func TestCompactionOfTheLastRecordsLetsReadersGetToTheEnd(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, timed(7, 5)) // one key
	mustAppend(t, p, encodeBatch([]KeyValue{{Value: []byte("without a key")}}, 9))
	if err := s.SetConfig("t", false, func(set map[string]string) error { set[ConfigCleanupPolicy] = "compact"; return nil }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p.mu.Lock()
		p.rollOrFail()
		p.mu.Unlock()
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		p.compact(p.topic.Config(), s.now())
		if got := everything(t, p); len(got) != 1 || got[0].time != 5 || p.High() != 3 {
			t.Fatalf("%+v of %d is left", got, p.High())
		}
		if offset, ms, err := p.MaxTimestamp(); offset != 1 || ms != 5 || err != nil {
			t.Errorf("the largest time is %d at %d, %v", ms, offset, err)
		}
		s.stop()
		s = open(t, fsys)
		p = s.Topic("t").Partition(0)
	}
	s.stop()
}

// More keys than a round remembers, in one segment of one batch and more.
func TestCompactionRemembersNoMoreThanItsBound(t *testing.T) {
	s := open(t, OS{}, func(o *Options) { o.Dir = t.TempDir() })
	defer s.stop()
	p := s.topic("t", 1, ConfigCleanupPolicy, "compact", ConfigSegmentBytes, "1073741824", ConfigMaxMessageBytes, "100000000").Partition(0)
	const batches, each = 3, 150_000
	for range 2 {
		for i := range batches {
			kvs := make([]KeyValue, each)
			for j := range kvs {
				kvs[j] = KeyValue{Key: fmt.Appendf(nil, "%d", i*each+j), Value: []byte{}}
			}
			mustAppend(t, p, encodeBatch(kvs, 1))
		}
	}
	p.mu.Lock()
	p.rollOrFail()
	p.mu.Unlock()
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	var k keeper
	if err := p.findLatest(*p.segments.Load(), &k); err != nil || len(k.latest) == 0 || len(k.latest) > compactKeys/64 {
		t.Fatalf("%d keys are remembered, %v", len(k.latest), err)
	}
	if !k.keeps(&Record{Offset: k.known}, &header{attributes: attrDeleteHorizon}) {
		t.Error("a tombstone is not kept that is behind what is known")
	}
	rounds := 0
	for ; p.cleaned < p.High(); rounds++ {
		before := p.cleaned
		p.compact(p.topic.Config(), s.now())
		if p.cleaned == before {
			t.Fatalf("it stands still at %d of %d", before, p.High())
		}
	}
	if n := len(everything(t, p)); n != batches*each || rounds < 2 {
		t.Errorf("%d records are left after %d rounds", n, rounds)
	}
}

// What compaction leaves of compressed batches is compressed.
func TestCompactionDoesNotUnpack(t *testing.T) {
	for codec := codecGzip; codec <= codecZstd; codec++ {
		s := open(t, newCrashFS(1))
		p := s.topic("t", 1, ConfigCleanupPolicy, "compact", ConfigSegmentBytes, "16384").Partition(0)
		for i := range 20 {
			kvs := []KeyValue{{Key: []byte("all"), Value: nil}}
			for j := range 10 {
				kvs = append(kvs, KeyValue{Key: fmt.Append(nil, i, j), Value: make([]byte, 5000)})
			}
			mustAppend(t, p, packed(t, encodeBatch(kvs, 1), codec))
			if i%5 == 4 {
				p.mu.Lock()
				p.rollOrFail()
				p.mu.Unlock()
			}
		}
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		before := p.Size()
		p.compact(p.topic.Config(), s.now())
		if n := len(everything(t, p)); n != 201 || p.Size() > before {
			t.Errorf("codec %d: %d records in %d bytes, of %d", codec, n, p.Size(), before)
		}
		s.stop()
	}
}

// A segment that compaction has emptied keeps neither age, nor size, nor the
// budget from those behind it.
func TestEmptiedSegmentHoldsNothingUp(t *testing.T) {
	for _, limit := range []string{"retention.ms", "retention.bytes", "budget"} {
		now := &clock{}
		s := open(t, newCrashFS(1), now.option)
		p := s.topic("t", 1, ConfigCleanupPolicy, "compact,delete", ConfigSegmentBytes, "16384").Partition(0)
		value := make([]byte, 5000)
		for _, key := range []string{"a", "a", "a", "b", "a", "c", "d", "e", "f", "g"} {
			mustAppend(t, p, encodeBatch([]KeyValue{{Key: []byte(key), Value: value}}, s.now().UnixMilli()))
		}
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		p.compact(p.topic.Config(), s.now())
		if first := (*p.segments.Load())[0]; first.size.Load() > 0 {
			t.Fatal("the first segment is not empty: the test is wrong")
		}
		switch limit {
		case "budget":
			s.SetBudget(1)
		case "retention.ms":
			now.add(8 * 24 * time.Hour)
		default:
			if err := s.SetConfig("t", false, func(set map[string]string) error { set[limit] = "0"; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		s.rounds()
		if (limit == "retention.bytes") != (p.Size() > 0) || p.Size() > 16384 {
			t.Errorf("%s: %d bytes are kept from %d on", limit, p.Size(), p.Start())
		}
		s.stop()
	}
}

// What is corrupt keeps its partition from being compacted until it is repaired,
// and the files from being read in every round.
func TestCorruptBatchIsNotReadInEveryRound(t *testing.T) {
	fsys := &countedFS{crashFS: newCrashFS(1)}
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1, ConfigCleanupPolicy, "compact", ConfigSegmentBytes, "16384").Partition(0)
	fillTopic(t, p, 20)
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	fsys.now[p.dir+"/00000000000000000000.log"].data[200] ^= 1
	p.compact(p.topic.Config(), s.now())
	before := fsys.opened.Load()
	p.compact(p.topic.Config(), s.now())
	if n := fsys.opened.Load() - before; n > 0 {
		t.Errorf("%d files were opened again", n)
	}
}
