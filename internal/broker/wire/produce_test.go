package wire

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
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
	return encoded(req)
}

// encoded is a request as kmsg encodes it, without its length.
func encoded(req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("client")).AppendRequest(nil, req, 7)[4:]
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
// partitions. Its store is not running, so no small batch becomes durable.
func producer(t *testing.T) *conn {
	t.Helper()
	store := storage.New(storage.Options{Dir: t.TempDir()})
	if err := store.Open(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Create(storage.TopicSpec{Name: "t", Partitions: 2, Config: map[string]string{"max.message.bytes": "33554432"}}); err != nil {
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
		tagged := produceTopic("t", []byte("no batch"))
		tagged.UnknownTags.Set(7, []byte("of a version to come"))
		tagged.Partitions[0].UnknownTags.Set(200, []byte("another"))
		frame := produceFrame(v, produceTopic("other", []byte("one"), nil, []byte("three")), tagged, produceTopic("empty"))
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
		longer := append(bytes.Clone(frame), 0)
		if _, err := receive(t, c, bytes.NewReader(longer), len(longer)); !errors.Is(err, errFrame) {
			t.Errorf("version %d: a byte behind the end: %v", v, err)
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

// TestRefusedProducerIsAnsweredAfterAWhileAndAnEmbeddedOneAtOnce looks at when
// an answer comes that a client answers by sending the same again.
func TestRefusedProducerIsAnsweredAfterAWhileAndAnEmbeddedOneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := func(reply reply) time.Duration {
			began := time.Now()
			reply(t.Context())
			return time.Since(began)
		}
		full := storage.New(storage.Options{Dir: t.TempDir(), MinFree: math.MaxInt64 / 2})
		if err := full.Open(); err != nil {
			t.Fatal(err)
		}
		if _, err := full.Create(storage.TopicSpec{Name: "t", Partitions: 1}); err != nil {
			t.Fatal(err)
		}
		batch := aBatch(t, running(t, storage.Options{}, "source").server.store.Topic("source").Partition(0))
		for _, remote := range []bool{true, false} {
			c := &conn{server: New(Config{}, full, groups.New(groups.Config{}, noLog{})), signedIn: true, remote: remote}
			for _, err := range []error{storage.ErrDiskFull, storage.ErrUnread, storage.ErrTooLarge, storage.ErrOffline} {
				want := time.Duration(0)
				if remote && (errors.Is(err, storage.ErrDiskFull) || errors.Is(err, storage.ErrUnread)) {
					want = refusalDelay
				}
				p := producing{request: request{conn: c}, acks: -1}
				for range 2 { // the delay is one for all that is refused
					p.refuse(new(kmsg.ProduceResponseTopicPartition), fmt.Errorf("%w: for a reason", err))
				}
				if d := took(p.finish); d != want {
					t.Errorf("remote %t, %v: answered after %v", remote, err, d)
				}
			}
			frame := produceFrame(8, produceTopic("t", bytes.Clone(batch)))
			p, err := receive(t, c, bytes.NewReader(frame), len(frame))
			if err != nil {
				t.Fatal(err)
			}
			if d := took(p.reply); (d == refusalDelay) != remote || (d == 0) == remote {
				t.Errorf("remote %t: answered after %v", remote, d)
			}
			if remote && p.brief != nil {
				t.Error("who reads requests waits until the refusal is sent")
			}
		}
	})
}

func TestProduceBoundsItsPartitions(t *testing.T) {
	c := producer(t)
	for what, of := range map[string]struct {
		topics []kmsg.ProduceRequestTopic
		size   int // of one, without anything in it
	}{
		"topics":     {nil, 6},
		"partitions": {[]kmsg.ProduceRequestTopic{produceTopic("t")}, 8},
	} {
		frame := produceFrame(8, of.topics...)
		binary.BigEndian.PutUint32(frame[len(frame)-4:], maxBatches+1)
		frame = append(frame, make([]byte, of.size*(maxBatches+1))...)
		if _, err := receive(t, c, bytes.NewReader(frame), len(frame)); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", what, err)
		}
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

func TestProduceIsRefusedBeforeSignInAndInUnknownVersions(t *testing.T) {
	c := producer(t)
	frame := produceFrame(8, produceTopic("t", []byte("no batch")))
	if _, err := receive(t, c, bytes.NewReader(frame), len(frame)); err != nil {
		t.Fatal(err)
	}
	c.signedIn = false
	if _, err := receive(t, c, bytes.NewReader(frame), len(frame)); !errors.Is(err, errSignIn) {
		t.Errorf("before sign-in: %v", err)
	}
	c.signedIn = true
	frame[3] = 99
	if _, err := receive(t, c, bytes.NewReader(frame), len(frame)); !errors.Is(err, errFrame) {
		t.Errorf("version 99: %v", err)
	}
}

// TestLengthAloneTakesNoMemory has a batch announced that never comes.
func TestLengthAloneTakesNoMemory(t *testing.T) {
	c := producer(t)
	frame := produceFrame(8, produceTopic("t", make([]byte, 30<<20)))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := receive(t, c, bytes.NewReader(frame[:1000]), len(frame))
	runtime.ReadMemStats(&after)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("%d bytes were allocated for 1000", n)
	}
}

// TestLargeBatchesShareABound looks at the bound while a large batch is on its
// way, and after it has come, or will never come.
func TestLargeBatchesShareABound(t *testing.T) {
	const size = 4 << 20
	c := producer(t)
	left := func() int64 {
		c.server.memory.mu.Lock()
		defer c.server.memory.mu.Unlock()
		return c.server.memory.left
	}
	all := left()
	frame := produceFrame(8, produceTopic("t", make([]byte, size)))
	for _, whole := range []bool{true, false} {
		r, w := io.Pipe()
		done := make(chan error, 1)
		go func() {
			_, err := receive(t, c, r, len(frame))
			done <- err
		}()
		if _, err := w.Write(frame[:size/2]); err != nil { // it returns when all has been read
			t.Fatal(err)
		}
		if got := all - left(); got != size {
			t.Errorf("%d bytes are taken for a batch of %d", got, size)
		}
		if whole {
			if _, err := w.Write(frame[size/2:]); err != nil {
				t.Fatal(err)
			}
		} else if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; (err == nil) != whole {
			t.Error(err)
		}
		if got := all - left(); got != 0 {
			t.Errorf("whole %t: %d bytes are not given back", whole, got)
		}
	}
}

func TestWhoFindsNoRoomWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWeight(3)
		w.take(2)
		taken := false
		go func() {
			w.take(2)
			taken = true
		}()
		synctest.Wait()
		if taken {
			t.Error("more was taken than there is")
		}
		w.give(2)
		synctest.Wait()
		if !taken {
			t.Error("nobody is told of the room")
		}
	})
}

// TestPanicEndsOneConnectionAndNothingElse has a handler that panics, where it
// begins and where it answers.
func TestPanicEndsOneConnectionAndNothingElse(t *testing.T) {
	s := producer(t).server
	bug := func(context.Context) kmsg.Response { panic("a bug") }
	for what, handle := range map[string]func(request, kmsg.Request) reply{
		"beginning": func(r request, _ kmsg.Request) reply { return answered(bug(r.ctx)) },
		"answering": func(request, kmsg.Request) reply { return bug },
	} {
		s.apis[int16(kmsg.Heartbeat)] = api{max: 4, handle: handle}
		client, server := net.Pipe()
		defer client.Close()
		if err := s.Attach(t.Context(), server); err != nil {
			t.Fatal(err)
		}
		if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write(kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrHeartbeatRequest(), 7)); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(client); err != nil || len(b) != 0 {
			t.Errorf("%s: answered with %d bytes, %v", what, len(b), err)
		}
	}
	s.Close()
}
