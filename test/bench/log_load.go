package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const recordSize = 1000

// payload is a value that does not compress.
func payload() []byte {
	b := make([]byte, recordSize)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(b) // never fails
	return b
}

func makeTopic(ctx context.Context, addr, topic string, partitions int32) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return err
	}
	defer cl.Close()
	r, err := kadm.NewClient(cl).CreateTopic(ctx, partitions, 1, nil, topic)
	if err != nil {
		return err
	}
	return r.Err
}

// countRecords returns how many records a topic has.
func countRecords(ctx context.Context, addr, topic string) (int, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	n := 0
	ends.Each(func(o kadm.ListedOffset) { n += int(o.Offset) })
	return n, err
}

// produceMB appends so many bytes as fast as it goes, and returns MB/s.
func produceMB(ctx context.Context, addr, topic string, total int) (float64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.ProducerBatchMaxBytes(1_000_000), kgo.MaxBufferedRecords(50_000), kgo.ProducerLinger(5*time.Millisecond),
		kgo.RecordPartitioner(kgo.UniformBytesPartitioner(512<<10, false, false, nil)))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	v := payload()
	var first error
	var once sync.Once
	start := time.Now()
	for range total / recordSize {
		cl.Produce(ctx, &kgo.Record{Value: v}, func(_ *kgo.Record, err error) {
			if err != nil {
				once.Do(func() { first = err })
			}
		})
	}
	if err := cl.Flush(ctx); err != nil {
		return 0, err
	}
	return float64(total) / 1e6 / time.Since(start).Seconds(), first
}

// consumeMB reads so many bytes from the start, and returns MB/s.
func consumeMB(ctx context.Context, addr, topic string, total int) (float64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(topic))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	start := time.Now()
	for n := 0; n < total/recordSize; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err0(); err != nil {
			return 0, err
		}
		n += fs.NumRecords()
	}
	return float64(total) / 1e6 / time.Since(start).Seconds(), nil
}

// latency appends at a rate for a time, and returns the 50th and 99th
// percentile in milliseconds from giving a record to its acknowledgement.
func latency(ctx context.Context, addr, topic string, perSecond int, d time.Duration) (p50, p99 float64, err error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(topic), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		return 0, 0, err
	}
	defer cl.Close()
	v := payload()
	if err := cl.ProduceSync(ctx, &kgo.Record{Value: v}).FirstErr(); err != nil {
		return 0, 0, err
	}
	var mu sync.Mutex
	var all []float64
	start := time.Now()
	for sent := 0; time.Since(start) < d && ctx.Err() == nil; {
		for due := int(time.Since(start).Seconds() * float64(perSecond)); sent < due; sent++ {
			then := time.Now()
			cl.Produce(ctx, &kgo.Record{Value: v}, func(_ *kgo.Record, e error) {
				ms := since(then)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, ms)
				if e != nil {
					err = e
				}
			})
		}
		time.Sleep(500 * time.Microsecond) // the rate's step
	}
	if ferr := cl.Flush(ctx); ferr != nil {
		return 0, 0, ferr
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(all)
	if len(all) == 0 {
		return 0, 0, errors.New("nothing was appended")
	}
	return all[len(all)/2], all[len(all)*99/100], err
}
