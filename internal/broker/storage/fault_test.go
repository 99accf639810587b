package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// failing makes operations fail for which the function says so.
func (c *crashFS) failing(hook func(op, name string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

func failOn(op, part string, err error) func(string, string) error {
	return func(o, name string) error {
		if o == op && strings.Contains(name, part) {
			return err
		}
		return nil
	}
}

func TestFailedSyncIsNotAcknowledgedAndTheRetryIsAppendedOnce(t *testing.T) {
	for _, size := range []int{100, 5000} { // by the journal, by the segment
		t.Run(strconv.Itoa(size), func(t *testing.T) {
			fsys := newCrashFS(1)
			s := open(t, fsys)
			p := s.topic("t", 2).Partition(0)
			other := s.Topic("t").Partition(1)
			mustAppend(t, p, from(batch("a", 1, size), 7, 0, 0))
			if err := s.checkpoint(); err != nil { // the one a new journal file asks for finds nothing to sync
				t.Fatal(err)
			}
			fsys.failing(failOn("sync", "", syscall.EIO))
			b := from(batch("b", 1, size), 7, 0, 1)
			_, c, err := p.Append(b)
			if err != nil {
				t.Fatalf("appending: %v", err)
			}
			if err := waitFor(c); !errors.Is(err, ErrOffline) {
				t.Fatalf("commit ended with %v", err)
			}
			if _, _, err := p.Append(b); !errors.Is(err, ErrOffline) {
				t.Fatalf("an offline partition took a batch: %v", err)
			}
			if p.High() != 1 || fmt.Sprint(values(t, p)) != "[a/0]" {
				t.Fatalf("readers see %v to %d", values(t, p), p.High())
			}
			s.reopenOffline()
			if p.Offline() == nil {
				t.Fatal("the partition is back while its disk still fails")
			}
			fsys.failing(nil)
			s.reopenOffline()
			if err := p.Offline(); err != nil {
				t.Fatalf("the partition stays offline: %v", err)
			}
			if base := mustAppend(t, p, b); base != 1 {
				t.Fatalf("the retry got offset %d", base)
			}
			mustAppend(t, other, batch("c", 1, size))
			fsys = fsys.crash()
			s.abandon()
			s = open(t, fsys)
			defer s.stop()
			if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[a/0 b/0]" {
				t.Fatalf("after a crash: %s", got)
			}
		})
	}
}

// The first batch of a new segment is as durable as the segment's name.
func TestFailedSyncOfAFolderIsNotAcknowledged(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	fsys.failing(failOn("syncdir", p.dir, syscall.EIO))
	_, c, err := p.Append(batch("a", 1, 5000))
	if err != nil {
		t.Fatal(err)
	}
	if err := waitFor(c); !errors.Is(err, ErrOffline) {
		t.Fatalf("commit ended with %v", err)
	}
	fsys.failing(nil)
	s.reopenOffline()
	mustAppend(t, p, batch("b", 1, 5000))
	fsys = fsys.crash()
	s.abandon()
	s = open(t, fsys)
	defer s.stop()
	if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[b/0]" {
		t.Fatalf("after a crash: %s", got)
	}
}

// A producer that has not heard of its batch sends it again.
func TestRetryOfABatchThatWaitsIsNotAcknowledgedBefore(t *testing.T) {
	for suffix, size := range map[string]int{journalSuffix: 100, logSuffix: 5000} {
		t.Run(suffix, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { retryWhileItWaits(t, suffix, size) }) })
	}
}

func retryWhileItWaits(t *testing.T, suffix string, size int) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	s.begun(p)
	blocked, release := fsys.hangs(suffix)
	b := from(batch("b", 1, size), 7, 0, 1)
	var commits []*Commit
	for range 2 {
		base, c, err := p.Append(b)
		if err != nil || base != 1 {
			t.Fatalf("appended at %d, %v", base, err)
		}
		commits = append(commits, c)
	}
	mustEnd(t, "the sync hangs", blocked)
	for _, c := range commits {
		select {
		case <-c.done:
			t.Error("acknowledged while its sync hangs")
		default:
		}
	}
	close(release)
	for _, c := range commits {
		if err := waitFor(c); err != nil {
			t.Error(err)
		}
	}
}

func TestFullDiskIsAnErrorAndTheRetryIsAppendedOnce(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, from(batch("a", 1, 10), 7, 0, 0))
	fsys.failing(failOn("write", logSuffix, syscall.ENOSPC))
	b := from(batch("b", 1, 10), 7, 0, 1)
	if _, _, err := p.Append(b); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("appending on a full disk: %v", err)
	}
	fsys.failing(nil)
	if n := int64(len(fsys.now[p.dir+"/00000000000000000000.log"].data)); n != p.Size() {
		t.Errorf("%d bytes of what failed are left in the file", n-p.Size())
	}
	if base := mustAppend(t, p, b); base != 1 || p.High() != 2 {
		t.Fatalf("the retry got offset %d of %d", base, p.High())
	}
	if got := fmt.Sprint(values(t, p)); got != "[a/0 b/0]" {
		t.Fatalf("got %s", got)
	}
}

func TestBrokenJournalCostsNothingButSpeedAndIsTriedAgain(t *testing.T) {
	for seed := range uint64(20) { // any part of what the failing disk was given may be on it
		fsys := newCrashFS(seed)
		told := make(chan error, 10)
		s := open(t, fsys, func(o *Options) { o.Events.Journal = func(err error) { told <- err } })
		p := s.topic("t", 2).Partition(0)
		mustAppend(t, p, batch("a", 1, 10))
		fsys.failing(failOn("sync", journalSuffix, syscall.EIO))
		mustAppend(t, p, batch("b", 1, 10))
		if err := <-told; !errors.Is(err, syscall.EIO) {
			t.Fatalf("told of %v", err)
		}
		_, c, err := p.Append(batch("c", 1, 10))
		if err == nil {
			err = waitFor(c)
		}
		if err != nil || c.journal != nil {
			t.Fatalf("a batch in a broken journal: %t, %v", c.journal != nil, err)
		}
		s.journal.retry()
		await(t, "the journal is tried, in vain", func() bool {
			s.journal.mu.Lock()
			defer s.journal.mu.Unlock()
			return !s.journal.probe && !s.journal.writing
		})
		s.journal.mu.Lock()
		if !s.journal.broken {
			t.Error("the journal is in use while its disk still fails")
		}
		s.journal.mu.Unlock()
		fsys.failing(nil)
		for broken := true; broken; {
			s.journal.retry()
			select {
			case err := <-told:
				broken = err != nil
			case <-time.After(time.Millisecond): // no file was free yet
			}
		}
		hang, disk := make(chan struct{}), fsys // what is acknowledged now was in the journal
		disk.failing(func(op, name string) error {
			if op == "sync" && strings.HasSuffix(name, logSuffix) {
				disk.mu.Unlock()
				<-hang
				disk.mu.Lock()
			}
			return nil
		})
		mustAppend(t, p, batch("d", 1, 10))
		close(hang)
		fsys = fsys.crash()
		s.abandon()
		s = open(t, fsys)
		if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[a/0 b/0 c/0 d/0]" {
			t.Fatalf("seed %d: got %s", seed, got)
		}
		s.stop()
	}
}

func TestFreeDiskGuardRefusesBeforeTheDiskIsFull(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.MinFree = 1<<40 - 500 })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 1, 10))
	for range 10 {
		if _, _, err := p.Append(batch("b", 1, 100)); err != nil {
			if !errors.Is(err, ErrDiskFull) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the guard never refused")
}

// TestFaultsAtRandomLoseNothing has every kind of operation fail now and then,
// partitions come back, and the power fail in the end.
func TestFaultsAtRandomLoseNothing(t *testing.T) {
	for seed := range long(40) {
		t.Run(strconv.Itoa(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 3))
			tr := &truth{acked: map[string]map[int64]string{}, sent: map[string]bool{}}
			fsys := newCrashFS(uint64(seed))
			s := open(t, fsys, func(o *Options) { o.JournalBytes = 16 << 10 })
			for i := range 3 {
				s.topic(fmt.Sprint("t", i), 2, ConfigSegmentBytes, "16384")
			}
			faults := 0
			for round := range 6 {
				fsys.failing(func(op, _ string) error {
					if rnd.IntN(60) == 0 { // called under the file system's lock
						faults++
						return syscall.EIO
					}
					return nil
				})
				tr.write(s, round, uint64(seed*10+round))
				_ = s.checkpoint() // may fail
				s.reopenOffline()
				fsys.failing(nil)
				s.reopenOffline()
				tr.check(t, s)
			}
			if faults == 0 {
				t.Error("nothing failed")
			}
			fsys = fsys.crash()
			s.abandon()
			s = open(t, fsys)
			defer s.stop()
			tr.check(t, s)
		})
	}
}

func TestReadsAndOtherPartitionsNeverWaitForASync(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	topic := s.topic("t", 2)
	slow, other := topic.Partition(0), topic.Partition(1)
	mustAppend(t, slow, batch("a", 1, 5000))
	blocked, release := fsys.hangs("/t/0/")
	_, c, err := slow.Append(batch("b", 1, 5000))
	if err != nil {
		t.Fatal(err)
	}
	<-blocked
	mustAppend(t, other, batch("c", 1, 5000)) // its own sync
	mustAppend(t, other, batch("d", 1, 10))   // the journal
	if got := fmt.Sprint(values(t, slow)); got != "[a/0]" {
		t.Fatalf("readers see %s", got)
	}
	_, small, err := slow.Append(batch("e", 1, 10))
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	if err := errors.Join(waitFor(c), waitFor(small)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(values(t, slow)); got != "[a/0 b/0 e/0]" {
		t.Fatalf("got %s", got)
	}
	fsys.failing(nil)
	s.stop()
}

func TestOneSyncServesAllThatWait(t *testing.T) {
	const partitions = 120
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.JournalBytes = 4 << 20 })
	defer s.stop()
	topic := s.topic("t", partitions)
	for _, p := range topic.Partitions() {
		mustAppend(t, p, batch("first", 1, 10))
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	// While one sync hangs, all others come to wait.
	blocked, release := fsys.hangs(journalSuffix)
	var commits []*Commit
	for i, p := range topic.Partitions() {
		_, c, err := p.Append(batch("second", 1, 1000))
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
		if i == 0 {
			<-blocked
		}
	}
	fsys.mu.Lock()
	before := fsys.syncs
	fsys.mu.Unlock()
	close(release)
	for _, c := range commits {
		if err := waitFor(c); err != nil {
			t.Fatal(err)
		}
	}
	fsys.mu.Lock()
	defer fsys.mu.Unlock()
	if n := fsys.syncs - before; n > 3 {
		t.Errorf("%d syncs for %d partitions", n, partitions)
	}
}

// unackedInJournal appends a large batch whose sync hangs, and behind it a
// small one, which reaches the journal but cannot be acknowledged. The sync
// ends with what end returns.
func unackedInJournal(t *testing.T, fsys *crashFS, p *Partition, end func() error) (large, small *Commit, release func()) {
	t.Helper()
	hang := make(chan struct{})
	fsys.failing(func(op, name string) error {
		if op != "sync" || !strings.HasSuffix(name, logSuffix) {
			return nil
		}
		fsys.mu.Unlock()
		<-hang
		fsys.mu.Lock()
		return end()
	})
	_, large, err := p.Append(batch("W", 1, 5000))
	if err != nil {
		t.Fatal(err)
	}
	_, small, err = p.Append(batch("X", 1, 10))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the small batch is in the journal", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return small.durable
	})
	return large, small, func() { close(hang) }
}

func TestJournalOfBeforeARecoveryDoesNotComeBack(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys, func(o *Options) { o.JournalBytes = 8 << 10 })
		for range 8 { // on to the second file: the first is used again after the crash
			mustAppend(t, s.topicOf("other"), batch("other", 1, 1000))
		}
		_, _, release := unackedInJournal(t, fsys, s.topic("t", 1).Partition(0), func() error { return errPower })
		fsys = fsys.crash()
		release()
		s.abandon()
		s = open(t, fsys)
		next := s.Topic("t").Partition(0).High() // either may have survived
		checkYZ(t, fsys, s, next)
	}
}

func TestJournalOfAFailedPartitionDoesNotComeBack(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		p := s.topic("t", 1).Partition(0)
		large, small, release := unackedInJournal(t, fsys, p, func() error { return syscall.EIO })
		release()
		if err := waitFor(large); !errors.Is(err, ErrOffline) {
			t.Fatalf("commit ended with %v", err)
		}
		if err := waitFor(small); !errors.Is(err, ErrOffline) {
			t.Fatalf("commit ended with %v", err)
		}
		fsys.failing(nil)
		s.reopenOffline()
		checkYZ(t, fsys, s, 0)
	}
}

// checkYZ appends a large and a small batch at the offset, cuts the power and
// wants both.
func checkYZ(t *testing.T, fsys *crashFS, s *opened, at int64) {
	t.Helper()
	p := s.Topic("t").Partition(0)
	if base := mustAppend(t, p, batch("Y", 1, 5000)); base != at {
		t.Fatalf("Y is at %d, not %d", base, at)
	}
	mustAppend(t, p, batch("Z", 1, 10))
	fsys = fsys.crash()
	s.abandon()
	s = open(t, fsys)
	defer s.stop()
	got := values(t, s.Topic("t").Partition(0))
	if int64(len(got)) != at+2 || got[at] != "Y/0" || got[at+1] != "Z/0" {
		t.Fatalf("Y and Z were acknowledged at %d, the log has %v", at, got)
	}
}

func TestRelaxedAcknowledgesBeforeTheSync(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.Relaxed = true })
	p := s.topic("t", 1).Partition(0)
	fsys.failing(failOn("sync", "", syscall.EIO))
	mustAppend(t, p, batch("a", 1, 10))
	mustAppend(t, p, batch("b", 1, 10_000))
	if got := fmt.Sprint(values(t, p)); got != "[a/0 b/0]" {
		t.Fatalf("got %s", got)
	}
	fsys.failing(nil)
	s.stop()
}

func TestBatchNobodyWaitsForIsReadAllTheSame(t *testing.T) {
	s := open(t, newCrashFS(1))
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	if _, _, err := p.Append(batch("A", 3, 10)); err != nil {
		t.Fatal(err)
	}
	await(t, "the batch can be read", func() bool { return p.High() == 3 })
}

// TestWhoHasItsAnswerWritesForNobodyElse: a request of many batches asks for
// each, and would otherwise write those of others as often.
func TestWhoHasItsAnswerWritesForNobodyElse(t *testing.T) {
	s := New(Options{Dir: testDir, FS: newCrashFS(1)}) // nobody but who waits writes
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	topic, err := s.Create(TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := topic.Partition(0)
	var commits []*Commit
	for _, name := range []string{"a", "b"} {
		_, c, err := p.Append(batch(name, 1, 10))
		if err == nil && name == "a" {
			err = waitFor(c)
		}
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, c)
	}
	for i, c := range commits { // the first has ended
		if err := waitFor(c); err != nil || p.High() != int64(i+1) {
			t.Fatalf("%d batches are durable after waiting for %d: %v", p.High(), i+1, err)
		}
	}
}

// TestPanicOfWhoWritesHoldsNobodyUp: it may be that of a connection, which ends
// with it, and nothing else does.
func TestPanicOfWhoWritesHoldsNobodyUp(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	other := s.topicOf("other")
	mustAppend(t, other, batch("a", 1, 10)) // whose buffers are used again
	syncs, blocked, release := 0, make(chan struct{}), make(chan struct{})
	fsys.failing(func(op, name string) error {
		if op == "sync" && strings.HasSuffix(name, journalSuffix) {
			switch syncs++; syncs {
			case 1:
				panic("a panic")
			case 2:
				close(blocked)
				fsys.mu.Unlock()
				<-release
				fsys.mu.Lock()
			}
		}
		return nil
	})
	add := func(p *Partition, name string) *Commit {
		_, c, err := p.Append(batch(name, 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := add(p, "b")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		_ = waitFor(first)
	}()
	second := add(other, "c")
	ended := make(chan error, 1)
	go func() { ended <- waitFor(second) }()
	<-blocked
	third := add(other, "d")
	close(release)
	if err := errors.Join(<-ended, waitFor(third), s.checkpoint(), waitFor(first)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(values(t, p), values(t, other)); got != "[b/0] [a/0 c/0 d/0]" {
		t.Fatalf("got %s", got)
	}
	s.stop()
}
