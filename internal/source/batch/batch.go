// Package batch turns lines into records and appends them to the log, many in
// one call. Every source that reads lines uses it. It does not know what a
// line means.
package batch

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// A batch is full at this many lines or bytes. A thousand EVE events are about
// a mebibyte, which one produce request carries.
const (
	maxLines = 4096
	maxBytes = 1 << 20
)

// Options say what the records of a batch have in common.
type Options struct {
	Topic   string
	Key     []byte
	Headers []bus.Header // on every record, beside decoder-origin
}

// Batch collects lines. It keeps its buffers from one batch to the next, so
// that a line costs no allocation but its record's headers. It is not for
// concurrent use.
type Batch struct {
	opts    Options
	values  []byte // the lines, one after the other
	origins []byte
	ends    []span
	records []bus.Record
	refs    []*bus.Record
	headers []bus.Header
}

type span struct{ value, origin int }

// New returns an empty batch.
func New(o Options) *Batch { return &Batch{opts: o} }

// Add copies a line, without its newline, into the batch. Its origin is
// "<prefix>:<where>".
func (b *Batch) Add(prefix string, where int64, line []byte) {
	b.values = append(b.values, line...)
	b.origins = append(b.origins, prefix...)
	b.origins = append(b.origins, ':')
	b.origins = strconv.AppendInt(b.origins, where, 10)
	b.ends = append(b.ends, span{len(b.values), len(b.origins)})
}

// Len is the number of lines in the batch.
func (b *Batch) Len() int { return len(b.ends) }

// Full says that the batch should be appended before more is added.
func (b *Batch) Full() bool { return len(b.ends) >= maxLines || len(b.values) >= maxBytes }

// Records returns the batch as records, valid until Reset. After they were
// appended they carry their partition and offset.
func (b *Batch) Records() []*bus.Record {
	n, perRecord := len(b.ends), 1+len(b.opts.Headers)
	if cap(b.records) < n {
		b.records = make([]bus.Record, n, 2*n)
		b.refs = make([]*bus.Record, n, 2*n)
		b.headers = make([]bus.Header, n*perRecord, 2*n*perRecord)
	}
	b.records, b.refs, b.headers = b.records[:n], b.refs[:n], b.headers[:n*perRecord]
	var from span
	for i, end := range b.ends {
		h := b.headers[i*perRecord : (i+1)*perRecord : (i+1)*perRecord]
		h[0] = bus.Header{Key: event.HeaderOrigin, Value: b.origins[from.origin:end.origin:end.origin]}
		copy(h[1:], b.opts.Headers)
		b.records[i] = bus.Record{
			Topic: b.opts.Topic, Key: b.opts.Key,
			Value:   b.values[from.value:end.value:end.value],
			Headers: h,
		}
		b.refs[i] = &b.records[i]
		from = end
	}
	return b.refs
}

// Reset empties the batch.
func (b *Batch) Reset() {
	b.values, b.origins, b.ends = b.values[:0], b.origins[:0], b.ends[:0]
	clear(b.records)
	// One huge line must not hold its memory for ever.
	if cap(b.values) > 8*maxBytes {
		b.values = nil
	}
}

// Backoff between attempts to append.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Append appends the records, as often as it takes: an outage of the log is
// waited for, since the sender's data is safe where it lies. It returns when
// the log has acknowledged every record but those it refuses for good, which
// are returned, or ctx's error when that ends first. While the log does not
// accept records, the component's health says so.
func Append(ctx context.Context, to bus.Appender, scope obs.Scope, component string, records []*bus.Record) (refused []*bus.Record, err error) {
	wait, failing := firstWait, false
	for {
		err := to.Append(ctx, records...)
		if err == nil {
			if failing {
				scope.Set(component, obs.OK, "")
				scope.Logger().Info("log accepts records again", "component", component)
			}
			return nil, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		f := fault.Of(err)
		if f.Class == fault.Permanent {
			return appendHalves(ctx, to, scope, component, records)
		}
		if !failing {
			failing = true
			scope.Set(component, obs.Degraded, "the log does not accept records: "+err.Error())
			scope.Logger().Warn("log refuses records, will retry", "component", component, "error", err)
		}
		t := time.NewTimer(max(wait, f.After))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		case <-t.C:
		}
		wait = min(2*wait, lastWait)
	}
}

// appendHalves finds the records at fault in a batch that was refused for good.
func appendHalves(ctx context.Context, to bus.Appender, scope obs.Scope, component string, records []*bus.Record) ([]*bus.Record, error) {
	if len(records) == 1 {
		return records, nil
	}
	half := len(records) / 2
	first, err := Append(ctx, to, scope, component, records[:half])
	if err != nil {
		return nil, err
	}
	second, err := Append(ctx, to, scope, component, records[half:])
	if err != nil {
		return nil, err
	}
	return append(slices.Clip(first), second...), nil
}
