package stagetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

type compact struct{}

func (compact) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	var v any
	if err := json.Unmarshal(in.Value, &v); err != nil {
		return fault.NewPermanent("no_json", err)
	}
	value, err := json.Marshal(v)
	if err != nil {
		return fault.NewPermanent("no_json", err)
	}
	out.Emit(bus.TopicEvents, in.Key, value, bus.Header{Key: event.HeaderID, Value: []byte(event.ID(in.Origin, event.KindEvent, 0))})
	return nil
}

func TestAStageThatKeepsTheContractPasses(t *testing.T) {
	c := stagetest.Case{
		New: func(testing.TB) client.Stage { return compact{} }, Input: bus.TopicJSON, Outputs: []string{bus.TopicEvents},
		Bad: []stagetest.Record{{Value: "{"}, {Value: ""}},
	}
	for i := range 200 {
		c.Good = append(c.Good, stagetest.Record{Key: strconv.Itoa(i % 5), Value: fmt.Sprintf(`{ "n": %d }`, i)})
	}
	stagetest.Check(t, c)
}
