package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/memconn"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// numbered is a request as it is sent, with its correlation id.
func numbered(id int32, req kmsg.Request) []byte {
	return kmsg.NewRequestFormatter().AppendRequest(nil, req, id)
}

// correlation is the next answer's id.
func correlation(t *testing.T, r io.Reader) int32 {
	t.Helper()
	head := make([]byte, 8)
	if _, err := io.ReadFull(r, head); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(head))-4); err != nil {
		t.Fatal(err)
	}
	return int32(binary.BigEndian.Uint32(head[4:]))
}

// TestProducerThatWantsNoAnswerGetsNone sends a request with acks 0 before
// another, so that both are read at once, and one after the other.
func TestProducerThatWantsNoAnswerGetsNone(t *testing.T) {
	c := running(t, storage.Options{}, "t", "source")
	batch := aBatch(t, c.server.store.Topic("source").Partition(0))
	silent, loud := producedTo(batch, map[string][]int32{"t": {0}}, "t"), producedTo(batch, map[string][]int32{"t": {0}}, "t")
	silent.Acks = 0
	for what, sent := range map[string][][]byte{
		"at once":             {slices.Concat(numbered(1, silent), numbered(2, loud))},
		"one after the other": {numbered(1, silent), numbered(2, loud)},
	} {
		before := c.server.store.Topic("t").Partition(0).High()
		client, server := net.Pipe()
		defer client.Close()
		if err := c.server.Attach(t.Context(), server); err != nil {
			t.Fatal(err)
		}
		if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		for _, b := range sent {
			if _, err := client.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if id := correlation(t, client); id != 2 {
			t.Errorf("%s: request %d was answered first", what, id)
		}
		if n := c.server.store.Topic("t").Partition(0).High() - before; n != 2 {
			t.Errorf("%s: %d batches are there", what, n)
		}
	}
}

// attached is a client's end of a connection to the server.
func attached(t *testing.T, s *Server) net.Conn {
	t.Helper()
	client, server := memconn.Pipe("peer:1", 1<<20)
	if err := s.Attach(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return client
}

// fetchOf is a request that waits a minute for something to read in partition
// 0 of a topic.
func fetchOf(topic string) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 12, 60_000, 1, 1<<20
	rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
	rt.Topic, rp.PartitionMaxBytes = topic, 1<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

// TestBatchBehindAFetchThatWaitsIsDurableAndAnsweredAfterIt sends a produce
// request behind a fetch that waits: a reader on another connection sees the
// batch long before its producer is told of it.
func TestBatchBehindAFetchThatWaitsIsDurableAndAnsweredAfterIt(t *testing.T) {
	for what, o := range map[string]storage.Options{
		"journal":    {JournalBytes: 1 << 20},
		"no journal": {},
	} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, read together %t", what, together), func(t *testing.T) {
				s := running(t, o, "late", "t", "source").server
				batch := aBatch(t, s.store.Topic("source").Partition(0))
				to := func(id int32, topic string) []byte {
					return numbered(id, producedTo(batch, map[string][]int32{topic: {0}}, topic))
				}
				first, other := attached(t, s), attached(t, s)
				sent := [][]byte{numbered(1, fetchOf("late")), to(2, "t")}
				if together {
					sent = [][]byte{slices.Concat(sent...)}
				}
				for _, b := range sent {
					if _, err := first.Write(b); err != nil {
						t.Fatal(err)
					}
				}
				for i, b := range [][]byte{numbered(0, fetchOf("t")), to(1, "late")} {
					if _, err := other.Write(b); err != nil {
						t.Fatal(err)
					}
					if id := correlation(t, other); id != int32(i) {
						t.Errorf("the other connection: request %d was answered, not %d", id, i)
					}
				}
				for want := int32(1); want <= 2; want++ {
					if id := correlation(t, first); id != want {
						t.Errorf("request %d was answered before %d", id, want)
					}
				}
			})
		}
	}
}

// TestWhoHasReadAnswersWhenNobodyIsBefore looks at who answers a small produce
// request whose batch needs no wait: behind another it must be the writer, who
// answers in order.
func TestWhoHasReadAnswersWhenNobodyIsBefore(t *testing.T) {
	for what, of := range map[string]struct {
		waiting int32 // requests that are to be answered before
		behind  int   // bytes of the next request that are there
		writer  bool
	}{
		"alone":          {0, 0, false},
		"behind a fetch": {1, 0, true},
		"one of many":    {0, 1, true},
	} {
		t.Run(what, func(t *testing.T) {
			c := running(t, storage.Options{Relaxed: true}, "t", "source")
			batch := aBatch(t, c.server.store.Topic("source").Partition(0))
			b := numbered(1, producedTo(batch, map[string][]int32{"t": {0}}, "t"))
			client, server := memconn.Pipe("peer:1", 1<<20)
			c.net = server
			c.waiting.Store(of.waiting)
			if _, err := client.Write(append(b, make([]byte, of.behind)...)); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out := make(chan pending, 1)
			if err := c.next(ctx, bufio.NewReader(server), out); err != nil {
				t.Fatal(err)
			}
			if writer := len(out) == 1; writer != of.writer {
				t.Errorf("handed to the writer: %t", writer)
			}
			_ = server.Close()
			if got, err := io.ReadAll(client); err != nil || (len(got) == 0) != of.writer {
				t.Errorf("answered with %d bytes, %v", len(got), err)
			}
		})
	}
}
