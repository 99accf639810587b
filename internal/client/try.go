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

// Errors of trying a record with a client of this process.
var (
	ErrNoClient = errors.New("no such stage or sink runs in this process")
	ErrNoTry    = errors.New("this sink cannot tell without writing")
)

// Tried is what a client would make of a record.
type Tried struct {
	Outputs []*bus.Record // of a stage
	Sink    bool          // it is a sink, and would write the record
}

// Try runs a record through the stage of that name, as it runs here, or asks
// the sink of that name; nothing is written. Either may be asked while it
// handles records of its own.
func (r *Runtime) Try(ctx context.Context, name string, in *Record) (Tried, error) {
	c := r.Client(name)
	if c == nil {
		return Tried{}, ErrNoClient
	}
	if c.spec.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.spec.Timeout)
		defer cancel()
	}
	if c.spec.Sink != nil {
		tryer, can := c.spec.Sink.(Tryer)
		if !can {
			return Tried{}, ErrNoTry
		}
		return Tried{Sink: true}, trySink(ctx, tryer, in)
	}
	outputs, err := TryFrom(ctx, c.spec.Stage, in)
	return Tried{Outputs: outputs}, err
}

func trySink(ctx context.Context, s Tryer, in *Record) (err error) {
	defer recovered(&err)
	return s.Try(ctx, in)
}
