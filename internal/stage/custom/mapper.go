package custom

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/expr-lang/expr/vm"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// mapper makes other documents of records.
type mapper struct {
	name    string
	program *vm.Program
	to      string
}

func newMapper(c Config) (client.Stage, error) {
	program, err := compile(c.Map)
	return &mapper{name: c.Name, program: program, to: c.To}, err
}

// Handle implements [client.Stage].
func (m *mapper) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	e, err := see(in)
	if err != nil {
		return err
	}
	result, err := evaluate(m.program, e)
	if err != nil || result == nil {
		return err
	}
	documents, ok := result.([]any)
	if !ok {
		documents = []any{result}
	}
	for i, d := range documents {
		object, ok := d.(map[string]any)
		if !ok {
			return fault.NewPermanent(CodeResult, fmt.Errorf("the expression gave %T, want an object", d))
		}
		if err := emit(out, in, m.name, m.to, in.Key, object, i); err != nil {
			return err
		}
	}
	return nil
}

// emit emits the i-th document a stage made of a record. The document is new,
// so it has an id of its own; one that calls itself an event bears it.
func emit(out *client.Output, in *client.Record, stage, topic string, key []byte, document map[string]any, i int) error {
	base := bus.Value(in.Record, event.HeaderID)
	if base == "" {
		base = in.Origin
	}
	id := event.ID(base, stage, i)
	if own, is := document["event"].(map[string]any); is {
		with := make(map[string]any, len(own)+1) // the input's map may be shared
		maps.Copy(with, own)
		with["id"] = id
		document = merged(document, "event", with)
	}
	value, err := json.Marshal(document)
	if err != nil {
		return fault.NewPermanent(CodeResult, err)
	}
	headers := []bus.Header{{Key: event.HeaderID, Value: []byte(id)}}
	if t := timeOf(in, document); t != "" {
		headers = append(headers, bus.Header{Key: event.HeaderTime, Value: []byte(t)})
	}
	out.Emit(topic, key, value, headers...)
	return nil
}

// timeOf is the document's own time, else the input's.
func timeOf(in *client.Record, document map[string]any) string {
	if text, is := document["@timestamp"].(string); is {
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t.UTC().Format(time.RFC3339Nano)
		}
	}
	return bus.Value(in.Record, event.HeaderTime)
}

// merged returns a copy of the object with one field set.
func merged(object map[string]any, field string, value any) map[string]any {
	with := make(map[string]any, len(object)+1)
	maps.Copy(with, object)
	with[field] = value
	return with
}
