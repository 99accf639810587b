package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"github.com/redpanda-data/benthos/v4/public/service"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/bus"
)

// Benthos's own parts for Kafka are in Redpanda Connect. These do what those
// do, on the same library: read in a group, mark when acknowledged, commit
// marks; write a batch and wait for the acknowledgement.

type benthosInput struct{ client *kgo.Client }

func (i *benthosInput) Connect(context.Context) error { return nil }

func (i *benthosInput) ReadBatch(ctx context.Context) (service.MessageBatch, service.AckFunc, error) {
	fetches := i.client.PollRecords(ctx, 2000)
	if fetches.IsClientClosed() {
		return nil, nil, service.ErrEndOfInput
	}
	if err := fetches.Err(); err != nil {
		return nil, nil, err
	}
	records := fetches.Records()
	batch := make(service.MessageBatch, len(records))
	for n, r := range records {
		batch[n] = service.NewMessage(r.Value)
		batch[n].MetaSetMut("kafka_key", r.Key)
	}
	return batch, func(_ context.Context, err error) error {
		if err == nil {
			i.client.MarkCommitRecords(records...)
		}
		return err
	}, nil
}

func (i *benthosInput) Close(context.Context) error {
	i.client.Close()
	return nil
}

type benthosOutput struct {
	client *kgo.Client
	sent   func(int)
}

func (o *benthosOutput) Connect(context.Context) error { return nil }

func (o *benthosOutput) WriteBatch(ctx context.Context, batch service.MessageBatch) error {
	records := make([]*kgo.Record, len(batch))
	for n, m := range batch {
		value, err := m.AsBytes()
		if err != nil {
			return err
		}
		key, _ := m.MetaGetMut("kafka_key")
		k, _ := key.([]byte)
		records[n] = &kgo.Record{Topic: benthosOut, Key: k, Value: value}
	}
	if err := o.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	o.sent(len(batch))
	return nil
}

func (o *benthosOutput) Close(context.Context) error {
	o.client.Close()
	return nil
}

const benthosConfig = `
input: {bench_log: {}}
pipeline: {threads: 2}
output: {bench_log: {}}
logger: {level: none}
`

func passBenthos(ctx context.Context, log *bus.Bus, round, records int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	all := make(chan struct{})
	sent := make(chan int, 100)
	go func() {
		for n := 0; n < records; n += <-sent {
		}
		close(all)
		for range sent { // repeated batches
		}
	}()
	defer close(sent)
	stream, err := benthosStream(log.Address(), fmt.Sprint("bench-benthos-", round), func(n int) { sent <- n })
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- stream.Run(ctx) }()
	select {
	case <-all:
	case err := <-ended:
		return errors.Join(errors.New("running Benthos: it has ended early"), err)
	}
	if err := stream.StopWithin(30 * time.Second); err != nil {
		return err
	}
	<-ended //nolint:errcheck // it was stopped, as asked
	return nil
}

func benthosStream(address, group string, sent func(int)) (*service.Stream, error) {
	env := service.GlobalEnvironment().Clone()
	err := env.RegisterBatchInput("bench_log", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchInput, error) {
		reader, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumerGroup(group), kgo.ConsumeTopics(bus.TopicJSON),
			kgo.AutoCommitMarks(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		return &benthosInput{client: reader}, err
	})
	if err != nil {
		return nil, err
	}
	err = env.RegisterBatchOutput("bench_log", service.NewConfigSpec(), func(*service.ParsedConfig, *service.Resources) (service.BatchOutput, service.BatchPolicy, int, error) {
		writer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ProducerLinger(2*time.Millisecond), kgo.ProducerBatchCompression(kgo.SnappyCompression()))
		return &benthosOutput{client: writer, sent: sent}, service.BatchPolicy{}, 64, err
	})
	if err != nil {
		return nil, err
	}
	builder := env.NewStreamBuilder()
	if err := builder.SetYAML(benthosConfig); err != nil {
		return nil, err
	}
	return builder.Build()
}
