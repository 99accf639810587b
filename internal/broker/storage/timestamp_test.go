package storage

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// timed makes a batch of records with these timestamps.
func timed(times ...int64) []byte {
	b := newBatch(header{baseTime: times[0], producerID: -1, epoch: -1, sequence: -1, count: int32(len(times)), lastDelta: int32(len(times)) - 1})
	for i, ms := range times {
		body := append(binary.AppendVarint([]byte{0}, ms-times[0]), byte(2*i)) // attributes, two deltas
		body = append(appendBytes(appendBytes(body, []byte("k")), make([]byte, 300)), 0)
		b = append(binary.AppendVarint(b, int64(len(body))), body...)
	}
	sealBatch(b)
	return b
}

// Times in any order, some batches compressed, the log's start in the middle of
// a batch, one byte of one index changed: what is found is what reading all
// finds.
func TestTimesAreFoundAsByReadingAll(t *testing.T) {
	for seed := range long(40) {
		rnd := rand.New(rand.NewPCG(uint64(seed), 6))
		fsys := newCrashFS(uint64(seed))
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigSegmentBytes, "32768", "message.timestamp.after.max.ms", "9223372036854775807").Partition(0)
		for at := int64(1000); p.High() < 400; at += rnd.Int64N(20) {
			times := make([]int64, 1+rnd.IntN(5))
			for i := range times {
				times[i] = max(-1, at+rnd.Int64N(200)-100)
				if rnd.IntN(100) == 0 {
					times[i] = rnd.Int64N(10_000)
				}
			}
			mustAppend(t, p, timed(times...))
		}
		if _, err := p.DeleteBefore(rnd.Int64N(200)); err != nil {
			t.Fatal(err)
		}
		s.stop()
		what := fmt.Sprintf("seed %d", seed)
		if seed > 0 {
			var indexes []string
			for _, name := range names(fsys.now) {
				if strings.HasSuffix(name, indexSuffix) && len(fsys.now[name].data) > indexHeader+indexEntrySize {
					indexes = append(indexes, name)
				}
			}
			name := indexes[rnd.IntN(len(indexes))]
			data := fsys.now[name].data
			at := rnd.IntN(len(data) - indexEntrySize) // the closing entry is all that knows the segment's own largest
			data[at] ^= byte(1 + rnd.IntN(255))
			what += fmt.Sprintf(", %s byte %d", name, at)
		}
		s = open(t, fsys)
		p = s.Topic("t").Partition(0)
		var all []Record
		if err := p.Each(func(r *Record) {
			if r.Offset >= p.Start() {
				all = append(all, *r)
			}
		}); err != nil {
			t.Fatal(err)
		}
		first := func(ms int64) (int64, int64) {
			for _, r := range all {
				if r.Time >= ms {
					return r.Offset, r.Time
				}
			}
			return -1, -1
		}
		newest := int64(-1)
		for _, r := range all {
			newest = max(newest, r.Time)
			wantOffset, wantTime := first(r.Time)
			if offset, ms, err := p.OffsetForTime(r.Time); offset != wantOffset || ms != wantTime || err != nil {
				t.Fatalf("%s: offset %d of %d, %v for time %d; it is %d of %d", what, offset, ms, err, r.Time, wantOffset, wantTime)
			}
		}
		wantOffset, _ := first(newest)
		if offset, ms, err := p.MaxTimestamp(); offset != wantOffset || ms != newest || err != nil {
			t.Fatalf("%s: the largest is %d at %d, %v; it is %d at %d", what, ms, offset, err, newest, wantOffset)
		}
		s.stop()
	}
}

// What is not durable yet, or deleted, cannot be seen, nor does it hide the largest that can.
func TestLargestTimestampIsOneThatCanBeSeen(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, timed(8000, 5000, 7000))
	if _, err := p.DeleteBefore(1); err != nil {
		t.Fatal(err)
	}
	_, release := fsys.hangs("journal")
	defer close(release)
	if _, _, err := p.Append(timed(9000)); err != nil {
		t.Fatal(err)
	}
	if offset, ms, err := p.MaxTimestamp(); offset != 2 || ms != 7000 || err != nil {
		t.Errorf("the largest is %d at %d, %v", ms, offset, err)
	}
}

// The CRC does not cover a batch's offset: a wrong one is nobody's answer.
func TestTimeIsNotFoundAtAFlippedOffset(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	for i := range 5 {
		mustAppend(t, p, timed(int64(i)))
	}
	log := fsys.now[p.active.path+logSuffix].data
	h, _ := parseHeader(log)
	log[2*h.size+4] ^= 1
	if offset, ms, err := p.OffsetForTime(2); offset != 3 || ms != 3 || err != nil {
		t.Errorf("found offset %d of %d, %v", offset, ms, err)
	}
}

func TestLargestTimestampIsFoundByTheIndex(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1, ConfigSegmentBytes, "4194304").Partition(0)
	for at := range int64(3000) {
		mustAppend(t, p, timed(1000+at))
	}
	read := fsys.reads
	if o, ms, err := p.MaxTimestamp(); o != 2999 || ms != 3999 || err != nil {
		t.Fatalf("offset %d, time %d, %v", o, ms, err)
	}
	if read = fsys.reads - read; read > p.Size()/10 {
		t.Errorf("%d of %d bytes were read", read, p.Size())
	}
}
