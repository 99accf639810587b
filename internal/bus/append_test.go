package bus_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/fault"
)

// soon is how long anything may take that must not take for ever.
const soon = 40 * time.Second

// appended appends as every caller does: again, until it is acknowledged.
func appended(t *testing.T, b *bus.Bus, records ...*bus.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	for {
		err := b.Append(ctx, records...)
		if err == nil {
			return
		}
		if ctx.Err() != nil || fault.Of(err).Class != fault.Retry {
			t.Fatalf("not appended: %v", err)
		}
	}
}

// within fails the test when f takes longer than anything may.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(soon):
		t.Fatalf("%s hangs", what)
	}
}

func TestATopicMadeAnewIsAppendedTo(t *testing.T) {
	b := bustest.Open(t)
	appended(t, b, record(bus.TopicJSON, "k", "before", "x:y:1"))
	if err := b.DeleteTopics(t.Context(), bus.TopicJSON); err != nil {
		t.Fatal(err)
	}
	if err := b.Ensure(t.Context(), bus.Catalogue()...); err != nil {
		t.Fatal(err)
	}
	appended(t, b, record(bus.TopicSyslog, "k", "the library looks at all topics again", "x:y:1"))
	appended(t, b, record(bus.TopicJSON, "k", "after", "x:y:2"))
	if all := bustest.All(t, b, bus.TopicJSON); len(all) == 0 || string(all[len(all)-1].Value) != "after" {
		t.Errorf("the topic has %d records", len(all))
	}
}

func TestATopicThatIsNotThereIsAnErrorSoon(t *testing.T) {
	b := bustest.Open(t)
	within(t, "appending", func() {
		err := b.Append(t.Context(), record("never_made", "k", "v", "x:y:1"))
		if e := fault.Of(err); err == nil || e.Class != fault.Retry || e.Code != bus.CodeUnknownTopic {
			t.Errorf("err = %v", err)
		}
	})
}

// TestAnotherCallersEndIsNoError has two callers wait for one topic; the
// library ends the wait of both when that of the first is over.
func TestAnotherCallersEndIsNoError(t *testing.T) {
	b := bustest.Open(t)
	first, end := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() { _ = b.Append(first, record("never_made", "k", "v", "x:y:1")) }) // it is meant to fail
	calls.Go(func() {
		if err := b.Append(t.Context(), record("never_made", "k", "v", "x:y:2")); fault.Of(err).Class != fault.Retry || fault.Of(err).Code == fault.CodeUnknown {
			t.Errorf("err = %v", err)
		}
	})
	end()
	within(t, "appending", calls.Wait)
}

func TestAppendEndsWithItsContextWhileTheLogIsSilent(t *testing.T) {
	l := openSilent(t)
	b := bustest.OpenConfig(t, bus.Config{Brokers: []string{l.address()}, Buffer: 1 << 20})
	appended(t, b, record(bus.TopicJSON, "k", "before", "x:y:1"))
	l.silence(true)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	var calls sync.WaitGroup
	for range 5 { // the first are in flight, the last find the buffer full
		calls.Go(func() {
			r := record(bus.TopicJSON, "k", "", "x:y:2")
			r.Value = bytes.Repeat([]byte("v"), 300<<10)
			if err := b.Append(ctx, r); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v", err)
			}
		})
	}
	within(t, "appending", calls.Wait)
	l.silence(false)
	appended(t, b, record(bus.TopicJSON, "k", "after", "x:y:3"))
}

func TestAppendGoesOnWhenTheLogAnswersAgain(t *testing.T) {
	l := openSilent(t)
	b := bustest.OpenConfig(t, bus.Config{Brokers: []string{l.address()}, Buffer: 1 << 20})
	appended(t, b, record(bus.TopicJSON, "k", "before", "x:y:1"))
	l.silence(true)
	var calls sync.WaitGroup
	for range 8 {
		calls.Go(func() {
			r := record(bus.TopicJSON, "k", "", "x:y:2")
			r.Value = bytes.Repeat([]byte("v"), 300<<10)
			appended(t, b, r)
		})
	}
	select { // long enough for the buffer to be full
	case <-time.After(time.Second):
	case <-t.Context().Done():
	}
	l.silence(false)
	within(t, "appending", calls.Wait)
}

// TestNoErrorOfTheLogIsTheEnd has a log answer with each error once, as a
// cluster may while brokers come and go or forget producers.
func TestNoErrorOfTheLogIsTheEnd(t *testing.T) {
	for _, answer := range []*kerr.Error{
		kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.RequestTimedOut, kerr.NotEnoughReplicas,
		kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID,
		kerr.OutOfOrderSequenceNumber, kerr.UnknownProducerID, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping,
		kerr.ProducerFenced, kerr.FencedLeaderEpoch, kerr.UnknownServerError, kerr.CorruptMessage,
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.ThrottlingQuotaExceeded,
	} {
		t.Run(answer.Message, func(t *testing.T) {
			t.Parallel()
			log, err := kfake.NewCluster(kfake.NumBrokers(1))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(log.Close)
			b := bustest.OpenConfig(t, bus.Config{Brokers: log.ListenAddrs()})
			appended(t, b, record(bus.TopicJSON, "k", "before", "x:y:1"))
			log.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
				return refuse(request.(*kmsg.ProduceRequest), answer.Code), nil, true
			})
			appended(t, b, record(bus.TopicJSON, "k", "during", "x:y:2"))
			appended(t, b, record(bus.TopicJSON, "k", "after", "x:y:3"))
			var values []string
			for _, r := range bustest.All(t, b, bus.TopicJSON) {
				values = append(values, string(r.Value))
			}
			if len(values) < 3 {
				t.Errorf("the log has %v", values)
			}
		})
	}
}

func refuse(request *kmsg.ProduceRequest, code int16) kmsg.Response {
	answer := request.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range request.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, code
			topic.Partitions = append(topic.Partitions, partition)
		}
		answer.Topics = append(answer.Topics, topic)
	}
	return answer
}

// silent stands before an embedded log and lets nothing through while told so,
// as a network does that loses everything.
type silent struct {
	listener net.Listener
	log      *bus.Bus
	mu       sync.Mutex
	open     chan struct{} // closed while all passes
}

func openSilent(t *testing.T) *silent {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &silent{listener: l, open: make(chan struct{})}
	close(s.open)
	s.log = bustest.OpenConfig(t, bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Advertise: l.Addr().String(), Open: true, Relaxed: true})
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", s.log.Address())
			if err != nil {
				_ = c.Close()
				continue
			}
			go s.pass(up, c)
			go s.pass(c, up)
		}
	}()
	return s
}

func (s *silent) address() string { return s.listener.Addr().String() }

func (s *silent) silence(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if on {
		s.open = make(chan struct{})
	} else {
		close(s.open)
	}
}

func (s *silent) pass(to io.WriteCloser, from io.ReadCloser) {
	defer to.Close()
	defer from.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		s.mu.Lock()
		open := s.open
		s.mu.Unlock()
		<-open
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}
