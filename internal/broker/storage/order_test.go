package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
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

// numbered appends batches of one record each, small enough for the journal,
// and returns their values.
func numbered(t *testing.T, p *Partition, n int) (names []string) {
	t.Helper()
	for i := range n {
		mustAppend(t, p, batch(strconv.Itoa(i), 1, 1500))
		names = append(names, fmt.Sprint(i, "/0"))
	}
	return names
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

// Retention goes on for all partitions while one waits for its disk.
func TestRetentionWaitsForNoSync(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.JournalMaxBatch = -1 })
	defer s.stop()
	p := s.topic("t", 1, ConfigSegmentBytes, "16384", "retention.bytes", "20000").Partition(0)
	for range 40 {
		mustAppend(t, p, batch("a", 1, 1500))
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	blocked, release := fsys.hangs(logSuffix)
	if _, _, err := p.Append(batch("b", 1, 100)); err != nil {
		t.Fatal(err)
	}
	mustEnd(t, "a sync is under way", blocked)
	ended := make(chan struct{})
	go func() { s.enforceRetention(); close(ended) }()
	mustEnd(t, "retention is through", ended)
	close(release)
	if p.Start() == 0 {
		t.Error("nothing was removed")
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
	s, _ = s.restarted(fsys)
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

// hanging has syncs of files with the part in their names hang until release
// is called: what is acknowledged meanwhile is in the journal alone.
func (c *crashFS) hanging(part string) (release func()) {
	hang := make(chan struct{})
	c.failing(func(op, name string) error {
		if op == "sync" && strings.Contains(name, part) {
			c.mu.Unlock()
			<-hang
			c.mu.Lock()
		}
		return nil
	})
	return func() { close(hang) }
}

// A partition whose sync fails in a recovery needs the journal after it.
func TestJournalIsKeptForAPartitionThatFailsInRecovery(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		p := s.topic("t", 1).Partition(0)
		s.topic("other", 1)
		release := fsys.hanging(logSuffix)
		want := numbered(t, p, 5)
		fsys = fsys.crash()
		release()
		s.abandon()
		fsys.failing(failOn("sync", logSuffix, syscall.EIO))
		s = open(t, fsys)
		if s.Topic("t").Partition(0).Offline() == nil {
			t.Fatal("nothing was to be synced")
		}
		fsys.failing(nil)
		for range 10 {
			mustAppend(t, s.Topic("other").Partition(0), batch("other", 1, 1500))
		}
		s, _ = s.restarted(fsys)
		if got := values(t, s.Topic("t").Partition(0)); !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v", seed, got)
		}
		s.stop()
	}
}

// A torn end is cut on the disk before anything is written in its place: what
// lies there may be whole, and its offset the next.
func TestWhatIsCutDoesNotComeBackBehindWhatIsWrittenThere(t *testing.T) {
	tried := 0
	for seed := range uint64(60) {
		fsys := newCrashFS(seed)
		s := open(t, fsys, func(o *Options) { o.JournalMaxBatch = 10_000 })
		p := s.topic("t", 1).Partition(0)
		mustAppend(t, p, batch("a", 1, 10))
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		first := batch("b", 1, 0)
		first = batch("b", 1, 2*page-int(p.Size())-len(first)-1) // its length takes a byte more
		path := p.active.path + logSuffix
		p.syncMu.Lock()                                          // no checkpoint comes between
		for _, b := range [][]byte{first, batch("X", 1, 5000)} { // never acknowledged
			if _, _, err := p.Append(b); err != nil {
				t.Fatal(err)
			}
		}
		s.journal.forget()
		fsys = fsys.crash()
		p.syncMu.Unlock()
		s.abandon()
		i := fsys.now[path]
		if len(i.data) < 2*page+5000 {
			continue
		}
		copy(i.data[page:], make([]byte, page)) // torn
		copy(i.durable[page:], make([]byte, page))
		tried++
		s = open(t, fsys, func(o *Options) { o.JournalMaxBatch = 10_000 })
		p = s.Topic("t").Partition(0)
		release := fsys.hanging(logSuffix)
		mustAppend(t, p, first)
		mustAppend(t, p, batch("c", 1, 4000))
		fsys = fsys.crash()
		release()
		s.abandon()
		s = open(t, fsys)
		if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[a/0 b/0 c/0]" {
			t.Fatalf("seed %d: got %s", seed, got)
		}
		s.stop()
	}
	if tried == 0 {
		t.Error("what was to be cut has never survived")
	}
}

// A crash may leave entries of a journal file and lose its header: its
// generation must not be given to what is written before them.
func TestGenerationOfALostHeaderIsNotGivenAgain(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.JournalMaxBatch = page })
	p := s.topic("t", 1).Partition(0)
	fill := batch("a", 1, 4000)
	fill = batch("a", 1, 4000+page-journalHeader-journalEntryHead-len(fill))
	mustAppend(t, s.topic("other", 1).Partition(0), fill)
	lost := s.journal.nextGen // that of the file after this one
	fsys = fsys.crash()
	s.abandon()

	x := batch("X", 1, 10)
	h, _ := parseHeader(x)
	place(x, &h, 0)
	entry := appendJournalEntry(nil, p, x)
	binary.BigEndian.PutUint32(entry[4:], entryCRC(lost, entry))
	for i := range 2 {
		file := fsys.now[fmt.Sprint(testDir, "/journal/", i, journalSuffix)]
		file.data = put(file.data, entry, page)
		file.durable = put(file.durable, entry, page)
	}
	s = open(t, fsys, func(o *Options) { o.JournalMaxBatch = page })
	release := fsys.hanging(logSuffix)
	mustAppend(t, s.Topic("other").Partition(0), fill)
	if at := s.journal.active.pos; at != page {
		t.Fatalf("the journal is at %d", at)
	}
	fsys = fsys.crash()
	release()
	s.abandon()
	s = open(t, fsys)
	defer s.stop()
	if got := values(t, s.Topic("t").Partition(0)); len(got) > 0 {
		t.Fatalf("got %v", got)
	}
}

// A producer may send a batch of long ago again, from before its sequence has
// begun at 0 anew.
func TestSequenceFromBeforeItsEndIsADuplicate(t *testing.T) {
	s := open(t, newCrashFS(1))
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	sequence := int32(math.MaxInt32 - 1)
	for range keptBatches + 2 {
		mustAppend(t, p, from(batch("a", 1, 10), 7, 0, sequence))
		sequence = (sequence + 1) & math.MaxInt32
	}
	if _, _, err := p.Append(from(batch("a", 1, 10), 7, 0, math.MaxInt32-1)); !errors.Is(err, ErrDuplicateSequence) {
		t.Errorf("a batch of long ago: %v", err)
	}
	if _, _, err := p.Append(from(batch("a", 1, 10), 7, 0, sequence+1)); !errors.Is(err, ErrSequence) {
		t.Errorf("a batch behind a gap: %v", err)
	}
}

// A deletion whose sync fails may have happened, or not: nothing may be
// acknowledged that goes with it.
func TestDeletionThatFailsTakesNothingAcknowledgedWithIt(t *testing.T) {
	for seed := range uint64(10) {
		for _, retried := range []bool{false, true} {
			fsys := newCrashFS(seed)
			s := open(t, fsys)
			p := s.topic("t", 1).Partition(0)
			mustAppend(t, p, batch("a", 1, 10))
			fsys.failing(failOn("syncdir", "data/t", syscall.EIO)) // topics, trash
			if err := s.Delete("t"); !errors.Is(err, syscall.EIO) {
				t.Fatalf("deleted: %v", err)
			}
			fsys.failing(nil)
			_, c, err := p.Append(batch("b", 1, 10))
			if err == nil {
				err = waitFor(c)
			}
			acked := err == nil
			if retried {
				if err := s.Delete("t"); err != nil {
					t.Fatal(err)
				}
				mustAppend(t, s.topicOf("t"), batch("new", 1, 10))
			}
			s, _ = s.restarted(fsys)
			got := "none"
			if topic := s.Topic("t"); topic != nil {
				got = fmt.Sprint(values(t, topic.Partition(0)))
			}
			if retried && got != "[new/0]" || !retried && acked && !strings.Contains(got, "b/0") {
				t.Fatalf("seed %d: the topic has %s, acknowledged: %t", seed, got, acked)
			}
			s.stop()
		}
	}
}

// A folder's name is used again by the next topic of that name, but not while
// somebody works on the files of the one before.
func TestTopicCreatedAgainHasItsFolderToItself(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("old", 1, 5000))
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, p, batch("old", 1, 5000))
	p.failed()
	blocked, release := make(chan struct{}), make(chan struct{})
	fsys.failing(func(op, name string) error {
		if op == "syncdir" && name == p.dir {
			close(blocked)
			fsys.hook = nil
			fsys.mu.Unlock()
			<-release
			fsys.mu.Lock()
		}
		return nil
	})
	reopened, deleted := make(chan struct{}), make(chan error, 1)
	go func() { defer close(reopened); s.reopenOffline() }()
	mustEnd(t, "the partition is reopened", blocked)
	go func() { deleted <- s.Delete("t") }()
	await(t, "its folder is gone", func() bool {
		fsys.mu.Lock()
		defer fsys.mu.Unlock()
		return fsys.now[p.dir] == nil
	})
	again := func() bool {
		topic, err := s.Create(TopicSpec{Name: "t", Partitions: 1})
		if err != nil {
			return false
		}
		for range 3 {
			mustAppend(t, topic.Partition(0), batch("new", 1, 6000))
		}
		return true
	}
	created := again()
	close(release)
	mustEnd(t, "reopening is over", reopened)
	if err := mustEnd(t, "the topic is deleted", deleted); err != nil {
		t.Fatal(err)
	}
	if !created && !again() {
		t.Fatal("the topic cannot be created")
	}
	for range 2 {
		if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[new/0 new/0 new/0]" {
			t.Fatalf("got %s", got)
		}
		s, fsys = s.restarted(fsys)
	}
	s.stop()
}

// strictFS does not rename a folder onto one that is not empty.
type strictFS struct{ *crashFS }

func (s strictFS) Rename(from, to string) error {
	if entries, err := s.ReadDir(to); err == nil && len(entries) > 0 {
		return syscall.ENOTEMPTY
	}
	return s.crashFS.Rename(from, to)
}

func TestCreationThatFailsIsNotInTheWayOfTheNext(t *testing.T) {
	fsys := strictFS{newCrashFS(1)}
	s := open(t, fsys)
	defer s.stop()
	fsys.failing(failOn("syncdir", "data/topics", syscall.EIO))
	if _, err := s.Create(TopicSpec{Name: "t", Partitions: 1}); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	fsys.failing(nil)
	s.topic("t", 1)
	if left, err := fsys.ReadDir(s.trashDir()); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestDeletedRecordsAreNotAnsweredBeforeTheyAreDurable(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 5, 10))
	fsys.failing(failOn("sync", p.dir, syscall.EIO))
	low, err := p.DeleteBefore(3)
	s, _ = s.restarted(fsys)
	defer s.stop()
	if start := s.Topic("t").Partition(0).Start(); err == nil && start != low {
		t.Fatalf("deleted before %d, the log begins at %d", low, start)
	}
}

// After a failed sync the next one succeeds, also that of the next start, while
// pages that can be read are not on the disk.
func TestFailedSyncIsRememberedOverARestart(t *testing.T) {
	for seed := range uint64(20) {
		for _, killed := range []bool{false, true} {
			fsys := newCrashFS(seed)
			s := open(t, fsys)
			p := s.topic("t", 1).Partition(0)
			release := fsys.hanging(logSuffix)
			want := numbered(t, p, 5)
			fsys.failing(failOn("sync", logSuffix, syscall.EIO))
			release()
			if err := s.checkpoint(); err != nil {
				t.Fatal(err)
			}
			if killed {
				disk := fsys
				fsys = disk.kill()
			}
			s.abandon()
			fsys.failing(nil)
			s = open(t, fsys)
			s, _ = s.restarted(fsys)
			if got := values(t, s.Topic("t").Partition(0)); !slices.Equal(got, want) {
				t.Fatalf("seed %d: got %v", seed, got)
			}
			s.stop()
		}
	}
}

// A byte flips behind the recovery point, and a sync has failed: what is cut is
// kept as ever.
func TestSuspectPartitionKeepsWhatIsCut(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.JournalMaxBatch = -1 })
	p := s.topic("t", 1).Partition(0)
	var at int64
	for i := range 5 {
		if mustAppend(t, p, batch(strconv.Itoa(i), 1, 100)); i == 1 {
			at = p.Size() - 1
		}
	}
	path := p.active.path
	fsys.failing(failOn("sync", logSuffix, syscall.EIO))
	if _, c, err := p.Append(batch("x", 1, 100)); err != nil || waitFor(c) == nil {
		t.Fatal("it is durable", err)
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	fsys.failing(nil)
	disk := fsys
	fsys = disk.kill()
	s.abandon()
	fsys.now[path+logSuffix].data[at] ^= 1

	s = open(t, fsys)
	if got := fmt.Sprint(values(t, s.Topic("t").Partition(0))); got != "[0/0]" {
		t.Fatalf("got %s", got)
	}
	if f, _, err := openRead(fsys, fmt.Sprintf("%s-%d%s", path, (at+1)/2, cutSuffix)); err != nil {
		t.Error(err)
	} else {
		_ = f.Close()
	}
	s.stop()
}

// The start after a failed sync writes again what may not be on the disk, even
// if that is nothing, and the one after that does not.
func TestSuspectPartitionIsWrittenAgainOnce(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 1, 100))
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	p.failed()
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{1, 0} {
		fsys = fsys.crash()
		s.abandon()
		written := 0
		fsys.failing(func(op, name string) error {
			if op == "rename" && strings.Contains(name, logSuffix) {
				written++
			}
			return nil
		})
		if s = open(t, fsys); written != want {
			t.Errorf("start %d: %d segments are written again, not %d", i, written, want)
		}
	}
	s.stop()
}

// The first batch of a new producer fails, the next has been sent already: the
// retry of the first is not told to be there.
func TestRetryBeforeTheFirstThatWasSeenIsNoDuplicate(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("other", 1, 10))
	fsys.failing(failOn("write", logSuffix, syscall.ENOSPC))
	first := from(batch("a", 1, 10), 7, 0, 0)
	if _, _, err := p.Append(first); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	fsys.failing(nil)
	mustAppend(t, p, from(batch("b", 1, 10), 7, 0, 1))
	for range 2 {
		if _, _, err := p.Append(first); !errors.Is(err, ErrSequence) {
			t.Fatalf("the retry: %v", err)
		}
		s, fsys = s.restarted(fsys)
		p = s.Topic("t").Partition(0)
	}
	s.stop()
}

func TestFailedSyncOfAStartIsRemembered(t *testing.T) {
	for seed := range uint64(20) {
		fsys := newCrashFS(seed)
		s := open(t, fsys)
		p := s.topic("t", 1, ConfigSegmentBytes, "16384").Partition(0)
		mustAppend(t, p, batch("0", 1, 10))
		if err := s.checkpoint(); err != nil {
			t.Fatal(err)
		}
		release := fsys.hanging(logSuffix)
		want := append([]string{"0/0"}, numbered(t, p, 15)...)
		disk := fsys
		fsys = disk.kill()
		release()
		s.abandon()
		fsys.failing(failOn("sync", logSuffix, syscall.EIO))
		if _, err := tryOpen(t, fsys); !errors.Is(err, syscall.EIO) {
			t.Fatal(err)
		}
		fsys.failing(nil)
		s = open(t, fsys)
		s, _ = s.restarted(fsys)
		if got := values(t, s.Topic("t").Partition(0)); !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %v", seed, got)
		}
		s.stop()
	}
}

// What was not synced may be lost when the durability is relaxed; the partition
// is not lost with it.
func TestRelaxedPartitionComesBackWithoutWhatIsLost(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys, func(o *Options) { o.Relaxed = true })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	mustAppend(t, p, batch("a", 1, 100))
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	synced := p.Size()
	mustAppend(t, p, batch("b", 1, 100))
	p.syncMu.Lock()
	p.failed()
	fsys.mu.Lock()
	i := fsys.now[p.active.path+logSuffix]
	i.data, i.pending = i.data[:synced], nil
	fsys.mu.Unlock()
	p.syncMu.Unlock()
	s.reopenOffline()
	if err := p.Offline(); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, p, batch("c", 1, 100))
	if got := fmt.Sprint(values(t, p)); got != "[a/0 c/0]" {
		t.Fatalf("got %s", got)
	}
}

func TestStartThatFailsLeavesNoFilesOpen(t *testing.T) {
	fsys := &countedFS{crashFS: newCrashFS(1)}
	s := open(t, fsys)
	for _, name := range []string{"a", "b"} {
		mustAppend(t, s.topicOf(name), batch(name, 1, 100))
	}
	s.stop()
	for _, part := range []string{"/b/0/", journalSuffix, "checkpoint.json"} {
		fsys.failing(func(op, name string) error {
			if (op == "truncate" || op == "create" || op == "syncdir") && strings.Contains(name+"/", part) {
				return syscall.EIO
			}
			return nil
		})
		if part == journalSuffix {
			fsys.failing(failOn("syncdir", "journal", syscall.EIO))
		}
		if s, err := tryOpen(t, fsys); err == nil {
			t.Errorf("%s: the store opens", part)
			s.stop()
		}
		if n := fsys.open.Load(); n != 0 {
			t.Errorf("%s: %d files are open", part, n)
		}
	}
}
