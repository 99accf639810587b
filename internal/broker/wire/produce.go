package wire

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// firstRecordBatch is the version of Produce that carries record batches.
const firstRecordBatch = 3

// appended is one batch of a produce request and its fate.
type appended struct {
	resp   *kmsg.ProduceResponseTopicPartition
	commit *storage.Commit
}

// produce appends every batch at once, and answers when all are durable.
func produce(r request, req *kmsg.ProduceRequest) reply {
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	var waiting []appended
	var held <-chan time.Time
	for i := range req.Topics {
		t := &req.Topics[i]
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		rt.Partitions = make([]kmsg.ProduceResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			rp := &rt.Partitions[j]
			rp.Default()
			rp.Partition, rp.BaseOffset, rp.LogAppendTime = t.Partitions[j].Partition, -1, -1
			c, err := r.append(req, t.Topic, &t.Partitions[j], rp)
			if err != nil {
				rp.ErrorCode, rp.ErrorMessage = failure(err)
				if held == nil && r.remote && (errors.Is(err, storage.ErrUnread) || errors.Is(err, storage.ErrDiskFull)) {
					held = time.After(refusalDelay)
				}
				continue
			}
			waiting = append(waiting, appended{resp: rp, commit: c})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	if req.Acks == 0 {
		return answered(nil)
	}
	return func(ctx context.Context) kmsg.Response {
		for _, a := range waiting {
			if err := a.commit.Wait(ctx); err != nil {
				a.resp.BaseOffset = -1
				a.resp.ErrorCode, a.resp.ErrorMessage = failure(err)
			}
		}
		if held != nil {
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		return resp
	}
}

// refusalDelay is how long a producer waits for a refusal that it answers by
// trying again: without it, it would send the same bytes ten times a second.
const refusalDelay = time.Second

func (r request) append(req *kmsg.ProduceRequest, topic string, in *kmsg.ProduceRequestTopicPartition, out *kmsg.ProduceResponseTopicPartition) (*storage.Commit, error) {
	switch {
	case req.Acks < -1 || req.Acks > 1:
		return nil, errAcks
	case req.TransactionID != nil:
		return nil, errTransactional
	case req.Version < firstRecordBatch:
		return nil, storage.ErrOldMagic
	}
	t := r.server.store.Topic(topic)
	if t == nil || t.Partition(in.Partition) == nil {
		return nil, storage.ErrUnknownTopic
	}
	if t.Internal {
		return nil, storage.ErrInvalidTopic
	}
	p := t.Partition(in.Partition)
	add := p.Append
	if !r.remote { // the process itself holds its intake back, and derives the rest
		add = p.AppendDerived
	}
	base, c, err := add(in.Records)
	if err != nil {
		return nil, err
	}
	r.server.cfg.Metrics.Appended(topic, len(in.Records), recordCount(in.Records))
	out.BaseOffset, out.LogStartOffset = base, p.Start()
	if t.Config().AppendTime {
		out.LogAppendTime = int64(binary.BigEndian.Uint64(in.Records[maxTimeAt:]))
	}
	return c, nil
}

// Where an accepted batch has its largest timestamp and its record count.
const (
	maxTimeAt = 35
	countAt   = 57
)

func recordCount(batch []byte) int { return int(binary.BigEndian.Uint32(batch[countAt:])) }

// initProducerID gives an idempotent producer an id of its own.
func initProducerID(r request, req *kmsg.InitProducerIDRequest) reply {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	if req.TransactionalID != nil {
		resp.ErrorCode = code.InvalidRequest // transactions are not served
		return answered(resp)
	}
	id, err := r.server.store.ProducerID()
	if err != nil {
		r.server.cfg.Log.Warn("giving a producer id", "error", err)
		resp.ErrorCode = code.CoordinatorNotAvailable
		return answered(resp)
	}
	resp.ProducerID, resp.ProducerEpoch = id, 0
	return answered(resp)
}
