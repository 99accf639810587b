// Package protocol runs one suite against the embedded log and against Apache
// Kafka: a client must not be able to tell them apart. Where they differ on
// purpose a test says so with differs, and docs/broker.md lists it.
package protocol

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/test/kafka"
)

// log is one of the two.
type log struct {
	addr    string
	isKafka bool
	topics  atomic.Int32
}

func TestEmbedded(t *testing.T) {
	b, err := broker.New(broker.Config{DataDir: t.TempDir(), Listen: "127.0.0.1:0", Open: true, MinFree: -1}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	suite(t, &log{addr: b.Addr().String()})
}

func TestApacheKafka(t *testing.T) {
	if testing.Short() {
		t.Skip("SKIPPED: -short")
	}
	suite(t, &log{addr: kafka.Start(t, kafka.Options{}).Addr(), isKafka: true})
}

func suite(t *testing.T, l *log) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *log)
	}{
		{"Compression", compression}, {"Duplicate", duplicate}, {"Sequence", sequence}, {"BadBatches", badBatches},
		{"ListOffsets", listOffsets}, {"Fetch", fetch}, {"LongPoll", longPoll}, {"DeleteRecords", deleteRecords},
		{"CreateTopics", createTopics}, {"Configs", configs}, {"Epochs", epochs}, {"Rebalance", rebalance},
		{"Cooperative", cooperative}, {"StaticMember", staticMember}, {"Offsets", offsets}, {"Fencing", fencing},
		{"DeletedTopic", deletedTopic}, {"Repeated", repeated}, {"Lists", lists}, {"TimesToCome", timesToCome},
		{"Unanswered", unanswered},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, l) })
	}
}

func (l *log) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(l.addr), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// topic makes a topic of its own for a test.
func (l *log) topic(t *testing.T, partitions int32, config ...string) string {
	t.Helper()
	set := map[string]*string{}
	for i := 0; i < len(config); i += 2 {
		set[config[i]] = &config[i+1]
	}
	name := fmt.Sprintf("topic-%d", l.topics.Add(1))
	r, err := kadm.NewClient(l.client(t)).CreateTopic(t.Context(), partitions, 1, set, name)
	if err != nil || r.Err != nil {
		t.Fatalf("creating topic: %v %v", err, r.Err)
	}
	adm := kadm.NewClient(l.client(t))
	await(t, "topic "+name+" is known everywhere", func() bool {
		o, err := adm.ListEndOffsets(t.Context(), name)
		cs, cerr := adm.DescribeTopicConfigs(t.Context(), name)
		return err == nil && o.Error() == nil && cerr == nil && len(cs) == 1 && cs[0].Err == nil
	})
	return name
}

// await asks until it is so: a cluster of Kafka tells nobody when all of it has
// heard of a change.
func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.After(20 * time.Second); !done(); {
		select {
		case <-deadline:
			t.Fatalf("waited in vain: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func put(t *testing.T, cl *kgo.Client, topic string, partition int32, n int) {
	t.Helper()
	var rs []*kgo.Record
	for i := range n {
		rs = append(rs, &kgo.Record{Topic: topic, Partition: partition, Key: fmt.Append(nil, i), Value: fmt.Appendf(nil, "value-%d", i)})
	}
	if err := cl.ProduceSync(t.Context(), rs...).FirstErr(); err != nil {
		t.Fatalf("producing: %v", err)
	}
}

func take(t *testing.T, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		out = append(out, fs.Records()...)
	}
	return out
}

// ask sends a request to the broker and fails the test when there is no answer.
func ask[R kmsg.Response](t *testing.T, cl *kgo.Client, req kmsg.Request) R {
	t.Helper()
	resp, err := cl.Request(t.Context(), req)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return resp.(R)
}

func want(t *testing.T, what string, got int16, errs ...*kerr.Error) {
	t.Helper()
	for _, e := range errs {
		if e == nil && got == 0 || e != nil && got == e.Code {
			return
		}
	}
	t.Errorf("%s: %v, want %v", what, kerr.ErrorForCode(got), errs)
}

// differs is what each of the two answers, where they differ on purpose.
func (l *log) differs(embedded, kafka *kerr.Error) []*kerr.Error {
	if l.isKafka {
		return []*kerr.Error{kafka}
	}
	return []*kerr.Error{embedded}
}

// errCode is the code of an error of the protocol.
func errCode(err error) int16 {
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return e.Code
	}
	if err != nil {
		return -1
	}
	return 0
}
