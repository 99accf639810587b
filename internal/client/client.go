// Package client is the runtime every stage and sink of the program runs in:
// it reads the log in a consumer group, calls a handler, and does everything
// a handler must not have to think of: batches, retries, dead letters, pauses,
// commits, metrics. It knows nothing of what is handled.
package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/decodersring/decoder/internal/bus"
)

// A Stage handles one record at a time and appends to the log.
//
// Handle is called in order per partition, and concurrently for different
// partitions (or within one, where the stage's spec asks for it). It reads
// in, which it must not change, calls out.Emit any number of times, and
// returns. in and its bytes are valid until it returns. When it returns an error, what it emitted is
// dropped, and the error's class (package fault) decides: permanent makes a
// dead letter of the record, throttled waits, all else is tried again.
//
// A record may be handled again after a crash, and what it gives then must be
// the same with the same ids: state kept over records goes by a record's
// origin or the document's id, not by how often Handle was called.
type Stage interface {
	Handle(ctx context.Context, in *Record, out *Output) error
}

// A Sink writes batches of records to something outside the log.
//
// Write takes records of one partition in order; they and their bytes are
// valid until it returns. It may buffer, in copies. A
// [RecordErrors] names the records at fault, all others count as written; any
// other error is the whole batch's, which is then written again, and divided
// until the record at fault is found. Write is never called concurrently for
// one partition.
type Sink interface {
	Write(ctx context.Context, batch []*Record) error
}

// RecordErrors is the error of single records of a batch, by their index.
type RecordErrors map[int]error

func (e RecordErrors) Error() string {
	for i, err := range e {
		return fmt.Sprintf("%d records of the batch failed; record %d: %v", len(e), i, err)
	}
	return "no record failed"
}

// A Flusher is a sink that buffers. Flush returns when everything written
// before the call is durable; offsets are committed only after it. Committed
// is called after they have been. A failed Flush is called again, so what was
// written stays buffered; a permanent fault ends the client, which then starts
// again from what was committed; a throttled one says when to call again. Write
// may be called while Flush runs.
type Flusher interface {
	Flush(ctx context.Context) error
	Committed()
}

// ErrNotYet is what Flush returns when nothing is wrong and it will not have
// what was written durable yet: nothing is committed, and it is called again.
// When the client ends before that, the records are written in its next life.
var ErrNotYet = errors.New("it is not time yet")

// A Resumer is a sink that keeps the offsets with its data, in one
// transaction, and so takes each record exactly once. Resume returns the
// offset of the first record of the partition it has not written; unless
// known, reading begins where the group stands. A record that was resent is
// none of the partition's: see [Record].
type Resumer interface {
	Resume(ctx context.Context, p bus.Partition) (next int64, known bool, err error)
}

// A Checker has another side. Check returns nil when that side can be
// reached: the runtime asks it to tell a record's fault from an outage.
type Checker interface {
	Check(ctx context.Context) error
}

// A Tryer is a sink that can tell what is wrong with a record without writing
// it. Try returns the error that Write would have for the record by itself, as
// far as the record is at fault; the destination may still refuse it for what
// only it knows. It may be called while Write runs. [ErrNoTry] says that it
// cannot tell after all.
type Tryer interface {
	Try(ctx context.Context, r *Record) error
}

// A Closer is a stage or sink that holds something. Close is called once, when
// Run ends and no call to it runs any more.
type Closer interface {
	Close() error
}

// Record is a record as a handler sees it.
type Record struct {
	*bus.Record
	// Origin identifies what the record was made from, wherever it now lies:
	// the header decoder-origin, else the topic's id, partition and offset.
	Origin string
	// Resent marks a dead letter on its way back. Topic, partition and offset
	// are those it first had; they say nothing of the reader's position.
	Resent bool
}
