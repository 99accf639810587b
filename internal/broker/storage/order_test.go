package storage

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// Each test here is an order of events that is rare, and that has lost
// something or kept a partition out of service.

// failed takes the partition offline, as a failed sync does.
func (p *Partition) failed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail(errors.New("failed sync"))
}

// restarted cuts the power and opens what is left.
func (s *opened) restarted(fsys *crashFS) (*opened, *crashFS) {
	s.t.Helper()
	fsys = fsys.crash()
	s.abandon()
	return open(s.t, fsys), fsys
}

// What a checkpoint syncs while the partition fails was told to have failed:
// the recovery point must not move behind it.
func TestPartitionThatFailsDuringACheckpointComesBack(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.JournalMaxBatch = -1 })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 1, 100))
	p.mu.Lock()
	p.syncing = true // the batch waits for the checkpoint
	p.mu.Unlock()
	_, c, err := p.Append(batch("b", 1, 100))
	if err != nil {
		t.Fatal(err)
	}
	blocked, release := fsys.hangs(logSuffix)
	checkpointed := make(chan error, 1)
	go func() { checkpointed <- s.checkpoint() }()
	mustEnd(t, "a checkpoint is under way", blocked)
	p.failed()
	if err := waitFor(c); !errors.Is(err, ErrOffline) {
		t.Fatalf("commit ended with %v", err)
	}
	close(release)
	if err := mustEnd(t, "the checkpoint is over", checkpointed); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	p.syncing = false
	p.mu.Unlock()
	s.reopenOffline()
	if err := p.Offline(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, p, batch("c", 1, 100))
	if got := fmt.Sprint(values(t, p)); got != "[a/0 c/0]" {
		t.Fatalf("got %s", got)
	}
}

// Until a checkpoint is on the disk recovery begins at the one before: what
// that one needs must neither be compacted nor removed.
func TestFailedCheckpointKeepsWhatTheOneBeforeNeeds(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.JournalMaxBatch = -1 }) // which gives nothing back
	p := s.topic("t", 1, ConfigSegmentBytes, "16384", ConfigCleanupPolicy, "compact").Partition(0)
	n := 0
	appendSome := func() {
		for range 40 {
			mustAppend(t, p, batch(fmt.Sprintf("k%d", n%20), 1, 1500))
			n++
		}
	}
	appendSome()
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	appendSome()
	fsys.failing(failOn("write", "checkpoint.json", syscall.ENOSPC))
	if err := s.checkpoint(); err == nil {
		t.Fatal("there is a checkpoint")
	}
	s.enforceRetention()
	s, fsys = s.restarted(fsys)
	defer s.stop()
	p = s.Topic("t").Partition(0)
	last := map[string]int64{}
	if err := p.Each(func(r *Record) { last[string(r.Key)] = r.Offset }); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if got := last[fmt.Sprint("k", i)]; got != int64(n-20+i) {
			t.Errorf("the latest k%d is at %d, not %d", i, got, n-20+i)
		}
	}
	if len(last) != 20 || p.High() != int64(n) {
		t.Errorf("%d keys, %d records of %d", len(last), p.High(), n)
	}
}

// A partition that has failed before it had a segment has an incarnation, and
// nothing else for a checkpoint to keep.
func TestIncarnationOfAnEmptyPartitionIsKept(t *testing.T) {
	for seed := range uint64(10) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		p := s.topic("t", 1).Partition(0)
		fsys.failing(failOn("create", logSuffix, syscall.ENOSPC))
		if _, _, err := p.Append(batch("a", 1, 10)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		fsys.failing(nil)
		s.reopenOffline()
		if err := errors.Join(p.Offline(), s.checkpoint()); err != nil {
			t.Fatal(err)
		}
		hang, disk := make(chan struct{}), fsys // what is acknowledged now is in the journal alone
		disk.failing(func(op, name string) error {
			if op == "sync" && strings.Contains(name, "/t/") {
				disk.mu.Unlock()
				<-hang
				disk.mu.Lock()
			}
			return nil
		})
		mustAppend(t, p, batch("b", 1, 10))
		fsys = fsys.crash()
		close(hang)
		s.abandon()
		s = open(t, fsys)
		if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[b/0]" {
			t.Fatalf("seed %d: got %s", seed, got)
		}
		s.stop()
	}
}
