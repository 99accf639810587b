package custom

import (
	"context"
	"fmt"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// CodeFormat is the code of a value that is not of the format it should be.
const CodeFormat = "format"

// converter reads one format and writes another. A value that holds several
// documents, as lines of csv, gives several records.
type converter struct {
	name   string
	to     string
	config Convert
}

// Handle implements [client.Stage].
func (c *converter) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	documents, err := parse(c.config, in.Value)
	if err != nil {
		return fault.NewPermanent(CodeFormat, fmt.Errorf("reading %s: %w", c.config.From, err))
	}
	for i, d := range documents {
		if c.config.To == "json" {
			if err := emit(out, in, c.name, c.to, in.Key, d, i); err != nil {
				return err
			}
			continue
		}
		value, err := format(c.config, d)
		if err != nil {
			return fault.NewPermanent(CodeFormat, fmt.Errorf("writing %s: %w", c.config.To, err))
		}
		base := bus.Value(in.Record, event.HeaderID)
		if base == "" {
			base = in.Origin
		}
		out.Emit(c.to, in.Key, value, bus.Header{Key: event.HeaderID, Value: []byte(event.ID(base, c.name, i))})
	}
	return nil
}
