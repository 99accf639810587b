package client

import (
	"context"
	"errors"

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

// ErrNoStage is returned for a name that is none of a stage in this process.
var ErrNoStage = errors.New("no such stage runs in this process")

// Try is TryFrom with the stage of that name, as it runs here. A stage may be
// asked while it handles records of its own.
func (r *Runtime) Try(ctx context.Context, name string, in *Record) ([]*bus.Record, error) {
	c := r.Client(name)
	if c == nil || c.spec.Stage == nil {
		return nil, ErrNoStage
	}
	if c.spec.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.spec.Timeout)
		defer cancel()
	}
	return TryFrom(ctx, c.spec.Stage, in)
}
