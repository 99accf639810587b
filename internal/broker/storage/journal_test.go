package storage

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// hangs has one sync of a file with the part in its name hang until release is
// closed; blocked is closed when it does.
func (c *crashFS) hangs(part string) (blocked, release chan struct{}) {
	blocked, release = make(chan struct{}), make(chan struct{})
	var hung atomic.Bool
	c.failing(func(op, name string) error {
		if op == "sync" && strings.Contains(name, part) && !hung.Swap(true) {
			close(blocked)
			c.mu.Unlock() // it is this sync that hangs, not the whole disk
			<-release
			c.mu.Lock()
		}
		return nil
	})
	return blocked, release
}

// forget has nobody write what has gathered but who waits for it, or who ends
// a round.
func (j *journal) forget() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lonely.Stop()
}

func mustEnd[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain: %s", what)
	}
	return v
}

// begun appends, and returns when the checkpoint that the first file asks for is
// over: it is not to make durable what comes now.
func (s *opened) begun(p *Partition) {
	s.t.Helper()
	mustAppend(s.t, p, from(batch("before", 1, 10), 7, 0, 0))
	synctest.Wait()
}

// led appends a batch and has a goroutine wait for it, which hangs in its sync.
func led(t *testing.T, s *opened, fsys *crashFS, p *Partition) (ended chan error, release chan struct{}) {
	t.Helper()
	s.begun(p)
	blocked, release := fsys.hangs(journalSuffix)
	_, c, err := p.Append(batch("first", 1, 10))
	if err != nil {
		t.Fatal(err)
	}
	s.journal.forget()
	ended = make(chan error, 1)
	go func() { ended <- waitFor(c) }()
	select {
	case <-blocked:
	case <-time.After(20 * time.Second):
		close(release)
		t.Fatal("who waits does not write")
	}
	return ended, release
}

func TestWhatGathersDuringARoundIsWrittenBehindIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		defer s.stop()
		p := s.topic("t", 1).Partition(0)
		first, release := led(t, s, fsys, p)
		_, second, err := p.Append(batch("second", 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		s.journal.forget()
		close(release)
		if err := mustEnd(t, "the first is durable", first); err != nil {
			t.Error(err)
		}
		mustEnd(t, "the second, for which nobody waits, is durable", second.done)
	})
}

func TestClosingWaitsForTheRoundOfAnother(t *testing.T) {
	for _, gathered := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) { closeDuringARound(t, gathered) })
	}
}

func closeDuringARound(t *testing.T, gathered int) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	first, release := led(t, s, fsys, p)
	for range gathered {
		if _, _, err := p.Append(batch("more", 1, 10)); err != nil {
			t.Fatal(err)
		}
		s.journal.forget()
	}
	s.cancel()
	synctest.Wait()
	s.journal.mu.Lock()
	if !s.journal.closed || len(s.journal.ends) != gathered {
		t.Errorf("closed: %t, %d batches wait for the round to end", s.journal.closed, len(s.journal.ends))
	}
	s.journal.mu.Unlock()
	close(release)
	if err := mustEnd(t, "the batch is durable", first); err != nil {
		t.Error(err)
	}
	if err := mustEnd(t, "the store is closed", s.done); err != nil {
		t.Error(err)
	}
	if n := p.High(); n != int64(2+gathered) {
		t.Errorf("%d batches are durable", n)
	}
}

func TestWhatGathersIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newCrashFS(1)
		s := open(t, fsys)
		defer s.stop()
		p := s.topic("t", 1).Partition(0)
		first, release := led(t, s, fsys, p)
		var last *Commit
		for range 2 * s.journal.fileSize / 4 / 1000 {
			_, c, err := p.Append(batch("more", 1, 1000))
			if err != nil {
				t.Fatal(err)
			}
			last = c
		}
		s.journal.mu.Lock()
		if n := int64(len(s.journal.buf)); n > s.journal.fileSize/4 || n == 0 {
			t.Errorf("%d bytes have gathered, a file has %d", n, s.journal.fileSize)
		}
		s.journal.mu.Unlock()
		close(release)
		if err := mustEnd(t, "the first is durable", first); err != nil {
			t.Error(err)
		}
		mustEnd(t, "the rest is, too", last.done)
	})
}

// While a checkpoint hangs no file comes free; a full journal is not broken.
func TestFullJournalCostsNothingButSpeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newCrashFS(1)
		s := open(t, fsys, func(o *Options) {
			o.JournalBytes = 8 << 10
			o.Events.Journal = func(err error) { t.Errorf("told of %v", err) }
		})
		defer s.stop()
		topic := s.topic("t", 2)
		mustAppend(t, topic.Partition(0), batch("a", 1, 10))
		blocked, release := fsys.hangs("/t/0/")
		go func() { _ = s.checkpoint() }()
		mustEnd(t, "a checkpoint is under way", blocked)
		for range 2 * journalMaxFiles * s.journal.fileSize / 1000 {
			_, c, err := topic.Partition(1).Append(batch("b", 1, 1000))
			if err != nil {
				t.Fatal(err)
			}
			s.journal.lead()
			mustEnd(t, "the batch is durable", c.done)
		}
		close(release)
	})
}

// A checkpoint that began in a generation does not cover the rest of it.
func TestCheckpointFreesOnlyWhatItCovers(t *testing.T) {
	var j journal
	j.used = []*journalFile{{gen: 3}, {gen: 4}, {gen: 5}}
	j.release(4)
	if len(j.free) != 1 || j.free[0].gen != 3 || len(j.used) != 2 {
		t.Errorf("%d files are free, %d are not", len(j.free), len(j.used))
	}
}

func TestCheckpointKeepsTheJournalOfAPartitionThatFails(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys, func(o *Options) { o.JournalBytes = 8 << 10 })
		other := s.topic("other", 1).Partition(0)
		mustAppend(t, s.topic("t", 1).Partition(0), batch("a", 1, 10))
		fsys.failing(failOn("sync", "/t/0/", syscall.EIO))
		for range 8 { // on to the next file
			mustAppend(t, other, batch("other", 1, 1000))
		}
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		fsys = fsys.crash()
		s.abandon()
		s = open(t, fsys)
		if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[a/0]" {
			t.Fatalf("seed %d: got %s", seed, got)
		}
		s.stop()
	}
}

// A checkpoint that frees nothing, since a partition stays offline, is not asked
// for again with every batch that the full journal does not take.
func TestFullJournalAsksForNoCheckpoints(t *testing.T) {
	s := open(t, newCrashFS(1), func(o *Options) { o.JournalBytes = 8 << 10 })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	var asked atomic.Int32
	s.journal.rotated = func() { asked.Add(1) }
	for range 100 {
		mustAppend(t, p, batch("a", 1, 1000))
	}
	if n := asked.Load(); n != journalMaxFiles {
		t.Errorf("asked for %d checkpoints, with %d files", n, journalMaxFiles)
	}
}

// A file of the journal is used again, and behind its new entries lies one of
// before that would fit: X, which was never acknowledged.
func TestWhatAJournalFileHeldBeforeDoesNotComeBack(t *testing.T) {
	tried := 0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			if useAgain(t, seed) {
				tried++
			}
		})
	}
	if tried == 0 {
		t.Error("X could always stay")
	}
}

// useAgain says whether X was lost in the crash, so that it could come back.
func useAgain(t *testing.T, seed uint64) bool {
	const fileSize = 8 << 10
	small := func(o *Options) { o.JournalBytes, o.JournalMaxBatch = fileSize, 4000 }
	quarter := func(name string) []byte { // of which three fit, and no fourth
		for size := fileSize/4 - journalEntryHead - headerSize; ; size-- {
			if b := batch(name, 1, size); len(b) == fileSize/4-journalEntryHead {
				return b
			}
		}
	}
	threeQuarters := func(p *Partition) {
		for range 3 {
			mustAppend(t, p, quarter("other"))
			synctest.Wait()
		}
	}
	fsys := newCrashFS(seed)
	s := open(t, fsys, small)
	threeQuarters(s.topic("other", 1).Partition(0))
	_, _, release := unackedInJournal(t, fsys, s.topic("t", 1).Partition(0), func() error { return errPower })
	fsys = fsys.crash()
	release()
	s.abandon()

	s = open(t, fsys, small)
	p := s.Topic("t").Partition(0)
	if p.High() > 0 { // what X waited for has survived
		s.stop()
		return false
	}
	mustAppend(t, p, batch("Y", 1, 5000))
	threeQuarters(s.Topic("other").Partition(0))
	blocked, hung := fsys.hangs("/other/0/") // the checkpoint that the next file asks for
	mustAppend(t, p, quarter("Z"))
	mustEnd(t, "the checkpoint hangs", blocked)
	fsys = fsys.crash()
	close(hung)
	s.abandon()
	s = open(t, fsys, small)
	defer s.stop()
	if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[Y/0 Z/0]" {
		t.Fatalf("seed %d: got %s", seed, got)
	}
	return true
}
