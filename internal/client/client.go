// Package client is the runtime every stage and sink of the program runs in:
// it reads the log in a consumer group, calls a handler, and does everything
// a handler must not have to think of: batches, retries, dead letters, pauses,
// commits, metrics. It knows nothing of what is handled.
package client

import (
	"bytes"
	"context"

	"github.com/decodersring/decoder/internal/bus"
)

// A Stage handles one record at a time and appends to the log.
//
// Handle is called in order per partition, and concurrently for different
// partitions (or within one, where the stage's spec asks for it). It reads
// in, calls out.Emit any number of times, and returns. in and its bytes are
// valid until it returns. When it returns an error, what it emitted is
// dropped, and the error's class (package fault) decides: permanent makes a
// dead letter of the record, throttled waits, all else is tried again.
type Stage interface {
	Handle(ctx context.Context, in *Record, out *Output) error
}

// A Sink writes batches of records to something outside the log.
//
// Write takes records of one partition in order; it may buffer. A
// [RecordErrors] names the records at fault, all others count as written; any
// other error is the whole batch's. Write is never called concurrently for
// one partition.
type Sink interface {
	Write(ctx context.Context, batch []*Record) error
}

// A Flusher is a sink that buffers. Flush returns when everything written
// before the call is durable; offsets are committed only after it. Committed
// is called after they have been.
type Flusher interface {
	Flush(ctx context.Context) error
	Committed()
}

// A Checker has another side. Check returns nil when that side can be
// reached: the runtime asks it to tell a record's fault from an outage.
type Checker interface {
	Check(ctx context.Context) error
}

// Record is a record as a handler sees it.
type Record struct {
	*bus.Record
	// Origin identifies what the record was made from, wherever it now lies:
	// the header decoder-origin, else the topic's id, partition and offset.
	Origin string
}

// Output collects what a handler emits for one record. It is the runtime's and
// valid until Handle returns.
type Output struct {
	records []*bus.Record
}

// Emit adds a record to be appended to the topic. The bytes are copied, so
// the caller may use its buffers again at once.
func (o *Output) Emit(topic string, key, value []byte, headers ...bus.Header) {
	o.records = append(o.records, &bus.Record{
		Topic:   topic,
		Key:     bytes.Clone(key),
		Value:   bytes.Clone(value),
		Headers: headers,
	})
}
