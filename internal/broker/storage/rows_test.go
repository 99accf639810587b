package storage

import (
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Topics without settings of their own are cut by the default retention, by
// the running store itself, as often as it does by default, after a restart
// too. The clock is the test's.
func TestRetentionRunsByItselfForEveryTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fsys := newCrashFS(1)
		var ahead atomic.Int64
		byDefault := func(o *Options) {
			o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
			o.Retention, o.Checkpoint = 0, 0
		}
		s := open(t, fsys, byDefault)
		for _, name := range []string{"before", "after"} {
			fillTopic(t, s.topic(name, 1).Partition(0), 5)
		}
		time.Sleep(time.Minute)
		if p := s.Topic("after").Partition(0); p.Start() != 0 {
			t.Fatalf("young records were removed, up to %d", p.Start())
		}
		s.stop()
		ahead.Store(int64(8 * 24 * time.Hour)) // the default is 7 days
		s = open(t, fsys, byDefault)
		defer s.stop()
		time.Sleep(20 * time.Second) // a round seals, a checkpoint passes, another removes
		for _, name := range []string{"after", "before"} {
			if p := s.Topic(name).Partition(0); p.Start() != 5 || p.Size() != 0 {
				t.Errorf("%s: %d bytes from %d on are kept", name, p.Size(), p.Start())
			}
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // what sync.Pool holds goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Recovery keeps nothing in memory of what it has read.
func TestRecoveryKeepsNothingInMemory(t *testing.T) {
	dir := t.TempDir()
	here := func(o *Options) { o.Dir = dir }
	s := open(t, OS{}, here)
	p := s.topic("t", 1).Partition(0)
	for range 50 {
		mustAppend(t, p, batch("a", 1, 200_000))
	}
	size := p.Size()
	s.stop()
	if err := os.Remove(s.checkpointPath()); err != nil { // all of it is read
		t.Fatal(err)
	}
	before := heap()
	s = open(t, OS{}, here)
	defer s.stop()
	if grown := heap() - before; grown > size/10 || s.Topic("t").Partition(0).High() != 50 {
		t.Errorf("%d bytes stay in memory of a log of %d", grown, size)
	}
}

// A batch leaves nothing in memory once it is durable, whoever it is from.
func TestMemoryDoesNotGrowWithTheLog(t *testing.T) {
	s := open(t, OS{}, func(o *Options) { o.Dir = t.TempDir() })
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	anyone, numbered := batch("x", 1, 100), batch("x", 1, 100)
	sequence := int32(0)
	appendMany := func(n int) int64 {
		for range n / 100 {
			var last *Commit
			for i := range 100 {
				b := anyone
				if i%2 == 0 {
					b = from(numbered, 7, 0, sequence)
					sequence++
				}
				_, c, err := p.Append(b)
				if err != nil {
					t.Fatal(err)
				}
				last = c
			}
			if err := waitFor(last); err != nil {
				t.Fatal(err)
			}
		}
		return heap()
	}
	const n = 50_000
	before := appendMany(n / 5)
	if after := appendMany(n); after > before+4*n {
		t.Errorf("%d bytes a batch stay in memory", (after-before)/n)
	}
}

// hungReads is a disk whose reads of logs wait until they may go on.
type hungReads struct {
	FS
	reading chan struct{} // closed by the first
	goOn    chan struct{}
	once    *sync.Once
}

type hungFile struct {
	File
	fs hungReads
}

func (h hungReads) OpenFile(name string, flag int, perm os.FileMode) (File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err == nil && flag == os.O_RDONLY && strings.HasSuffix(name, logSuffix) {
		f = hungFile{f, h}
	}
	return f, err
}

func (f hungFile) ReadAt(b []byte, at int64) (int, error) {
	f.fs.once.Do(func() { close(f.fs.reading) })
	<-f.fs.goOn
	return f.File.ReadAt(b, at)
}

func TestAppendsNeverWaitForAReader(t *testing.T) {
	disk := hungReads{FS: newCrashFS(1), reading: make(chan struct{}), goOn: make(chan struct{}), once: &sync.Once{}}
	s := open(t, disk)
	defer s.stop()
	p := s.topic("t", 1, ConfigSegmentBytes, "16384").Partition(0)
	mustAppend(t, p, batch("a", 1, 5000))
	read := make(chan []string)
	go func() {
		defer close(read) // if it fails
		read <- values(t, p)
	}()
	<-disk.reading
	for range 10 { // small ones and large ones, into new segments too
		mustAppend(t, p, batch("b", 1, 10))
		mustAppend(t, p, batch("c", 1, 5000))
	}
	if err := s.checkpoint(); err != nil {
		t.Fatal(err)
	}
	close(disk.goOn)
	if got := <-read; len(got) != 21 {
		t.Errorf("read %v", got)
	}
}
