// Package bus is the way to the log, embedded or cluster: the catalogue of
// topics, appending, reading in a consumer group, administration and lag. It
// does not know what a record's bytes mean.
package bus

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is one message on the log: key, value bytes, headers.
type Record = kgo.Record

// Header is one header of a record.
type Header = kgo.RecordHeader

// Appender appends records to the log. Append returns nil only when the log
// has acknowledged every record; after an error some may have been appended,
// and appending them again is harmless, since ids come from their origin. The
// log owns the records' bytes until Append returns. It may be called
// concurrently; order is kept per key for calls made one after the other.
type Appender interface {
	Append(ctx context.Context, records ...*Record) error
}

// Value returns the value of the record's last header of that key, or "".
func Value(r *Record, key string) string {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == key {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}
