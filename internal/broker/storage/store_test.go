package storage

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// opened is a store under test that runs until stop, or for good.
type opened struct {
	*Store
	t      testing.TB
	cancel func()
	done   chan error
}

const testDir = "data"

// open opens a store on the file system, with small files and long rounds
// unless the options say otherwise.
func open(t testing.TB, fsys FS, change ...func(*Options)) *opened {
	t.Helper()
	s, err := tryOpen(t, fsys, change...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func tryOpen(t testing.TB, fsys FS, change ...func(*Options)) (*opened, error) {
	o := Options{Dir: testDir, FS: fsys, JournalBytes: 64 << 10, JournalMaxBatch: 2000,
		Checkpoint: time.Hour, Retention: time.Hour, Reopen: time.Hour}
	for _, c := range change {
		c(&o)
	}
	s := &opened{Store: New(o), t: t, done: make(chan error, 1)}
	if err := s.Open(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.done <- s.Run(ctx) }()
	return s, nil
}

// stop closes the store in order.
func (s *opened) stop() {
	s.t.Helper()
	s.cancel()
	if err := <-s.done; err != nil {
		s.t.Fatalf("closing store: %v", err)
	}
}

// abandon ends the store's goroutines after the power failed.
func (s *opened) abandon() {
	s.cancel()
	<-s.done
}

func (s *opened) topic(name string, partitions int, config ...string) *Topic {
	s.t.Helper()
	set := map[string]string{}
	for i := 0; i < len(config); i += 2 {
		set[config[i]] = config[i+1]
	}
	t, err := s.Create(TopicSpec{Name: name, Partitions: partitions, Config: set})
	if err != nil {
		s.t.Fatalf("creating topic %s: %v", name, err)
	}
	return t
}

// topicOf returns partition 0 of the topic, which is made if it is not there.
func (s *opened) topicOf(name string) *Partition {
	if t := s.Topic(name); t != nil {
		return t.Partition(0)
	}
	return s.topic(name, 1).Partition(0)
}

// batch makes a batch of n records whose values begin with the name.
func batch(name string, n, size int) []byte {
	var kvs []KeyValue
	for i := range n {
		v := append([]byte(fmt.Sprintf("%s/%d ", name, i)), bytes.Repeat([]byte{'.'}, size)...)
		kvs = append(kvs, KeyValue{Key: []byte(name), Value: v})
	}
	return encodeBatch(kvs, time.Now().UnixMilli())
}

// from makes it a batch of an idempotent producer.
func from(b []byte, id int64, epoch int16, sequence int32) []byte {
	binary.BigEndian.PutUint64(b[offProducerID:], uint64(id))
	binary.BigEndian.PutUint16(b[offProducerEpoch:], uint16(epoch))
	binary.BigEndian.PutUint32(b[offBaseSequence:], uint32(sequence))
	return reseal(b)
}

func reseal(b []byte) []byte {
	binary.BigEndian.PutUint32(b[offCRC:], crc32.Checksum(b[offAttributes:], castagnoli))
	return b
}

func mustAppend(t testing.TB, p *Partition, b []byte) int64 {
	t.Helper()
	base, c, err := p.Append(b)
	if err == nil {
		err = waitFor(c)
	}
	if err != nil {
		t.Fatalf("appending: %v", err)
	}
	return base
}

func waitFor(c *Commit) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return c.Wait(ctx)
}

// await looks until what nobody tells of has come about.
func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(time.Millisecond):
		}
	}
}

// values reads all values of a partition up to their first space.
func values(t testing.TB, p *Partition) []string {
	t.Helper()
	var out []string
	for offset := p.Start(); offset < p.High(); {
		b, err := p.Read(nil, offset, 10_000, true)
		if err != nil {
			t.Fatalf("reading at %d of %d..%d: %v", offset, p.Start(), p.High(), err)
		}
		if len(b) == 0 {
			return out // compaction took the rest
		}
		for len(b) > 0 {
			h, ok := parseHeader(b)
			if !ok || !crcOK(b, &h) {
				t.Fatalf("bad batch after offset %d", offset)
			}
			if err := eachRecord(b, &h, func(r *Record) bool {
				name, _, _ := bytes.Cut(r.Value, []byte(" "))
				out = append(out, string(name))
				return true
			}); err != nil {
				t.Fatal(err)
			}
			offset, b = h.end(), b[h.size:]
		}
	}
	return out
}

func TestNextOffsetSurvivesAnEmptyPartitionAndARestart(t *testing.T) {
	fsys := newCrashFS(1)
	var ahead atomic.Int64
	later := func(o *Options) { o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) } }
	s := open(t, fsys, later)
	p := s.topic("t", 1, "retention.ms", "1000").Partition(0)
	mustAppend(t, p, batch("a", 10, 100))
	ahead.Store(int64(time.Hour))
	s.enforceRetention() // seals what is old
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	s.enforceRetention()
	if p.Start() != 10 || p.High() != 10 || p.Size() != 0 {
		t.Fatalf("after retention: %d..%d, %d bytes", p.Start(), p.High(), p.Size())
	}
	for _, how := range []string{"closed", "crashed", "its files lost"} {
		if how == "crashed" {
			fsys = fsys.crash()
			s.abandon()
		} else {
			s.stop()
		}
		for _, name := range names(fsys.now) {
			if how == "its files lost" && strings.HasPrefix(name, p.dir+"/") {
				delete(fsys.now, name)
			}
		}
		s = open(t, fsys)
		p = s.Topic("t").Partition(0)
		if p.Start() != 10 || p.High() != 10 {
			t.Fatalf("%s: %d..%d, want 10..10", how, p.Start(), p.High())
		}
	}
	if base := mustAppend(t, p, batch("b", 1, 1)); base != 10 {
		t.Fatalf("next offset is %d", base)
	}
	s.stop()
}

func TestRecoveryReadsOnlyBehindTheCheckpoint(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1, ConfigSegmentBytes, "65536").Partition(0)
	for range 200 {
		mustAppend(t, p, batch("old", 5, 2000))
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, p, batch("new", 5, 2000))
	size := p.Size()
	fsys = fsys.crash()
	s.abandon()
	s = open(t, fsys)
	defer s.stop()
	if p = s.Topic("t").Partition(0); p.High() != 201*5 {
		t.Fatalf("high watermark %d", p.High())
	}
	if fsys.reads > size/10 {
		t.Errorf("recovery read %d of %d bytes", fsys.reads, size)
	}
}

func TestTornEndIsCutBeforeAnythingIsAppended(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 1, 100))
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	fsys = fsys.crash()
	s.abandon()
	log := fsys.now[testDir+"/topics/t/0/00000000000000000000.log"]
	whole := len(log.data)
	log.data = append(log.data, batch("torn", 1, 100)[:90]...)
	s = open(t, fsys)
	if n := len(log.data); n != whole {
		t.Errorf("%d bytes behind the last whole batch are not cut", n-whole)
	}
	p = s.Topic("t").Partition(0)
	mustAppend(t, p, batch("b", 1, 100))
	fsys = fsys.crash()
	s.abandon()
	s = open(t, fsys)
	defer s.stop()
	if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[a/0 b/0]" {
		t.Fatalf("got %s", got)
	}
}

func TestTopicIsDurableWhenCreated(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		id := s.topic("t", 3).ID
		fsys = fsys.crash()
		s.abandon()
		s = open(t, fsys)
		if got := s.Topic("t"); got == nil || got.ID != id || len(got.Partitions()) != 3 {
			t.Fatalf("seed %d: topic after crash: %v", seed, got)
		}
		if err := s.Delete("t"); err != nil {
			t.Fatal(err)
		}
		fsys = fsys.crash()
		s.abandon()
		s = open(t, fsys)
		if s.Topic("t") != nil {
			t.Fatalf("seed %d: deleted topic is back", seed)
		}
		s.stop()
	}
}

func TestRetryAfterACrashIsNotAppendedTwice(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		p := s.topic("t", 1).Partition(0)
		for i := range int32(4) {
			mustAppend(t, p, from(batch(strconv.Itoa(int(i)), 2, 100+int(seed)*300), 7, 0, 2*i))
			if i == 1 {
				if err := s.checkpoint(); err != nil {
					t.Fatal(err)
				}
			}
		}
		fsys = fsys.crash()
		s.abandon()
		s = open(t, fsys)
		p = s.Topic("t").Partition(0)
		for i := range int32(4) {
			base := mustAppend(t, p, from(batch(strconv.Itoa(int(i)), 2, 100+int(seed)*300), 7, 0, 2*i))
			if base != int64(2*i) {
				t.Fatalf("seed %d: retry of batch %d got offset %d", seed, i, base)
			}
		}
		if p.High() != 8 {
			t.Fatalf("seed %d: high watermark %d", seed, p.High())
		}
		if _, _, err := p.Append(from(batch("gap", 1, 1), 7, 0, 9)); !errors.Is(err, ErrSequence) {
			t.Fatalf("a gap in the sequence: %v", err)
		}
		if _, _, err := p.Append(from(batch("old", 1, 1), 7, 0, 3)); !errors.Is(err, ErrDuplicateSequence) {
			t.Fatalf("a sequence that was: %v", err)
		}
		mustAppend(t, p, from(batch("new", 1, 1), 7, 1, 0))
		if _, _, err := p.Append(from(batch("fenced", 1, 1), 7, 0, 8)); !errors.Is(err, ErrFenced) {
			t.Fatalf("an old epoch: %v", err)
		}
		s.stop()
	}
}

func TestDeletedRecordsStayDeleted(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	for i := range 5 {
		mustAppend(t, p, batch(strconv.Itoa(i), 2, 10))
	}
	if low, err := p.DeleteBefore(5); err != nil || low != 5 {
		t.Fatalf("deleting: %d, %v", low, err)
	}
	fsys = fsys.crash()
	s.abandon()
	s = open(t, fsys)
	defer s.stop()
	p = s.Topic("t").Partition(0)
	if p.Start() != 5 || p.High() != 10 {
		t.Fatalf("%d..%d", p.Start(), p.High())
	}
	if _, err := p.Read(nil, 4, 1000, true); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("reading a deleted record: %v", err)
	}
	if _, err := p.DeleteBefore(11); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("deleting beyond the end: %v", err)
	}
}

func TestDeletionOfRecordsIsAnsweredWhenItIsDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		defer s.stop()
		p := s.topic("t", 1).Partition(0)
		s.begun(p)
		_, release := fsys.hangs("checkpoint.json")
		ended := make(chan error, 1)
		go func() {
			_, err := p.DeleteBefore(1)
			ended <- err
		}()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Errorf("it ended before, with %v", err)
			ended <- err
		default:
		}
		close(release)
		if err := mustEnd(t, "the deletion", ended); err != nil {
			t.Error(err)
		}
		mustAppend(t, p, batch("more", 1, 10))
		fsys.failing(failOn("sync", "checkpoint.json", syscall.EIO))
		if _, err := p.DeleteBefore(2); !errors.Is(err, syscall.EIO) {
			t.Errorf("the disk fails, and it ended with %v", err)
		}
		fsys.failing(nil)
	})
}

// A fetch reads several partitions into one buffer.
func TestReadKeepsWhatTheBufferHeld(t *testing.T) {
	s := open(t, newCrashFS(1))
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	for i := range 3 {
		mustAppend(t, p, batch(strconv.Itoa(i), 1, 4000))
	}
	for what, r := range map[string]struct {
		offset int64
		most   int
		one    bool
	}{
		"all":                         {0, 1 << 20, false},
		"some":                        {1, 5000, false},
		"one that is larger":          {1, 100, true},
		"none, since it is larger":    {1, 100, false},
		"none, at the end":            {3, 1 << 20, true},
		"none, since it is not there": {4, 1 << 20, true},
	} {
		alone, wantErr := p.Read(nil, r.offset, r.most, r.one)
		for _, spare := range []int{0, 10, 1 << 20} { // it must grow, or need not
			buf := append(make([]byte, 0, len("before")+spare), "before"...)
			got, err := p.Read(buf, r.offset, r.most, r.one)
			if !errors.Is(err, wantErr) {
				t.Errorf("%s, %d bytes to spare: %v, not %v", what, spare, err, wantErr)
			}
			if !bytes.Equal(got, append([]byte("before"), alone...)) {
				t.Errorf("%s, %d bytes to spare: %d bytes that begin with %q, not %d behind what was there", what, spare, len(got), got[:min(len(got), 6)], len(alone))
			}
		}
		if none := strings.HasPrefix(what, "none"); none != (len(alone) == 0) {
			t.Errorf("%s: %d bytes are read", what, len(alone))
		}
	}
}

func TestLargeBatchIsNotPassedOver(t *testing.T) {
	s := open(t, newCrashFS(1))
	defer s.stop()
	for _, policy := range []string{"delete", "compact"} {
		p := s.topic(policy, 1, ConfigSegmentBytes, "16384", ConfigCleanupPolicy, policy).Partition(0)
		mustAppend(t, p, batch("small", 1, 10))
		mustAppend(t, p, batch("large", 1, 15_900))
		mustAppend(t, p, batch("next", 1, 5_000)) // in the next segment
		if b, err := p.Read(nil, 1, 1000, false); err != nil || len(b) != 0 {
			t.Errorf("%s: %d bytes, %v", policy, len(b), err)
		}
		if b, err := p.Read(nil, 1, 1000, true); err != nil || len(b) < 15_900 {
			t.Errorf("%s: %d bytes, %v", policy, len(b), err)
		}
	}
}

// Retention removes files without waiting for readers.
func TestReadOfASegmentThatHasJustGoneIsOutOfRange(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 3, 10)) // its place is remembered
	if err := fsys.RemoveAll(p.dir + "/00000000000000000000.log"); err != nil {
		t.Fatal(err)
	}
	for _, offset := range []int64{0, 1} {
		if _, err := p.Read(nil, offset, 1000, true); !errors.Is(err, ErrOffsetOutOfRange) {
			t.Errorf("reading at %d: %v", offset, err)
		}
	}
}

// Versions before made a partition's folder with its first record.
func TestFolderOfAPartitionIsMadeWhenItIsMissing(t *testing.T) {
	for seed := range uint64(10) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		p := s.topic("t", 2).Partition(1)
		if err := errors.Join(fsys.RemoveAll(p.dir), fsys.SyncDir(p.topic.dir())); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, p, batch("a", 1, 5000))
		mustAppend(t, p, batch("b", 1, 10))
		fsys = fsys.crash()
		s.abandon()
		s = open(t, fsys)
		if got := fmt.Sprint(values(t, s.Topic("t").Partition(1))); got != "[a/0 b/0]" {
			t.Fatalf("seed %d: got %s", seed, got)
		}
		s.stop()
	}
}
