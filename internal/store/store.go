// Package store says what search means: documents in, queries, pages, facets
// and histograms out. The stores themselves are in the packages below it.
package store

import (
	"context"
	"encoding/json"
	"time"
)

// Doc is a document to be stored: one ECS JSON object.
type Doc struct {
	ID      string    // event.id; one document is kept per id
	Time    time.Time // @timestamp
	Capture bool      // replayed: kept outside the limit by event time
	JSON    []byte
}

// Range is a half-open interval of event time; a zero bound is open.
type Range struct{ From, To time.Time }

// Search is one question for documents, newest first.
type Search struct {
	Query  *Query
	Range  Range
	Limit  int
	Cursor string // of the page before; "" is the first
}

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

// Reader answers questions. Every call returns when ctx ends, with its error.
type Reader interface {
	Search(ctx context.Context, s Search) (Page, error)
	Count(ctx context.Context, q *Query, r Range) (uint64, error)
	// Facet returns the most frequent values of a field, most frequent first.
	Facet(ctx context.Context, q *Query, r Range, field string, limit int) ([]Bucket, error)
	// Histogram counts documents by steps of time, split by a field if one is
	// named: the outer key is its value, "" without a split.
	Histogram(ctx context.Context, q *Query, r Range, step time.Duration, split string) (map[string][]Bucket, error)
	// Fields lists the names of fields that matching documents have.
	Fields(ctx context.Context, q *Query, r Range) ([]Bucket, error)
}

// Writer takes documents. Write may buffer and drops a document whose id is
// already stored; Flush returns when all written before it is durable;
// Committed says that what was flushed will not be written again.
type Writer interface {
	Write(ctx context.Context, docs []Doc) error
	Flush(ctx context.Context) error
	Committed()
}
