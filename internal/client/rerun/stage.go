package rerun

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// stage runs another and sends all it makes to the topic reruns.
type stage struct {
	inner client.Stage
	run   string
	until map[bus.Partition]int64
}

// again wraps a stage, whose Check and Close stay its own.
func again(inner client.Stage, run Run) client.Stage {
	s := &stage{inner: inner, run: run.ID, until: run.ends()}
	if _, checks := inner.(client.Checker); checks {
		return checked{s}
	}
	return s
}

// Close implements [client.Closer].
func (s *stage) Close() error {
	if c, ok := s.inner.(client.Closer); ok {
		return c.Close()
	}
	return nil
}

// checked is a stage that has another side.
type checked struct{ *stage }

// Check implements [client.Checker].
func (c checked) Check(ctx context.Context) error { return c.inner.(client.Checker).Check(ctx) }

// Handle implements [client.Stage].
func (s *stage) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	if in.Resent || in.Offset >= s.until[bus.Partition{Topic: in.Topic, Partition: in.Partition}] {
		return nil
	}
	made, err := client.TryFrom(ctx, s.inner, in)
	if err != nil {
		if e := fault.Of(err); e.Class == fault.Permanent {
			s.fails(in, e, out)
			return nil
		}
		return err
	}
	for i, r := range made {
		s.emit(in, i, r, out)
	}
	return nil
}

func (s *stage) emit(in *client.Record, i int, r *bus.Record, out *client.Output) {
	live := bus.Value(r, event.HeaderID)
	if live == "" {
		live = event.ID(in.Origin, r.Topic, i)
	}
	id := event.ID(s.run+":"+live, kindOf, 0)
	value, of := s.marked(r.Value, id)
	headers := []bus.Header{
		{Key: HeaderRun, Value: []byte(s.run)}, {Key: HeaderKind, Value: []byte(kindDocument)},
		{Key: HeaderLiveID, Value: []byte(live)}, {Key: HeaderTopic, Value: []byte(r.Topic)},
		{Key: headerDigest, Value: []byte(of.String())}, {Key: event.HeaderID, Value: []byte(id)},
	}
	for _, kept := range []string{event.HeaderTime, event.HeaderOrigin} {
		if v := bus.Value(r, kept); v != "" {
			headers = append(headers, bus.Header{Key: kept, Value: []byte(v)})
		}
	}
	out.Emit(bus.TopicReruns, r.Key, value, headers...)
}

func (s *stage) fails(in *client.Record, e *fault.Error, out *client.Output) {
	value, err := json.Marshal(map[string]any{"error": e.Err.Error(), "error_code": e.Code, "origin": in.Origin,
		"topic": in.Topic, "partition": in.Partition, "offset": in.Offset})
	if err != nil {
		value = nil // texts and numbers always marshal
	}
	out.Emit(bus.TopicReruns, in.Key, value,
		bus.Header{Key: HeaderRun, Value: []byte(s.run)}, bus.Header{Key: HeaderKind, Value: []byte(kindFailure)},
		bus.Header{Key: event.HeaderID, Value: []byte(event.ID(s.run+":"+in.Origin, kindFailure, 0))})
}

// marked returns the document with its id in this run and the run's id, so
// that a store shows it apart, and the digest of what it was. What is no JSON
// object stays as it is.
func (s *stage) marked(value []byte, id string) ([]byte, digest) {
	of := digest{exact: hash(value)}
	of.content = of.exact
	document := object(value)
	if document == nil {
		return value, of
	}
	canonical, err := json.Marshal(document)
	if err != nil {
		return value, of
	}
	of.content = hash(canonical)
	own, _ := document["decoder"].(map[string]any)
	if own == nil {
		own = map[string]any{}
	}
	own["rerun"] = map[string]any{"id": s.run}
	document["decoder"] = own
	if e, is := document["event"].(map[string]any); is {
		e["id"] = id
	}
	marked, err := json.Marshal(document)
	if err != nil {
		return value, of
	}
	return marked, of
}

// object reads a JSON object, with its numbers as they stand; nil for what is
// none.
func object(value []byte) map[string]any {
	decoder := json.NewDecoder(bytes.NewReader(value))
	decoder.UseNumber()
	var document map[string]any
	if decoder.Decode(&document) != nil {
		return nil
	}
	return document
}
