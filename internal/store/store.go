// Package store says what search means: documents in, queries, pages, facets
// and histograms out. The stores themselves are in the packages below it.
package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Doc is a document to be stored: one ECS JSON object. What it lacks of
// event.id and @timestamp is added when it is read.
type Doc struct {
	ID      string    // event.id; one document is kept per id. The same id always comes with the same time
	Time    time.Time // @timestamp
	Capture bool      // replayed: kept outside the limit by event time
	Rerun   bool      // made by a rerun, with the field [FieldRerun]: found only by who asks for it
	JSON    []byte
}

// FieldRerun is the field of documents that a rerun made: the rerun's id. A
// query that does not name it finds none of them, and no subscription does.
const FieldRerun = "decoder.rerun.id"

// Range is a half-open interval of event time; a zero bound is open.
type Range struct{ From, To time.Time }

// Search is one question for documents, newest first, those of one time by
// descending id. Documents that are written meanwhile never move others
// between pages.
type Search struct {
	Query  *Query
	Range  Range
	Limit  int    // of documents a page; 100 when it is 0, at most [MaxLimit]
	Cursor string // of the page before; "" is the first
}

// MaxLimit is the largest page. One of large documents may be shorter.
const MaxLimit = 10_000

// Page is one page of documents, newest first.
type Page struct {
	Docs   []json.RawMessage // nested ECS objects with their types
	Cursor string            // of the next page; "" when this was the last
}

// Bucket is one value of a field, or one step of time, with its count.
type Bucket struct {
	Value string    `json:"value,omitempty"`
	Start time.Time `json:"start,omitzero"`
	Count uint64    `json:"count"`
}

// Reader answers questions. Every call returns when ctx ends, with its error;
// what the question itself is at fault for comes as a [*QueryError] or wraps
// [ErrTooBroad]. It may be used concurrently.
type Reader interface {
	Search(ctx context.Context, s Search) (Page, error)
	Count(ctx context.Context, q *Query, r Range) (uint64, error)
	// Facet returns the most frequent values of a field, most frequent first.
	// Each element of an array counts.
	Facet(ctx context.Context, q *Query, r Range, field string, limit int) ([]Bucket, error)
	// Histogram counts documents by steps of time, split by a field if one is
	// named: the outer key is its value, "" without a split. Steps begin at
	// multiples of step since 1970 in UTC and come in order; empty ones are left
	// out. A split has the 20 most frequent values, what is left is under "".
	Histogram(ctx context.Context, q *Query, r Range, step time.Duration, split string) (map[string][]Bucket, error)
	// Fields lists the names of fields that matching documents have, most
	// frequent first.
	Fields(ctx context.Context, q *Query, r Range) ([]Bucket, error)
}

// ErrTooBroad means that an answer would not fit into memory: a narrower time
// range or query has one.
var ErrTooBroad = errors.New("too much to answer at once: narrow the time range or the query")

// ErrClosed means that a store does not run, or no longer.
var ErrClosed = errors.New("the store is closed")

// ErrCursor means that a cursor is none that a page has had.
var ErrCursor = errors.New("not a cursor of a page")

// Writer takes documents. Write may buffer and drops a document whose id is
// already stored. A [DocErrors] names the documents that cannot be stored, all
// others count as written; any other error is the whole batch's, of which some
// may have been written, and writing it again is harmless. Flush returns when
// all written before it is durable and can be found. Committed says that what
// was flushed will not be written again. All may be called concurrently; the
// writer does not keep the documents' bytes.
type Writer interface {
	Write(ctx context.Context, docs []Doc) error
	Flush(ctx context.Context) error
	Committed()
}

// Tester is a writer that can tell whether it would take a document, without
// writing it. Test returns the error that Write would have for the document,
// as far as the document is at fault. It may be called concurrently.
type Tester interface {
	Test(ctx context.Context, d Doc) error
}

// DocErrors is the error of single documents of a batch, by their index: each
// is permanent (package fault) and has one of the codes below.
type DocErrors map[int]error

func (e DocErrors) Error() string {
	i := slices.Min(slices.Collect(maps.Keys(e)))
	return fmt.Sprintf("%d documents of the batch cannot be stored; document %d: %v", len(e), i, e[i])
}

// Codes of documents that cannot be stored.
const (
	CodeNotJSON  = "not_json"        // not one JSON object
	CodeID       = "id"              // no event.id, or not the one it came with
	CodeTooMany  = "too_many_fields" // more fields than the store takes
	CodeName     = "field_name"      // a field's name is too long
	CodeTooLarge = "too_large"
	CodeTooOld   = "too_old"       // a live document older than what is kept: a clock is wrong, or it comes very late
	CodeFuture   = "future"        // more than a day ahead: a clock is wrong
	CodeDays     = "too_many_days" // captures spread over more days than the store takes
)

// Tailer passes on documents as they are written.
type Tailer interface {
	// Subscribe begins to pass on documents that match. buffer is how many may
	// wait; a subscriber that is slower misses some and can see how many.
	Subscribe(q *Query, buffer int) *Subscription
}

// Stats says what a store holds.
type Stats struct {
	Documents uint64        `json:"documents"`
	Bytes     uint64        `json:"bytes"` // on disk
	Folders   []FolderStats `json:"folders"`
	Damaged   []Damaged     `json:"damaged,omitempty"` // days whose documents were lost, from when they were moved aside
	Full      bool          `json:"full"`              // takes nothing until there is free disk again
}

// FolderStats says what one part of a store holds: live events, or captures.
type FolderStats struct {
	Name      string    `json:"name"`
	Documents uint64    `json:"documents"`
	Bytes     uint64    `json:"bytes"`
	Limit     int64     `json:"limit,omitempty"` // bytes; 0 is none
	Oldest    time.Time `json:"oldest,omitzero"`
	Newest    time.Time `json:"newest,omitzero"`
	Days      int       `json:"days"` // with documents
}

// Damaged is a day whose files were damaged and moved aside.
type Damaged struct {
	Day    string    `json:"day"` // YYYYMMDD, UTC
	Folder string    `json:"folder"`
	Reason string    `json:"reason"`
	Moved  time.Time `json:"moved"`
}

// Reporter is a store that says what it holds.
type Reporter interface {
	Stats(ctx context.Context) (Stats, error)
}
