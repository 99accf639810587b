package storage

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// readable reads at every offset by itself, and returns those at which a read
// says that the disk is corrupt; another batch is an error, but behind a gap.
func readable(t *testing.T, p *Partition) (corrupt []int64) {
	t.Helper()
	for o := p.Start(); o < p.High(); o++ {
		p.cursors.clear()
		b, err := p.Read(nil, o, 100, true)
		h, _ := parseHeader(b)
		switch {
		case errors.Is(err, ErrCorrupt):
			corrupt = append(corrupt, o)
		case err != nil || len(b) > 0 && (h.base > o && !p.topic.hasGaps() || h.end() <= o):
			t.Fatalf("reading at %d gave %d bytes from offset %d, %v", o, len(b), h.base, err)
		}
	}
	return corrupt
}

// readOn reads from the start, and returns the offset it cannot get past.
func readOn(t *testing.T, p *Partition) (offset int64) {
	t.Helper()
	for offset = p.Start(); offset < p.High(); {
		b, err := p.Read(nil, offset, 3000, true)
		h, _ := parseHeader(b)
		if errors.Is(err, ErrCorrupt) {
			break
		}
		if err != nil || h.base != offset {
			t.Fatalf("reading at %d gave %d bytes from offset %d, %v", offset, len(b), h.base, err)
		}
		for ; len(b) > 0; b = b[h.size:] {
			h, _ = parseHeader(b)
			offset = h.end()
		}
	}
	return offset
}

func verified(t *testing.T, fsys FS) []Problem {
	t.Helper()
	r, err := verify(t.Context(), fsys, testDir)
	if err != nil {
		t.Fatal(err)
	}
	return r.Problems
}

// A disk check may shorten a file: what is gone is told, not skipped, and what
// is appended from then on can be read.
func TestSegmentThatLostItsEndIsToldAndWrittenOnBehind(t *testing.T) {
	const n = 10
	for _, size := range []int{100, 5000} {
		for how, left := range map[string]int{"at a batch": n / 2 * 4, "in a batch": n/2*4 + 1, "empty": 0} {
			t.Run(fmt.Sprint(how, size), func(t *testing.T) {
				fsys := newCrashFS(1)
				s := open(t, fsys)
				p := s.topic("t", 1).Partition(0)
				for i := range n {
					mustAppend(t, p, batch(strconv.Itoa(i), 1, size))
				}
				name, whole := p.active.path+logSuffix, int(p.active.size.Load())
				s.stop()
				f := fsys.now[name]
				f.data = f.data[:whole/n*left/4]
				var want []int64
				for o := int64(left / 4); o < n; o++ {
					want = append(want, o)
				}
				for range 2 {
					s = open(t, fsys)
					p = s.Topic("t").Partition(0)
					mustAppend(t, p, batch("on", 1, size))
					if at := readOn(t, p); at != want[0] {
						t.Fatalf("reading on ends at %d, %v are gone", at, want)
					}
					if got := readable(t, p); !slices.Equal(got, want) {
						t.Fatalf("%v cannot be read, %v are gone", got, want)
					}
					s.stop()
				}
				v := verified(t, fsys)
				if len(v) == 0 || !strings.Contains(v[0].What, "offset") {
					t.Errorf("verify says %v", v)
				}
				if _, err := repair(t.Context(), fsys, testDir); err != nil {
					t.Fatal(err)
				}
				if v := verified(t, fsys); len(v) > 0 {
					t.Errorf("after a repair verify says %v", v)
				}
				s = open(t, fsys)
				defer s.stop()
				if got := readable(t, s.Topic("t").Partition(0)); len(got) > 0 {
					t.Fatalf("%v cannot be read after a repair", got)
				}
			})
		}
	}
}

// Few bytes may hold many records: of those an index entry takes 32 bits.
func TestSegmentHoldsNoMoreOffsetsThanItsIndex(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	for range 6 {
		b := append(newBatch(header{base: p.next, lastDelta: math.MaxInt32 - 1, producerID: -1}), make([]byte, 5000)...)
		sealBatch(b)
		h, _ := parseHeader(b)
		p.mu.Lock()
		err := p.write(b, &h, p.topic.Config(), time.Now())
		p.mu.Unlock()
		if err != nil {
			t.Fatalf("writing from offset %d: %v", h.base, err)
		}
	}
}

// The CRC does not cover the offset, and there is no index to tell.
func TestIndexIsMadeAgainOverAFlippedOffset(t *testing.T) {
	for _, policy := range []string{"delete", "compact"} {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigSegmentBytes, "32768", ConfigCleanupPolicy, policy).Partition(0)
		for i := range 30 {
			mustAppend(t, p, batch(strconv.Itoa(i), 1, 2000))
		}
		path := (*p.segments.Load())[0].path
		s.stop()
		log := fsys.now[path+logSuffix].data
		h, _ := parseHeader(log)
		log[3*h.size+1] ^= 1
		delete(fsys.now, path+indexSuffix)
		s, err := tryOpen(t, fsys)
		if err != nil {
			t.Fatalf("%s: %v", policy, err)
		}
		p = s.Topic("t").Partition(0)
		if end := (*p.segments.Load())[0].end.Load(); end != (*p.segments.Load())[1].base {
			t.Errorf("%s: the segment ends with offset %d", policy, end)
		}
		if got := readable(t, p); !slices.Equal(got, []int64{3}) {
			t.Errorf("%s: %v cannot be read", policy, got)
		}
		s.stop()
	}
}

// What compaction took stays taken when the policy is another.
func TestTopicThatWasCompactedIsReadUnderAnotherPolicy(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1, ConfigSegmentBytes, "16384", ConfigCleanupPolicy, "compact").Partition(0)
	for i := range 60 {
		mustAppend(t, p, batch(strconv.Itoa(i%3), 1, 2000))
	}
	s.rounds()
	want := fmt.Sprint(values(t, p))
	err := s.SetConfig("t", false, func(set map[string]string) error { set[ConfigCleanupPolicy] = "delete"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		p = s.Topic("t").Partition(0)
		if got := readable(t, p); len(got) > 0 {
			t.Fatalf("%v cannot be read", got)
		}
		if got := fmt.Sprint(values(t, p)); got != want {
			t.Fatalf("%s, not %s", got, want)
		}
		s.stop()
		if v := verified(t, fsys); len(v) > 0 {
			t.Errorf("verify says %v", v)
		}
		s = open(t, fsys)
	}
	s.stop()
}

// An index entry that names a lower offset than lies there must not have a
// reader pass over what compaction kept before that place.
func TestLowIndexEntryOfACompactedTopicHidesNothing(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1, ConfigSegmentBytes, "131072", ConfigCleanupPolicy, "compact").Partition(0)
	for i := range 200 {
		key := fmt.Sprint("often", i%2)
		if i%4 == 0 {
			key = fmt.Sprint("once", i)
		}
		mustAppend(t, p, encodeBatch([]KeyValue{{Key: []byte(key), Value: make([]byte, 2000)}}, 1))
	}
	s.rounds()
	want := fmt.Sprint(values(t, p))
	sg := (*p.segments.Load())[0]
	index := fsys.now[sg.path+indexSuffix].data
	low := parseEntry(index[indexHeader:]).rel + 1
	for at := indexHeader + indexEntrySize; at < len(index)/2; at += indexEntrySize {
		e := parseEntry(index[at:])
		e.rel = low
		e.put(index[at:])
	}
	seen := map[int64]bool{}
	for o := p.Start(); o < p.High(); o++ {
		p.cursors.clear()
		b, err := p.Read(nil, o, 100, true)
		if err != nil {
			t.Fatalf("reading at %d: %v", o, err)
		}
		if h, ok := parseHeader(b); ok {
			seen[h.base] = true
		}
	}
	if got := fmt.Sprint(values(t, p)); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	err := p.Each(func(r *Record) {
		if !seen[r.Offset] {
			t.Errorf("offset %d was passed over", r.Offset)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// After a failed sync pages may be gone that were called clean, in the first
// run of a store, too, when there was no checkpoint at its start.
func TestJournalGivesBackWhatTheKernelDropped(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1, ConfigSegmentBytes, "16384").Partition(0)
	p.syncMu.Lock() // no checkpoint comes between
	for i := range 20 {
		mustAppend(t, p, batch(strconv.Itoa(i), 1, 1500))
	}
	p.failed()
	fsys.mu.Lock()
	for name, i := range fsys.now {
		if strings.HasPrefix(name, p.dir+"/") {
			i.data, i.pending = nil, nil
		}
	}
	fsys.mu.Unlock()
	p.syncMu.Unlock()
	s.reopenOffline()
	if err := p.Offline(); err != nil {
		t.Fatal(err)
	}
	if got := readable(t, p); len(got) > 0 || p.High() != 20 {
		t.Fatalf("%v of %d cannot be read", got, p.High())
	}
}

// A kill may come before the folder of the very first segment is synced.
func TestFolderOfTheFirstSegmentIsSyncedAfterAKill(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	p.syncMu.Lock() // no checkpoint comes before the kill
	mustAppend(t, p, batch("a", 1, 100))
	var synced atomic.Bool
	fsys.failing(func(op, name string) error {
		if op == "syncdir" && name == p.dir {
			synced.Store(true)
		}
		return nil
	})
	again := open(t, fsys)
	if !synced.Load() {
		t.Error("the folder is not synced")
	}
	again.stop()
	fsys.crash()
	p.syncMu.Unlock()
	s.abandon()
}

// countedFS knows how many files are open, and how often one was opened.
type countedFS struct {
	*crashFS
	open, opened atomic.Int64
}

type countedFile struct {
	File
	open *atomic.Int64
}

func (c *countedFS) OpenFile(name string, flag int, perm os.FileMode) (File, error) {
	f, err := c.crashFS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.open.Add(1)
	c.opened.Add(1)
	return countedFile{f, &c.open}, nil
}

func (f countedFile) Close() error {
	f.open.Add(-1)
	return f.File.Close()
}

// It is tried every second for as long as the disk fails.
func TestReopeningInVainLeavesNoFilesOpen(t *testing.T) {
	fsys := &countedFS{crashFS: newCrashFS(1)}
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 1, 5000))
	p.failed()
	fsys.failing(failOn("truncate", indexSuffix, errors.New("read-only")))
	s.reopenOffline()
	before := fsys.open.Load()
	for range 5 {
		s.reopenOffline()
	}
	if p.Offline() == nil {
		t.Fatal("it is back")
	}
	if n := fsys.open.Load(); n != before {
		t.Errorf("%d files are open, %d were", n, before)
	}
	fsys.failing(nil)
	s.stop()
}

// largestRead knows the most bytes that were asked for at once.
type largestRead struct {
	*crashFS
	most atomic.Int64
}

type measuredFile struct {
	File
	most *atomic.Int64
}

func (l *largestRead) OpenFile(name string, flag int, perm os.FileMode) (File, error) {
	f, err := l.crashFS.OpenFile(name, flag, perm)
	return measuredFile{f, &l.most}, err
}

func (m measuredFile) ReadAt(b []byte, at int64) (int, error) {
	m.most.Store(max(m.most.Load(), int64(len(b))))
	return m.File.ReadAt(b, at)
}

func TestPartitionComesBackWithoutItsSegmentsInMemory(t *testing.T) {
	fsys := &largestRead{crashFS: newCrashFS(1)}
	s := open(t, fsys, func(o *Options) { o.JournalBytes, o.JournalMaxBatch = 32<<20, 100_000 })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	p.syncMu.Lock() // no checkpoint comes between
	for i := range 100 {
		mustAppend(t, p, batch(strconv.Itoa(i), 1, 50_000))
	}
	p.failed()
	p.syncMu.Unlock()
	s.reopenOffline()
	if err := p.Offline(); err != nil || p.High() != 100 {
		t.Fatalf("%d of 100, %v", p.High(), err)
	}
	if most := fsys.most.Load(); most > p.Size()/10 {
		t.Errorf("%d bytes of %d were read at once", most, p.Size())
	}
	for o := range int64(100) {
		if b, err := p.Read(nil, o, 100, true); err != nil || len(b) == 0 {
			t.Fatalf("reading at %d: %d bytes, %v", o, len(b), err)
		}
	}
}

// Where a batch is damaged the next is looked for in what lies there, and that
// is whatever a producer has sent.
func TestLookingForABatchReadsNoMoreForBytesThatLookLikeHeaders(t *testing.T) {
	for _, c := range []byte{0, 2} {
		b := append(bytes.Repeat([]byte{c}, 300_000), batch("a", 1, 100)...)
		place(b[300_000:], &header{}, 7)
		r := &countingReader{b: b}
		at, err := findBatch(r, 0, int64(len(b)))
		if err != nil || at != 300_000 {
			t.Errorf("found at %d, %v", at, err)
		}
		if r.n > 2*len(b) {
			t.Errorf("%d bytes were read to find it in %d", r.n, len(b))
		}
	}
}

type countingReader struct {
	b []byte
	n int
}

func (c *countingReader) ReadAt(b []byte, at int64) (int, error) {
	n, err := bytes.NewReader(c.b).ReadAt(b, at)
	c.n += n
	return n, err
}
