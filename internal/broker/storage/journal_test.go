package storage

import (
	"strings"
	"sync/atomic"
	"testing"
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

// led appends a batch and has a goroutine wait for it, which hangs in its sync.
func led(t *testing.T, s *opened, fsys *crashFS, p *Partition) (ended chan error, release chan struct{}) {
	t.Helper()
	mustAppend(t, p, batch("before", 1, 10))
	await(t, "the checkpoint of the first file is begun", func() bool { return len(s.checkpointed) == 0 })
	if err := s.checkpoint(); err != nil { // none makes durable what comes now
		t.Fatal(err)
	}
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
}

func TestClosingWaitsForTheRoundOfAnother(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	first, release := led(t, s, fsys, s.topic("t", 1).Partition(0))
	s.cancel()
	await(t, "the journal is closed", s.journal.isClosed)
	close(release)
	if err := mustEnd(t, "the batch is durable", first); err != nil {
		t.Error(err)
	}
	if err := mustEnd(t, "the store is closed", s.done); err != nil {
		t.Error(err)
	}
}

func TestWhatGathersIsBounded(t *testing.T) {
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
}
