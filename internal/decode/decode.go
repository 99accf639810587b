// Package decode owns what all decoders have in common: what goes in beside
// the bytes of a record, and what comes out. A decoder is a pure function,
// bytes of one format to events in the Elastic Common Schema; each is in a
// package below. It knows nothing of the log.
package decode

import "time"

// MaxLine is the largest record a decoder takes, in bytes; the largest that
// the *_ingest topics hold.
const MaxLine = 16 << 20

// Codes of permanent faults, all that a decoder gives.
const (
	CodeJSONInvalid   = "json_invalid"    // not one JSON object
	CodeTooManyFields = "too_many_fields" // more than a document may have
	CodeLineTooLong   = "line_too_long"   // longer than MaxLine
	CodeNoTimestamp   = "timestamp_missing"
	CodeNoEventType   = "event_type_missing"
	CodeUnknownFormat = "format_unknown" // none of those the decoder reads
)

// Meta is what is known of a record beside its bytes.
type Meta struct {
	// Origin identifies what the record was made from; ids come from it.
	Origin string
	// Where the raw bytes lie on the log. An empty topic leaves it out.
	Topic     string
	Partition int32
	Offset    int64
	// Format is how the line is to be read where it does not say itself: the
	// header decoder-format.
	Format string
	// Index counts the events of one record, for formats that have several.
	Index int
	// Time is the record's on the log, for formats whose lines have none.
	Time time.Time
	// Capture names the capture the record was replayed from, if any.
	Capture string
}

// Event is a decoded event. All slices are of one buffer, the one given to
// the decoder or what it grew to.
type Event struct {
	JSON []byte // one nested ECS object
	ID   []byte // event.id
	Time []byte // @timestamp, RFC 3339 in UTC
	// Key of the record on the topic events: the monitored address, else the
	// community id, else the host, else the sensor.
	Key []byte
	Buf []byte // the whole buffer, for the next call
}
