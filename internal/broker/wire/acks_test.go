package wire

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// failingFolder is a disk on which nothing in one folder can be synced.
type failingFolder struct {
	storage.FS
	folder string
}

type failingFile struct{ storage.File }

func (d failingFolder) OpenFile(name string, flag int, perm fs.FileMode) (storage.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err == nil && strings.Contains(name, d.folder) {
		f = failingFile{f}
	}
	return f, err
}

func (failingFile) Sync() error { return syscall.EIO }

// running is a signed-in connection to a server whose store runs, without a
// journal unless one is asked for, until the test ends, with topics of two
// partitions.
func running(t *testing.T, o storage.Options, topics ...string) *conn {
	t.Helper()
	o.Dir, o.MinFree, o.Checkpoint, o.Reopen = t.TempDir(), -1, time.Hour, time.Hour
	if o.JournalBytes == 0 {
		o.JournalMaxBatch = -1
	}
	store := storage.New(o)
	if err := store.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = store.Run(ctx) // the disk may fail when it closes, too
	}()
	t.Cleanup(func() { cancel(); <-ended })
	for _, name := range topics {
		if _, err := store.Create(storage.TopicSpec{Name: name, Partitions: 2}); err != nil {
			t.Fatal(err)
		}
	}
	return &conn{server: New(Config{}, store, groups.New(groups.Config{}, noLog{})), signedIn: true}
}

// producedTo is a request that appends the batch to partitions of topics.
func producedTo(batch []byte, partitions map[string][]int32, order ...string) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks = 9, -1
	for _, name := range order {
		t := kmsg.NewProduceRequestTopic()
		t.Topic = name
		for _, i := range partitions[name] {
			p := kmsg.NewProduceRequestTopicPartition()
			p.Partition, p.Records = i, bytes.Clone(batch)
			t.Partitions = append(t.Partitions, p)
		}
		req.Topics = append(req.Topics, t)
	}
	return req
}

// answers are a produce request's, in order: place, offset and error code.
func answers(t *testing.T, c *conn, req *kmsg.ProduceRequest) (out []string) {
	t.Helper()
	frame := encoded(req)
	p, err := receive(t, c, bytes.NewReader(frame), len(frame))
	if err != nil {
		t.Fatal(err)
	}
	for _, rt := range p.reply(t.Context()).(*kmsg.ProduceResponse).Topics {
		for _, rp := range rt.Partitions {
			out = append(out, place(rt.Topic, rp.Partition, rp.BaseOffset, rp.ErrorCode))
		}
	}
	return out
}

func place(topic string, partition int32, offset int64, c int16) string {
	return fmt.Sprintf("%s/%d at %d: %d", topic, partition, offset, c)
}

// TestBatchThatIsLostIsAnsweredInItsPlace has the disk of one partition fail,
// each in turn, behind places that are refused at once.
func TestBatchThatIsLostIsAnsweredInItsPlace(t *testing.T) {
	for _, lost := range []string{"a/0", "a/1", "b/0", "b/1"} {
		t.Run(lost, func(t *testing.T) {
			c := running(t, storage.Options{FS: failingFolder{storage.OS{}, "topics/" + lost + "/"}}, "a", "b", "source")
			batch := aBatch(t, c.server.store.Topic("source").Partition(0))
			req := producedTo(batch, map[string][]int32{"unknown": {0}, "a": {1, 0}, "b": {7, 0, 1}}, "unknown", "a", "b")
			want := []string{place("unknown", 0, -1, code.UnknownTopicOrPartition)}
			for _, rt := range req.Topics[1:] {
				for _, rp := range rt.Partitions {
					answer := place(rt.Topic, rp.Partition, 0, code.None)
					switch {
					case rp.Partition == 7:
						answer = place(rt.Topic, 7, -1, code.UnknownTopicOrPartition)
					case fmt.Sprint(rt.Topic, "/", rp.Partition) == lost:
						answer = place(rt.Topic, rp.Partition, -1, code.KafkaStorageError)
					}
					want = append(want, answer)
				}
			}
			if diff := cmp.Diff(want, answers(t, c, req)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWhatRefusesARequestRefusesAllOfIt tells what is wrong with a request from
// what is wrong with one of its places.
func TestWhatRefusesARequestRefusesAllOfIt(t *testing.T) {
	acks := func(n int16) func(*kmsg.ProduceRequest) { return func(r *kmsg.ProduceRequest) { r.Acks = n } }
	for name, of := range map[string]struct {
		change  func(*kmsg.ProduceRequest)
		refused int16
	}{
		"acks 2":           {acks(2), code.InvalidRequiredAcks},
		"acks -2":          {acks(-2), code.InvalidRequiredAcks},
		"transactional id": {func(r *kmsg.ProduceRequest) { r.TransactionID = new("id") }, code.InvalidRequest},
		"acks 1":           {acks(1), code.None},
		"acks -1":          {acks(-1), code.None},
	} {
		for _, version := range []int16{firstRecordBatch, 9} {
			t.Run(fmt.Sprintf("%s, version %d", name, version), func(t *testing.T) {
				c := running(t, storage.Options{}, "t", "source")
				batch := aBatch(t, c.server.store.Topic("source").Partition(0))
				req := producedTo(batch, map[string][]int32{"t": {0, 7, 1}}, "t")
				req.Version = version
				of.change(req)
				size := int64(len(batch))
				want := []string{place("t", 0, 0, code.None), place("t", 7, -1, code.UnknownTopicOrPartition), place("t", 1, 0, code.None)}
				if of.refused != code.None {
					size = 0
					want = []string{place("t", 0, -1, of.refused), place("t", 7, -1, of.refused), place("t", 1, -1, of.refused)}
				}
				if diff := cmp.Diff(want, answers(t, c, req)); diff != "" {
					t.Error(diff)
				}
				for _, p := range c.server.store.Topic("t").Partitions() {
					if p.Size() != size {
						t.Errorf("partition %d has %d bytes, not %d", p.Index(), p.Size(), size)
					}
				}
			})
		}
	}
}
