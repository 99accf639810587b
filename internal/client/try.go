package client

import (
	"context"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Try runs a record through a stage and returns what it emits, or its error;
// nothing is written. A panic is returned as the permanent fault it is.
func Try(ctx context.Context, s Stage, r *bus.Record) ([]*bus.Record, error) {
	return TryFrom(ctx, s, &Record{Record: r, Origin: bus.Value(r, event.HeaderOrigin)})
}

// TryFrom is Try for a record whose origin is known.
func TryFrom(ctx context.Context, s Stage, in *Record) ([]*bus.Record, error) {
	var out Output
	out.begin(in)
	if err := protected(ctx, s, in, &out); err != nil {
		return nil, err
	}
	return out.records, out.err
}
