package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
)

// clientSection measures what a client costs that hands every record of 1 KB
// on as it is: read from the log, handled, acknowledged by the log, committed.
// Ours and Benthos read the same topic of the same embedded log, one after the
// other, each with the records it has to itself.
func clientSection() section {
	return section{"client", "a stage that passes records of 1 KB on, and Benthos", benchClient}
}

const (
	clientOut  = "bench_ours"
	benthosOut = "bench_benthos"
)

// passing emits each record as it is.
type passing struct{}

func (passing) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	out.Emit(clientOut, in.Key, in.Value)
	return nil
}

func benchClient(ctx context.Context, r *report) error {
	records := 1_000_000
	if r.short {
		records = 200_000
	}
	dir, err := os.MkdirTemp("", "decoder-bench-client-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := bus.Open(ctx, bus.Config{Dir: dir, Listen: "127.0.0.1:0", Open: true}, obs.Scope{})
	if err != nil {
		return err
	}
	defer log.Close()
	for _, topic := range []string{clientOut, benthosOut} {
		if err := log.Ensure(ctx, bus.Lookup(topic)); err != nil {
			return err
		}
	}
	if err := fill(ctx, log, records); err != nil {
		return err
	}
	// In turns, so that what grows or is still under way in the log burdens both.
	const rounds = 3
	var ours, ourCPU, peer, peerCPU time.Duration
	for round := range rounds {
		clock, processor, err := timed(func() error { return passOurs(ctx, log, round) })
		if err != nil {
			return err
		}
		ours, ourCPU = ours+clock, ourCPU+processor
		clock, processor, err = timed(func() error { return passBenthos(ctx, log, round, records) })
		if err != nil {
			return err
		}
		peer, peerCPU = peer+clock, peerCPU+processor
	}
	for _, topic := range []string{clientOut, benthosOut} {
		if err := holds(ctx, log, topic, rounds*records); err != nil {
			return err
		}
	}
	rate := func(d time.Duration) float64 { return rounds * float64(records) / d.Seconds() }
	r.add("records passed on a second, all acknowledged", fmt.Sprintf("%.0f/s", rate(ours)),
		fmt.Sprintf("Benthos %.0f/s", rate(peer)), fmt.Sprintf("%.1f", rate(ours)/rate(peer)))
	r.add("the same for a second of processor time, the log's included", fmt.Sprintf("%.0f", rate(ourCPU)),
		fmt.Sprintf("Benthos %.0f", rate(peerCPU)), fmt.Sprintf("%.1f", rate(ourCPU)/rate(peerCPU)))
	return nil
}

// timed returns what f took, by the clock and in processor time.
func timed(f func() error) (clock, processor time.Duration, err error) {
	before, err := processorTime()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := f(); err != nil {
		return 0, 0, err
	}
	clock = time.Since(began)
	after, err := processorTime()
	return clock, after - before, err
}

func fill(ctx context.Context, log *bus.Bus, n int) error {
	value := bytes.Repeat([]byte(`{"event":{"kind":"event","module":"bench"},"n":`), 22)[:1000]
	var batch []*bus.Record
	for i := range n {
		batch = append(batch, &bus.Record{
			Topic: bus.TopicJSON, Key: fmt.Append(nil, "key-", i%1000), Value: fmt.Appendf(bytes.Clone(value), "%024d", i),
			Headers: []bus.Header{{Key: event.HeaderOrigin, Value: fmt.Append(nil, "bench:client:", i)}},
		})
		if len(batch) == 10_000 || i == n-1 {
			if err := log.Append(ctx, batch...); err != nil {
				return err
			}
			batch = nil
		}
	}
	return nil
}

func passOurs(ctx context.Context, log *bus.Bus, round int) error {
	runtime := client.NewRuntime(log, obs.Scope{})
	c, err := runtime.New(client.Spec{
		Name: fmt.Sprint("bench-", round), Inputs: []string{bus.TopicJSON}, Outputs: []string{clientOut}, Stage: passing{},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	err = runtime.Drain(ctx, c.Name())
	cancel()
	if ran := <-ended; err == nil {
		err = ran
	}
	return err
}

// holds checks that a topic got every record.
func holds(ctx context.Context, log *bus.Bus, topic string, want int) error {
	bounds, err := log.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	n := int64(0)
	for _, s := range bounds {
		n += s.To - s.From
	}
	if n < int64(want) {
		return fmt.Errorf("%s has %d records, want %d", topic, n, want)
	}
	return nil
}
