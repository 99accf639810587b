package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"
)

// drainMB reads so many bytes of records from the start as catch-up does, but
// takes no record apart: what a broker gives a client that costs nothing.
func drainMB(ctx context.Context, addr, topic string, total int) (float64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	meta := kmsg.NewPtrMetadataRequest()
	meta.Topics = []kmsg.MetadataRequestTopic{{Topic: &topic}}
	found, err := meta.RequestWith(ctx, cl)
	if err != nil {
		return 0, err
	}
	if len(found.Topics) != 1 || len(found.Brokers) != 1 {
		return 0, fmt.Errorf("%d topics and %d brokers", len(found.Topics), len(found.Brokers))
	}
	t := found.Topics[0]
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var left atomic.Int64
	left.Store(int64(total / recordSize))
	// Two requests at a time: while one is answered the other is on its way.
	drains := []*drain{{topic: t, left: &left}, {topic: t, left: &left}}
	for i, p := range t.Partitions {
		d := drains[i%len(drains)]
		d.at = append(d.at, partitionAt{partition: p.Partition})
	}
	var g errgroup.Group
	start := time.Now()
	for _, d := range drains {
		g.Go(func() error { return d.run(ctx, cl.Broker(int(found.Brokers[0].NodeID))) })
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	return float64(total) / 1e6 / time.Since(start).Seconds(), nil
}

// drain reads some partitions of a topic.
type drain struct {
	topic kmsg.MetadataResponseTopic
	at    []partitionAt
	left  *atomic.Int64 // records
}

type partitionAt struct {
	partition int32
	offset    int64
}

func (d *drain) run(ctx context.Context, b *kgo.Broker) error {
	for len(d.at) > 0 && d.left.Load() > 0 {
		resp, err := b.Request(ctx, d.request())
		if err != nil {
			return err
		}
		if err := d.took(resp.(*kmsg.FetchResponse)); err != nil {
			return err
		}
	}
	return nil
}

// request asks for what kgo asks for by default.
func (d *drain) request() kmsg.Request {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = 100, 1, 50<<20
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = *d.topic.Topic, d.topic.TopicID
	for _, at := range d.at {
		p := kmsg.NewFetchRequestTopicPartition()
		p.Partition, p.FetchOffset, p.PartitionMaxBytes = at.partition, at.offset, 1<<20
		t.Partitions = append(t.Partitions, p)
	}
	req.Topics = append(req.Topics, t)
	return req
}

// took counts what has come, leaves out what has been read, and puts the
// partitions that gave something behind the others, as every client does.
func (d *drain) took(resp *kmsg.FetchResponse) error {
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) > len(d.at) {
		return errors.New("an answer to another question")
	}
	at := map[int32]int64{}
	for _, p := range resp.Topics[0].Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
			return err
		}
		next, records := walkBatches(p.RecordBatches)
		d.left.Add(-records)
		switch {
		case next == p.HighWatermark: // 0, when there is nothing
			at[p.Partition] = atEnd
		case records > 0:
			at[p.Partition] = next
		}
	}
	var idle, busy []partitionAt
	for _, p := range d.at {
		switch next, ok := at[p.partition]; {
		case !ok:
			idle = append(idle, p)
		case next != atEnd:
			busy = append(busy, partitionAt{p.partition, next})
		}
	}
	d.at = append(idle, busy...)
	return nil
}

// atEnd is the offset of a partition that has been read.
const atEnd = -1

// walkBatches returns the offset behind whole batches, and how many records
// they hold.
func walkBatches(b []byte) (next, records int64) {
	const header = 61
	for len(b) >= header {
		size := 12 + int(binary.BigEndian.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		next = int64(binary.BigEndian.Uint64(b)) + int64(binary.BigEndian.Uint32(b[23:])) + 1
		records += int64(binary.BigEndian.Uint32(b[57:]))
		b = b[size:]
	}
	return next, records
}
