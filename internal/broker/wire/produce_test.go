package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// produceFrame is a produce request as kmsg encodes it, without its length.
func produceFrame(version int16, topics ...kmsg.ProduceRequestTopic) []byte {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.Topics = version, -1, topics
	b := kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, req, 7)
	return b[4:]
}

func produceTopic(name string, batches ...[]byte) kmsg.ProduceRequestTopic {
	t := kmsg.NewProduceRequestTopic()
	t.Topic = name
	for i, b := range batches {
		p := kmsg.NewProduceRequestTopicPartition()
		p.Partition, p.Records = int32(i), b
		t.Partitions = append(t.Partitions, p)
	}
	return t
}

// producer is a signed-in connection to a server with the topic t of two
// partitions. Its store is not running, so nothing becomes durable.
func producer(t *testing.T) *conn {
	t.Helper()
	store := storage.New(storage.Options{Dir: t.TempDir()})
	if err := store.Open(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(storage.TopicSpec{Name: "t", Partitions: 2}); err != nil {
		t.Fatal(err)
	}
	return &conn{server: New(Config{}, store, groups.New(groups.Config{}, noLog{})), signedIn: true}
}

func receive(t *testing.T, c *conn, r io.Reader, size int) (pending, error) {
	t.Helper()
	return c.receive(t.Context(), bufio.NewReader(r), int16(kmsg.Produce), size)
}

// TestProduceIsReadAsKmsgWritesIt holds the reader that takes batches as they
// arrive to kmsg's encoding, in every version.
func TestProduceIsReadAsKmsgWritesIt(t *testing.T) {
	c := producer(t)
	a := c.server.apis[int16(kmsg.Produce)]
	for v := a.min; v <= a.max; v++ {
		frame := produceFrame(v, produceTopic("other", []byte("one"), nil, []byte("three")), produceTopic("t", []byte("no batch")), produceTopic("empty"))
		p, err := receive(t, c, bytes.NewReader(frame), len(frame))
		if err != nil {
			t.Fatalf("version %d: %v", v, err)
		}
		got := map[string][]int16{}
		for _, rt := range p.reply(t.Context()).(*kmsg.ProduceResponse).Topics {
			got[rt.Topic] = []int16{}
			for i, rp := range rt.Partitions {
				if int(rp.Partition) != i || rp.BaseOffset != -1 {
					t.Errorf("version %d: partition %d at offset %d is answered in the place of %d", v, rp.Partition, rp.BaseOffset, i)
				}
				got[rt.Topic] = append(got[rt.Topic], rp.ErrorCode)
			}
		}
		unknown, refused := code.UnknownTopicOrPartition, code.InvalidRecord
		if v < firstRecordBatch {
			unknown, refused = code.UnsupportedForMessage, code.UnsupportedForMessage
		}
		want := map[string][]int16{"other": {unknown, unknown, unknown}, "t": {refused}, "empty": {}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("version %d: %s", v, diff)
		}
		if p.correlationID != 7 {
			t.Errorf("version %d: correlation id %d", v, p.correlationID)
		}
		for n := minFrame; n < len(frame); n++ {
			if _, err := receive(t, c, bytes.NewReader(frame[:n]), n); !errors.Is(err, errFrame) {
				t.Errorf("version %d: %d of %d bytes: %v", v, n, len(frame), err)
			}
			if _, err := receive(t, c, bytes.NewReader(frame[:n]), len(frame)); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("version %d: a connection that ends after %d of %d bytes: %v", v, n, len(frame), err)
			}
		}
	}
}

// TestWhatIsTooLargeTakesNoMemory lets a batch be announced that a topic does
// not take: it is passed over, and what follows it is served.
func TestWhatIsTooLargeTakesNoMemory(t *testing.T) {
	c := producer(t)
	const size = 64 << 20
	frame := produceFrame(8, produceTopic("t", make([]byte, size), []byte("no batch")))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := receive(t, c, bytes.NewReader(frame), len(frame))
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	rp := p.reply(t.Context()).(*kmsg.ProduceResponse).Topics[0].Partitions
	if rp[0].ErrorCode != code.MessageTooLarge || rp[1].ErrorCode != code.InvalidRecord {
		t.Errorf("answered with %d and %d", rp[0].ErrorCode, rp[1].ErrorCode)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated", n)
	}
}

func TestProduceBoundsItsPartitions(t *testing.T) {
	c := producer(t)
	frame := produceFrame(8)
	binary.BigEndian.PutUint32(frame[len(frame)-4:], math.MaxInt32)
	frame = append(frame, make([]byte, 6*(maxBatches+1))...) // topics without name and partitions
	if _, err := receive(t, c, bytes.NewReader(frame), len(frame)); !errors.Is(err, errFrame) {
		t.Errorf("%v", err)
	}
}

// TestClaimedBatchTakesNoShareOfTheMemory announces a batch larger than all
// that large batches may take together: to wait for so much would be for ever.
func TestClaimedBatchTakesNoShareOfTheMemory(t *testing.T) {
	c := producer(t)
	c.server.memory = newWeight(8 << 20)
	set := map[string]string{storage.ConfigMaxMessageBytes: "268435456"}
	if _, err := c.server.store.Create(storage.TopicSpec{Name: "large", Partitions: 1, Config: set}); err != nil {
		t.Fatal(err)
	}
	frame := produceFrame(8, produceTopic("large", nil))
	binary.BigEndian.PutUint32(frame[len(frame)-4:], 100<<20)
	ended := make(chan error, 1)
	go func() {
		_, err := c.receive(t.Context(), bufio.NewReader(bytes.NewReader(frame)), int16(kmsg.Produce), len(frame))
		ended <- err
	}()
	select {
	case err := <-ended:
		if !errors.Is(err, errFrame) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for memory that there is not")
	}
}

// TestNamesTakeLittleMemory sends names of many megabytes: one, and many.
func TestNamesTakeLittleMemory(t *testing.T) {
	c := producer(t)
	var many []kmsg.ProduceRequestTopic
	for range 2000 {
		many = append(many, produceTopic(strings.Repeat("x", math.MaxInt16)))
	}
	for name, frame := range map[string][]byte{
		"one":  produceFrame(9, produceTopic(strings.Repeat("x", 64<<20))),
		"many": produceFrame(8, many...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := receive(t, c, bytes.NewReader(frame), len(frame))
		runtime.ReadMemStats(&after)
		if !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 4*maxPlain {
			t.Errorf("%s: %d bytes were allocated", name, n)
		}
	}
}
