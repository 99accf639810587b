package wire

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

const (
	// maxFetch bounds one answer, beside a single larger batch.
	maxFetch = 4 << 20
	// shortFetch bounds it while answers that are not read take all the memory
	// there is for them.
	shortFetch = 64 << 10
	// maxFetchWait bounds a long poll.
	maxFetchWait = 5 * time.Minute
	// byTopicID is the version of Fetch that names topics by ID.
	byTopicID = 13
)

// fetching is one partition of a fetch request.
type fetching struct {
	partition *storage.Partition
	req       *kmsg.FetchRequestTopicPartition
	resp      kmsg.FetchResponseTopicPartition
}

// fetch answers when there is enough to read, or something has gone wrong, or
// the time is up. Sessions are not kept: session id 0 tells the client so.
func fetch(r request, req *kmsg.FetchRequest) reply {
	return func(ctx context.Context) kmsg.Response {
		f := fetchCall{request: r, req: req}
		f.resolve()
		if !f.ready() {
			f.wait(ctx)
		}
		return f.answer()
	}
}

type fetchCall struct {
	request
	req    *kmsg.FetchRequest
	topics [][]fetching // as in the request
	failed bool
}

// resolve finds the partitions and checks the offsets.
func (f *fetchCall) resolve() {
	f.topics = make([][]fetching, len(f.req.Topics))
	for i := range f.req.Topics {
		rt := &f.req.Topics[i]
		var t *storage.Topic
		unknown := code.UnknownTopicOrPartition
		if f.req.Version >= byTopicID {
			t, unknown = f.server.store.TopicByID(rt.TopicID), code.UnknownTopicID
		} else {
			t = f.server.store.Topic(rt.Topic)
		}
		f.topics[i] = make([]fetching, len(rt.Partitions))
		for j := range rt.Partitions {
			p := &f.topics[i][j]
			p.req = &rt.Partitions[j]
			p.resp.Default()
			p.resp.Partition = p.req.Partition
			p.resp.ErrorCode = unknown
			if t != nil {
				p.resolve(t)
			}
			f.failed = f.failed || p.resp.ErrorCode != code.None
		}
	}
}

func (p *fetching) resolve(t *storage.Topic) {
	p.resp.ErrorCode = code.UnknownTopicOrPartition
	if p.partition = t.Partition(p.req.Partition); p.partition == nil {
		return
	}
	p.resp.ErrorCode = checkEpoch(p.req.CurrentLeaderEpoch)
	if o := p.req.FetchOffset; p.resp.ErrorCode == code.None && (o < p.partition.Start() || o > p.partition.High()) {
		p.resp.ErrorCode = code.OffsetOutOfRange
	}
}

// checkEpoch compares the leader epoch a client knows with the only one.
func checkEpoch(epoch int32) int16 {
	switch {
	case epoch < 0 || epoch == storage.LeaderEpoch:
		return code.None
	case epoch > storage.LeaderEpoch:
		return code.UnknownLeaderEpoch
	default:
		return code.FencedLeaderEpoch
	}
}

// ready says whether to answer now.
func (f *fetchCall) ready() bool {
	if f.failed {
		return true
	}
	want := min(int64(f.req.MinBytes), f.most())
	f.each(func(p *fetching) {
		if want > 0 {
			want -= p.partition.Available(p.req.FetchOffset, want)
		}
	})
	return want <= 0
}

// most is how many bytes the client takes, beside a single larger batch.
func (f *fetchCall) most() int64 { return min(max(int64(f.req.MaxBytes), 1), maxFetch) }

func (f *fetchCall) each(fn func(*fetching)) {
	for i := range f.topics {
		for j := range f.topics[i] {
			if p := &f.topics[i][j]; p.resp.ErrorCode == code.None {
				fn(p)
			}
		}
	}
}

// wait returns when ready, or when the time is up.
func (f *fetchCall) wait(ctx context.Context) {
	d := min(time.Duration(max(f.req.MaxWaitMillis, 0))*time.Millisecond, maxFetchWait)
	timer := time.NewTimer(d)
	defer timer.Stop()
	changed := make(chan struct{}, 1)
	f.each(func(p *fetching) { p.partition.Watch(changed) })
	defer f.each(func(p *fetching) { p.partition.Unwatch(changed) })
	for !f.ready() {
		select {
		case <-changed:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// fetchBuffers hold what is read until it is sent.
var fetchBuffers = sync.Pool{New: func() any { return new([]byte) }}

// fetchResponse is a fetch's answer and the buffer its batches lie in. It is
// sent from there: kmsg would copy every batch once more.
type fetchResponse struct {
	*kmsg.FetchResponse
	buf  *[]byte
	conn *conn
}

func (r fetchResponse) release() {
	r.conn.hold(-int64(len(*r.buf)))
	if cap(*r.buf) <= keepFrame {
		fetchBuffers.Put(r.buf)
	}
}

// inset is a run of bytes that belongs at a place of an encoded message.
type inset struct {
	at    int
	bytes []byte
}

// appendInset encodes the response without its batches, and tells where they
// belong.
func (r fetchResponse) appendInset(b []byte) (out []byte, insets []inset) {
	be := binary.BigEndian
	length := func(n int) { // of an array, or of bytes
		if r.IsFlexible() {
			b = binary.AppendUvarint(b, uint64(n)+1)
		} else {
			b = be.AppendUint32(b, uint32(n))
		}
	}
	tags := func() {
		if r.IsFlexible() {
			b = append(b, 0)
		}
	}
	b = be.AppendUint32(b, uint32(r.ThrottleMillis))
	if r.Version >= 7 {
		b = be.AppendUint16(b, uint16(r.ErrorCode))
		b = be.AppendUint32(b, uint32(r.SessionID))
	}
	length(len(r.Topics))
	for _, t := range r.Topics {
		switch {
		case r.Version >= byTopicID:
			b = append(b, t.TopicID[:]...)
		case r.IsFlexible():
			length(len(t.Topic))
			b = append(b, t.Topic...)
		default:
			b = be.AppendUint16(b, uint16(len(t.Topic)))
			b = append(b, t.Topic...)
		}
		length(len(t.Partitions))
		for _, p := range t.Partitions {
			b = be.AppendUint32(b, uint32(p.Partition))
			b = be.AppendUint16(b, uint16(p.ErrorCode))
			b = be.AppendUint64(b, uint64(p.HighWatermark))
			b = be.AppendUint64(b, uint64(p.LastStableOffset))
			if r.Version >= 5 {
				b = be.AppendUint64(b, uint64(p.LogStartOffset))
			}
			length(-1) // aborted transactions: there are none
			if r.Version >= 11 {
				b = be.AppendUint32(b, uint32(p.PreferredReadReplica))
			}
			length(len(p.RecordBatches))
			if len(p.RecordBatches) > 0 {
				insets = append(insets, inset{at: len(b), bytes: p.RecordBatches})
			}
			tags()
		}
		tags()
	}
	tags()
	return b, insets
}

// answer reads what there is.
func (f *fetchCall) answer() kmsg.Response {
	resp := f.req.ResponseKind().(*kmsg.FetchResponse)
	buf := fetchBuffers.Get().(*[]byte)
	*buf = (*buf)[:0]
	held := f.most()
	if f.hold(held) < 0 && held > shortFetch {
		f.hold(shortFetch - held)
		held = shortFetch
	}
	left := int(held)
	for i := range f.topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = f.req.Topics[i].Topic, f.req.Topics[i].TopicID
		rt.Partitions = make([]kmsg.FetchResponseTopicPartition, 0, len(f.topics[i]))
		for j := range f.topics[i] {
			p := &f.topics[i][j]
			if p.resp.ErrorCode == code.None && left > 0 {
				n := f.read(p, buf, left)
				if n == 0 && left < int(p.req.PartitionMaxBytes) && p.resp.ErrorCode == code.None && p.req.FetchOffset < p.partition.High() {
					left = 0 // its next batch does not fit: the answer is full
				}
				left -= n
			}
			p.watermarks()
			rt.Partitions = append(rt.Partitions, p.resp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	f.hold(int64(len(*buf)) - held)
	return fetchResponse{resp, buf, f.conn}
}

// hold counts n more bytes that are in memory until the client reads them, and
// returns how many more all of them may be.
func (c *conn) hold(n int64) int64 {
	if !c.remote {
		return 0 // who is within the process reads
	}
	return c.server.unsent.Add(-n)
}

// read fills one partition with left bytes at most. Only the first of an
// answer may be larger, when its first batch is.
func (f *fetchCall) read(p *fetching, buf *[]byte, left int) int {
	have := len(*buf)
	want := min(left, int(max(p.req.PartitionMaxBytes, 0)))
	// The batches of the partitions before stay in the old array if this one
	// must grow.
	out, err := p.partition.Read(*buf, p.req.FetchOffset, want, have == 0)
	if err != nil {
		p.resp.ErrorCode = errorCode(err)
		return 0
	}
	*buf = out
	n := len(out) - have
	p.resp.RecordBatches = out[have:len(out):len(out)]
	if n > 0 {
		f.server.cfg.Metrics.Fetched(p.partition.Topic().Name, n)
	}
	return n
}

func (p *fetching) watermarks() {
	if p.resp.RecordBatches == nil {
		p.resp.RecordBatches = []byte{}
	}
	if p.partition == nil {
		p.resp.HighWatermark = -1
		return
	}
	high := p.partition.High()
	p.resp.HighWatermark, p.resp.LastStableOffset, p.resp.LogStartOffset = high, high, p.partition.Start()
}
