package client_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// Shout is a stage that makes events of lines of text.
type Shout struct{}

// Handle implements client.Stage.
func (Shout) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	if len(in.Value) == 0 {
		return fault.NewPermanent("empty_line", errors.New("the line is empty"))
	}
	id := event.ID(in.Origin, event.KindEvent, 0)
	out.Emit(bus.TopicEvents, in.Key, bytes.ToUpper(in.Value), bus.Header{Key: event.HeaderID, Value: []byte(id)})
	return nil
}

// Spec is the stage's line in the list of components.
func (s Shout) Spec() client.Spec {
	return client.Spec{Name: "shout", Inputs: []string{bus.TopicSyslog}, Outputs: []string{bus.TopicEvents}, Stage: s}
}

func Example() {
	ctx := context.Background()
	log, err := bus.Open(ctx, bus.Config{Dir: "/var/lib/decoder/log"}, obs.Scope{})
	if err == nil {
		err = client.Run(ctx, log, Shout{}.Spec(), obs.Scope{})
	}
	slog.Error("stage has ended", "err", err) //nolint:sloglint // a main function has no other
}
