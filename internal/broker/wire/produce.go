package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

const (
	// firstRecordBatch is the version of Produce that carries record batches.
	firstRecordBatch = 3
	// maxBatches bounds the topics and partitions of a produce request.
	maxBatches = 100_000
	// maxBrief is the largest request that is answered without the writer.
	maxBrief = 64 << 10
	// refusalDelay is how long a producer waits for a refusal that it answers
	// by trying again: without it, it would send the same bytes ten times a
	// second.
	refusalDelay = time.Second
)

// producing is a produce request that is taken as it arrives: every batch is
// appended when it is there, so that a request of many megabytes takes no more
// memory than the largest of its batches, and the disk works while the rest is
// on its way.
type producing struct {
	request
	body    body
	version int16
	acks    int16
	refused error // why nothing of it is appended
	resp    *kmsg.ProduceResponse
	count   int // of topics and partitions
	waiting []appended
	failed  bool             // something of it is not appended
	held    <-chan time.Time // keeps a refusal back
}

// appended is a batch that waits for the disk, and where its answer is.
type appended struct {
	topic, partition int
	commit           *storage.Commit
}

// beginProduce appends what a produce request brings. The answer is there when
// all of it is durable.
func (c *conn) beginProduce(ctx context.Context, r *bufio.Reader, size int) (pending, error) {
	p := producing{request: request{conn: c, ctx: ctx}, body: body{r: r, left: size}, resp: kmsg.NewPtrProduceResponse()}
	b := &p.body
	b.int16() // the key
	p.version = b.int16()
	done := pending{key: int16(kmsg.Produce), correlationID: b.int32()}
	b.string() // client id, in a form that is the same in every version
	switch a := c.server.apis[done.key]; {
	case b.err != nil:
		return done, b.err
	case !c.signedIn:
		return done, fmt.Errorf("%w: request key %d before sign-in", errSignIn, done.key)
	case p.version < a.min || p.version > a.max:
		return done, fmt.Errorf("%w: key %d version %d is not served", errFrame, done.key, p.version)
	}
	p.resp.Version = p.version
	b.flexible = p.resp.IsFlexible()
	b.tags()
	p.take()
	if err := b.end(); err != nil {
		return done, err
	}
	done.begun = time.Now() // the whole of it is here
	done.reply = p.finish
	if size <= maxBrief && p.held == nil {
		done.brief = p.write
	}
	return done, nil
}

// take reads the body.
func (p *producing) take() {
	b := &p.body
	transactional := false
	if p.version >= firstRecordBatch {
		_, transactional = b.string()
	}
	p.acks = b.int16()
	b.int32() // the timeout: what is asked of the disk is not taken back
	switch {
	case p.acks < -1 || p.acks > 1:
		p.refused = errAcks
	case transactional:
		p.refused = errTransactional
	case p.version < firstRecordBatch:
		p.refused = storage.ErrOldMagic
	}
	b.array(p.takeTopic)
	b.tags()
}

func (p *producing) takeTopic() {
	name, _ := p.body.string()
	t := kmsg.NewProduceResponseTopic()
	t.Topic = name
	at := len(p.resp.Topics)
	p.resp.Topics = append(p.resp.Topics, t)
	p.counted()
	topic := p.server.store.Topic(name)
	p.body.array(func() {
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.BaseOffset, rp.LogAppendTime = -1, -1
		c, err := p.takeBatch(topic, &rp)
		if err != nil {
			p.refuse(&rp, err)
		}
		if c != nil {
			p.waiting = append(p.waiting, appended{topic: at, partition: len(p.resp.Topics[at].Partitions), commit: c})
		}
		p.resp.Topics[at].Partitions = append(p.resp.Topics[at].Partitions, rp)
		p.counted()
	})
}

func (p *producing) counted() {
	if p.count++; p.count > maxBatches && p.body.err == nil {
		p.body.err = fmt.Errorf("%w: more than %d partitions", errFrame, maxBatches)
	}
}

// refuse answers for one batch that it is not appended.
func (p *producing) refuse(rp *kmsg.ProduceResponseTopicPartition, err error) {
	p.failed = true
	rp.BaseOffset = -1
	rp.ErrorCode, rp.ErrorMessage = failure(err)
	if p.held == nil && p.remote && (errors.Is(err, storage.ErrUnread) || errors.Is(err, storage.ErrDiskFull)) {
		p.held = time.After(refusalDelay)
	}
}

// batches are the buffers that batches are read into.
var batches = sync.Pool{New: func() any { return new([]byte) }}

// takeBatch reads one partition's batch and appends it. What cannot be
// appended, whatever is in it, is passed over and takes no memory.
func (p *producing) takeBatch(t *storage.Topic, rp *kmsg.ProduceResponseTopicPartition) (*storage.Commit, error) {
	b := &p.body
	rp.Partition = b.int32()
	n := max(b.length(4), 0)
	part, err := p.target(t, rp.Partition, n)
	if err != nil {
		b.skip(n)
		return nil, err
	}
	if n > maxPlain {
		p.server.memory.take(int64(n))
		defer p.server.memory.give(int64(n))
	}
	buf := batches.Get().(*[]byte)
	if *buf = b.fill((*buf)[:0], n); cap(*buf) <= keepFrame {
		defer batches.Put(buf)
	}
	if b.err != nil {
		return nil, b.err
	}
	return p.append(part, *buf, rp)
}

// target is the partition that a batch of n bytes may be appended to.
func (p *producing) target(t *storage.Topic, partition int32, n int) (*storage.Partition, error) {
	switch {
	case !p.body.has(n): // so much is only claimed
		return nil, p.body.err
	case p.refused != nil:
		return nil, p.refused
	case t == nil || t.Partition(partition) == nil:
		return nil, storage.ErrUnknownTopic
	case t.Internal:
		return nil, storage.ErrInvalidTopic
	case n > t.Config().MaxMessageBytes:
		return nil, storage.ErrTooLarge
	}
	return t.Partition(partition), nil
}

func (p *producing) append(part *storage.Partition, batch []byte, rp *kmsg.ProduceResponseTopicPartition) (*storage.Commit, error) {
	add := part.Append
	if !p.remote { // the process itself holds its intake back, and derives the rest
		add = part.AppendDerived
	}
	base, c, err := add(batch)
	if err != nil {
		return nil, err
	}
	p.server.cfg.Metrics.Appended(part.Topic().Name, len(batch), recordCount(batch))
	rp.BaseOffset, rp.LogStartOffset = base, part.Start()
	if part.Topic().Config().AppendTime {
		rp.LogAppendTime = int64(binary.BigEndian.Uint64(batch[maxTimeAt:]))
	}
	return c, nil
}

// write has the batches written, unless others write already, and says whether
// there is nothing left to wait for.
func (p *producing) write() bool {
	for _, a := range p.waiting {
		if !a.commit.Write() {
			return false
		}
	}
	return true
}

// finish waits for the disk. Who asked for no answer waits too, before the
// next one.
func (p *producing) finish(ctx context.Context) kmsg.Response {
	for _, a := range p.waiting {
		if err := a.commit.Wait(ctx); err != nil {
			p.refuse(&p.resp.Topics[a.topic].Partitions[a.partition], err)
		}
	}
	if p.held != nil {
		select {
		case <-p.held:
		case <-ctx.Done():
		}
	}
	switch {
	case p.acks != 0:
		return p.resp
	case p.failed: // as Kafka tells who wants no answer that something is wrong
		_ = p.net.Close()
	}
	return nil
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
