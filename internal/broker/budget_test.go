package broker_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
)

// member joins a group that reads the topic, and commits only when told to.
func (r *running) member(t *testing.T, group, topic string) (commit func()) {
	t.Helper()
	cl := r.client(t, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(50*time.Millisecond))
	poll := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		for ctx.Err() == nil {
			cl.PollFetches(ctx)
		}
	}
	poll()
	return func() {
		poll()
		if err := cl.CommitUncommittedOffsets(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// sendUntilRefused produces records of about 8 KB from outside, each tried
// once, and returns how many were taken.
func sendUntilRefused(t *testing.T, cl *kgo.Client, topic string, most int) (taken int, refused error) {
	t.Helper()
	for n := range most {
		r := &kgo.Record{Topic: topic, Value: []byte(strings.Repeat("v", 8000))}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			return n, err
		}
	}
	return most, nil
}

func await(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !check(); <-time.After(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

func TestBudgetWaitsForTheGroupsOfTheProgramAndNoOthers(t *testing.T) {
	const budget = 2 << 20
	r := start(t, broker.Config{
		Listen: "127.0.0.1:0", Open: true, Budget: budget,
		Keep: func(group string) bool { return strings.HasPrefix(group, "own-") },
	})
	inside := r.client(t)
	size := "65536"
	createTopic(t, inside, "in", 1, map[string]*string{"segment.bytes": &size})
	createTopic(t, inside, "elsewhere", 1, map[string]*string{"segment.bytes": &size})
	outside, err := kgo.NewClient(kgo.SeedBrokers(r.Addr().String()), kgo.RecordRetries(0), kgo.DisableIdempotentWrite(),
		kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(outside.Close)

	r.member(t, "stranger", "in") // reads, and never commits
	if taken, err := sendUntilRefused(t, outside, "in", 3*budget/8000); err != nil {
		t.Fatalf("a stranger's group has intake refused after %d records: %v", taken, err)
	}
	commit := r.member(t, "own-client", "in")
	if _, err := sendUntilRefused(t, outside, "elsewhere", 10); err != nil {
		t.Fatalf("a new group has intake refused for what there was before it: %v", err)
	}
	commit()
	taken, err := sendUntilRefused(t, outside, "in", 3*budget/8000)
	if !errors.Is(err, kerr.KafkaStorageError) {
		t.Fatalf("after %d unread records: %v", taken, err)
	}
	if _, err := sendUntilRefused(t, outside, "elsewhere", 1); !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("another topic: %v", err)
	}
	// A client within the process goes on: what it reads is freed by what it writes.
	if err := inside.ProduceSync(t.Context(), &kgo.Record{Topic: "elsewhere", Value: []byte("v")}).FirstErr(); err != nil {
		t.Errorf("a client within: %v", err)
	}
	await(t, "health to say why", func() bool {
		for _, s := range r.health.All() {
			if s.Level == obs.Degraded && strings.Contains(s.Message, "most by own-client") {
				return true
			}
		}
		return false
	})
	commit()
	await(t, "intake to go on", func() bool { return r.Refused() == nil })
	if _, err := sendUntilRefused(t, outside, "in", 1); err != nil {
		t.Errorf("after the client has read: %v", err)
	}
	if n := r.Size(); n > budget+budget/8 {
		t.Errorf("%d bytes are kept with a budget of %d", n, budget)
	}
}
