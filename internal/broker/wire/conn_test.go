package wire

import (
	"context"
	"encoding/binary"
	"io/fs"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// hangingJournal is a disk on which syncs of the journal hang, once it is
// told to, until they may go on.
type hangingJournal struct {
	storage.FS
	hangs, hung, goOn chan struct{}
	once              *sync.Once
}

type hangingFile struct {
	storage.File
	disk hangingJournal
}

func (d hangingJournal) OpenFile(name string, flag int, perm fs.FileMode) (storage.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err == nil && strings.HasSuffix(name, ".journal") {
		f = hangingFile{f, d}
	}
	return f, err
}

func (f hangingFile) Sync() error {
	select {
	case <-f.disk.hangs:
		f.disk.once.Do(func() { close(f.disk.hung) })
		<-f.disk.goOn
	default:
	}
	return f.File.Sync()
}

// connections tells how many there are whenever that changes.
type connections struct {
	noMetrics
	changed chan int
}

func (c connections) Connections(change int) { c.changed <- change }

// aBatch is a batch of one record, as the store has it.
func aBatch(t *testing.T, p *storage.Partition) []byte {
	t.Helper()
	_, c, err := p.AppendRecords([]storage.KeyValue{{Value: []byte("v")}})
	if err == nil {
		err = c.Wait(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Read(nil, 0, 1<<20, true)
	if err != nil || len(b) == 0 {
		t.Fatalf("read %d bytes: %v", len(b), err)
	}
	return b
}

// TestClientThatLeavesIsNoticedWhileTheDiskHangs has one client's batch
// written by a sync that hangs, and another leave that waits for the next: its
// connection counts against the limit until somebody sees that it is gone.
func TestClientThatLeavesIsNoticedWhileTheDiskHangs(t *testing.T) {
	disk := hangingJournal{FS: storage.OS{}, hangs: make(chan struct{}), hung: make(chan struct{}), goOn: make(chan struct{}), once: new(sync.Once)}
	store := storage.New(storage.Options{Dir: t.TempDir(), FS: disk, JournalBytes: 1 << 20, MinFree: -1, Checkpoint: time.Hour})
	if err := store.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stored := make(chan error, 1)
	go func() { stored <- store.Run(ctx) }()
	topic, err := store.Create(storage.TopicSpec{Name: "t", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	m := connections{changed: make(chan int, 10)}
	s := New(Config{Metrics: m}, store, groups.New(groups.Config{}, noLog{}))
	frame := produceFrame(8, produceTopic("t", aBatch(t, topic.Partition(0))))
	frame = append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
	send := func() net.Conn {
		client, server := net.Pipe()
		if err := s.Attach(ctx, server); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(frame); err != nil {
			t.Fatal(err)
		}
		<-m.changed
		return client
	}
	close(disk.hangs)
	first := send()
	<-disk.hung
	second := send()
	for deadline := time.After(10 * time.Second); topic.Partition(0).Size() < int64(3*len(frame)/2); {
		select { // both are appended
		case <-deadline:
			t.Fatal("the second batch is not appended")
		case <-time.After(time.Millisecond):
		}
	}
	_ = second.Close()
	select {
	case <-m.changed:
	case <-time.After(10 * time.Second):
		t.Error("a client that is gone keeps its connection")
	}
	close(disk.goOn)
	_ = first.Close()
	cancel()
	s.Close()
	if err := <-stored; err != nil {
		t.Error(err)
	}
}
