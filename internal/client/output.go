package client

import (
	"fmt"
	"slices"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Output collects what a handler emits for one record. It is the runtime's and
// valid until Handle returns.
type Output struct {
	records []*bus.Record
	origin  []byte // of the record handled; nil: outputs get no header of it
	capture []byte
	stage   []byte // whose output it is; nil: outputs get no header of it
	shares  bool   // the input's key and value, which stay as they are until the outputs are durable
	key     []byte // the input's
	value   []byte
	limit   func(topic string) int // nil: none
	err     error
	arena   arena
}

// Emit adds a record to be appended to the topic. All bytes are copied, so
// the caller may use its buffers again at once; but the input's own key and
// value, which nobody changes, need no copy. The headers decoder-origin and
// decoder-capture are the input's, unless the caller gives them, and
// decoder-stage is the runtime's to give. A record the topic cannot take makes
// the input a dead letter.
func (o *Output) Emit(topic string, key, value []byte, headers ...bus.Header) {
	size := len(key) + len(value)
	hasOrigin, hasCapture := o.origin == nil, o.capture == nil
	for _, h := range headers {
		size += len(h.Key) + len(h.Value)
		hasOrigin = hasOrigin || h.Key == event.HeaderOrigin
		hasCapture = hasCapture || h.Key == event.HeaderCapture
	}
	if o.limit != nil {
		const framing = 512 // a batch around one record, and its header's varints
		if limit := o.limit(topic); size+framing > limit {
			o.err = fault.NewPermanent(bus.CodeTooLarge, fmt.Errorf("output of %d bytes, topic %s takes %d", size, topic, limit))
			return
		}
	}
	r := o.arena.record()
	r.Topic = topic
	r.Key = o.own(key, o.key)
	r.Value = o.own(value, o.value)
	r.Headers = o.arena.headers(len(headers) + 3)
	for _, h := range headers {
		if h.Key == event.HeaderStage && o.stage != nil {
			continue // passed on from the input
		}
		r.Headers = append(r.Headers, bus.Header{Key: h.Key, Value: o.arena.clone(h.Value)})
	}
	if !hasOrigin {
		r.Headers = append(r.Headers, bus.Header{Key: event.HeaderOrigin, Value: o.origin})
	}
	if !hasCapture {
		r.Headers = append(r.Headers, bus.Header{Key: event.HeaderCapture, Value: o.capture})
	}
	if o.stage != nil {
		r.Headers = append(r.Headers, bus.Header{Key: event.HeaderStage, Value: o.stage})
	}
	o.records = append(o.records, r)
}

// own returns a copy of b, or b itself if it is the input's.
func (o *Output) own(b, input []byte) []byte {
	if len(b) > 0 && len(b) <= len(input) && &b[0] == &input[0] {
		return slices.Clip(b)
	}
	return o.arena.clone(b)
}

// Records returns what was emitted so far.
func (o *Output) Records() []*bus.Record { return o.records }

// begin prepares for a record; what was emitted before is the caller's.
func (o *Output) begin(in *Record) {
	o.records = o.records[:0]
	o.err = nil
	if o.shares {
		o.key, o.value = in.Key, in.Value
	}
	o.origin, o.capture = nil, nil
	for _, h := range in.Headers {
		switch h.Key {
		case event.HeaderOrigin:
			o.origin = h.Value
		case event.HeaderCapture:
			o.capture = h.Value
		}
	}
	if o.origin == nil && in.Origin != "" {
		o.origin = []byte(in.Origin)
	}
}

// arena hands out small pieces of large allocations. A piece is never taken
// back: the collector frees an allocation when the last of its pieces is gone.
type arena struct {
	bytes   []byte
	slab    []bus.Record
	headerS []bus.Header
}

const (
	arenaBytes   = 128 << 10
	arenaRecords = 128
	arenaHeaders = 512
)

func (a *arena) clone(b []byte) []byte {
	if b == nil {
		return nil
	}
	n := len(b)
	if n > arenaBytes/4 {
		return append(make([]byte, 0, n), b...)
	}
	if n > cap(a.bytes)-len(a.bytes) {
		a.bytes = make([]byte, 0, arenaBytes)
	}
	from := len(a.bytes)
	a.bytes = append(a.bytes, b...)
	return a.bytes[from : from+n : from+n]
}

func (a *arena) record() *bus.Record {
	if len(a.slab) == 0 {
		a.slab = make([]bus.Record, arenaRecords)
	}
	r := &a.slab[0]
	a.slab = a.slab[1:]
	return r
}

func (a *arena) headers(n int) []bus.Header {
	if n > arenaHeaders {
		return make([]bus.Header, 0, n)
	}
	if len(a.headerS) < n {
		a.headerS = make([]bus.Header, arenaHeaders)
	}
	h := a.headerS[:0:n]
	a.headerS = a.headerS[n:]
	return h
}
