package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
)

// scope reports to the test's output when it is verbose.
func scope() obs.Scope {
	s := obs.Scope{Health: &obs.Health{}}
	if testing.Verbose() {
		s.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return s
}

// running is a broker under test.
type running struct {
	*broker.Broker
	health *obs.Health
	stop   func()
}

// start runs a broker until the test ends, or stop is called.
func start(t *testing.T, cfg broker.Config) *running {
	t.Helper()
	if cfg.DataDir == "" {
		cfg.DataDir = t.TempDir()
	}
	if cfg.Storage.JournalBytes == 0 {
		cfg.Storage.JournalBytes = 1 << 20
	}
	cfg.MinFree = -1
	scope := scope()
	b, err := broker.New(cfg, scope)
	if err != nil {
		t.Fatal(err)
	}
	// Not the test's context: clients that close in a cleanup still need it.
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stopped := false
	r := &running{Broker: b, health: scope.Health, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("running broker: %v", err)
		}
	}}
	t.Cleanup(r.stop)
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatalf("broker did not start: %v", err)
	case <-time.After(30 * time.Second):
		t.Fatal("broker is not ready")
	}
	return r
}

// client is a franz-go client over the embedded connection.
func (r *running) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(broker.Embedded), kgo.Dialer(r.Dial)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func createTopic(t *testing.T, cl *kgo.Client, name string, partitions int32, config map[string]*string) {
	t.Helper()
	resp, err := kadm.NewClient(cl).CreateTopic(t.Context(), partitions, 1, config, name)
	if err != nil || resp.Err != nil {
		t.Fatalf("creating topic %s: %v %v", name, err, resp.Err)
	}
}

func produce(t *testing.T, cl *kgo.Client, topic string, from, n int) {
	t.Helper()
	var records []*kgo.Record
	for i := from; i < from+n; i++ {
		records = append(records, &kgo.Record{Topic: topic, Key: fmt.Append(nil, i), Value: []byte(fmt.Sprintf("value-%d-%s", i, strings.Repeat("x", i%500)))})
	}
	if err := cl.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
		t.Fatalf("producing: %v", err)
	}
}

// consume reads n records.
func consume(t *testing.T, cl *kgo.Client, n int) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
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

func TestWhatIsProducedIsConsumedAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	r := start(t, broker.Config{DataDir: dir})
	cl := r.client(t)
	createTopic(t, cl, "events", 3, nil)
	produce(t, cl, "events", 0, 5000)
	got := consume(t, r.client(t, kgo.ConsumeTopics("events")), 5000)
	checkEach(t, got, 5000)
	cl.Close()
	r.stop()

	r = start(t, broker.Config{DataDir: dir})
	cl = r.client(t, kgo.ConsumeTopics("events"))
	produce(t, cl, "events", 5000, 100)
	checkEach(t, consume(t, cl, 5100), 5100)
}

// checkEach wants every value of 0 to n-1 once.
func checkEach(t *testing.T, got []*kgo.Record, n int) {
	t.Helper()
	seen := map[string]int{}
	for _, r := range got {
		seen[string(r.Key)]++
	}
	for i := range n {
		if k := strconv.Itoa(i); seen[k] != 1 {
			t.Fatalf("record %d was read %d times", i, seen[k])
		}
	}
}

func TestGroupGoesOnWhereItCommitted(t *testing.T) {
	dir := t.TempDir()
	r := start(t, broker.Config{DataDir: dir})
	cl := r.client(t)
	createTopic(t, cl, "events", 3, nil)
	produce(t, cl, "events", 0, 1000)
	g := r.client(t, kgo.ConsumeTopics("events"), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit())
	consume(t, g, 1000)
	if err := g.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.Close()
	r.stop()

	r = start(t, broker.Config{DataDir: dir})
	g = r.client(t, kgo.ConsumeTopics("events"), kgo.ConsumerGroup("g"))
	produce(t, g, "events", 1000, 10)
	for _, rec := range consume(t, g, 10) {
		if strings.HasPrefix(string(rec.Value), "value-1") && len(rec.Key) < 4 {
			t.Fatalf("record %s was read again", rec.Key)
		}
	}
}

func TestTheBrokersOwnTopicIsNotForClients(t *testing.T) {
	r := start(t, broker.Config{})
	cl := r.client(t)
	adm := kadm.NewClient(cl)
	const own = "__consumer_offsets"
	policy := "delete"
	if rs, err := adm.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &policy}}, own); err != nil || rs[0].Err == nil {
		t.Errorf("its configuration was changed: %v", err)
	}
	if rs, err := adm.CreatePartitions(t.Context(), 2, own); err != nil || rs[own].Err == nil {
		t.Errorf("it got partitions: %v", err)
	}
	if rs, err := adm.DeleteTopics(t.Context(), own); err != nil || rs[own].Err == nil {
		t.Errorf("it was deleted: %v", err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: own, Key: []byte("k"), Value: []byte("v")}).FirstErr(); err == nil {
		t.Error("it was written to")
	}
}

// ingestTopics has topics made whose names end so.
func ingestTopics(name string) (broker.TopicSpec, bool) {
	return broker.TopicSpec{Partitions: 2, Config: map[string]string{"decoder.budget": "last"}}, strings.HasSuffix(name, "_ingest")
}

func TestUnknownTopicsAreMadeOnlyWhereAllowed(t *testing.T) {
	r := start(t, broker.Config{AutoCreate: ingestTopics})
	cl := r.client(t, kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0), kgo.RecordDeliveryTimeout(5*time.Second))
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "json_ingest", Value: []byte("v")}).FirstErr(); err != nil {
		t.Errorf("an ingest topic: %v", err)
	}
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "anything", Value: []byte("v")}).FirstErr(); err == nil {
		t.Error("any topic was made")
	}
	for _, topic := range r.Topics() {
		if topic.Name == "json_ingest" && (len(topic.Partitions) != 2 || topic.Config["decoder.budget"] != "last") {
			t.Errorf("%+v", topic)
		}
	}
}
