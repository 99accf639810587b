// Package normalise is the stage that makes events of what sources brought:
// it reads the *_ingest topics, gives each record to the decoder of its topic
// and appends what comes out to the topic events. It knows no format.
package normalise

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/jsonline"
	"github.com/decodersring/decoder/internal/decode/osquery"
	"github.com/decodersring/decoder/internal/decode/suricata"
	"github.com/decodersring/decoder/internal/decode/syslog"
	"github.com/decodersring/decoder/internal/decode/zeek"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Name is the stage's as a client of the log.
const Name = "normalise"

// codeNoDecoder is the code of the fault of a record from a topic that has no
// decoder, as a resent one may be.
const codeNoDecoder = "no_decoder"

// Options are what the stage is made with. The zero value is of use.
type Options struct {
	// Home is the monitored networks; nil is the private ones.
	Home decode.Home
	// Sensor names the sensor of events that name none.
	Sensor string
	// Original keeps the raw line in event.original of all Suricata events,
	// not of alerts alone.
	Original bool
}

// decoder is what all decoders of one event a record are.
type decoder interface {
	Decode(line []byte, meta decode.Meta, dst []byte) (decode.Event, error)
}

// several is what decoders of several events a record are.
type several interface {
	DecodeAll(line []byte, meta decode.Meta, dst []byte, emit func(decode.Event)) ([]byte, error)
}

// Stage is the stage. It may be used concurrently.
type Stage struct {
	decoders map[string]decoder // by topic
	several  map[string]several // by topic too
	buffers  sync.Pool
}

// New returns the stage.
func New(o Options) (*Stage, error) {
	eve, err := suricata.New(suricata.Options{Home: o.Home, Sensor: o.Sensor, Original: o.Original})
	if err != nil {
		return nil, err
	}
	json, err := jsonline.New(jsonline.Options{Home: o.Home})
	if err != nil {
		return nil, err
	}
	logs, err := zeek.New(zeek.Options{Home: o.Home})
	if err != nil {
		return nil, err
	}
	results, err := osquery.New(osquery.Options{Home: o.Home})
	if err != nil {
		return nil, err
	}
	lines, err := syslog.New()
	if err != nil {
		return nil, err
	}
	return &Stage{
		decoders: map[string]decoder{bus.TopicSuricata: eve, bus.TopicZeek: logs, bus.TopicJSON: json, bus.TopicSyslog: lines},
		several:  map[string]several{bus.TopicOsquery: results},
		buffers:  sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// Inputs returns the topics the stage has a decoder for.
func (s *Stage) Inputs() []string {
	topics := slices.AppendSeq(slices.Collect(maps.Keys(s.decoders)), maps.Keys(s.several))
	slices.Sort(topics)
	return topics
}

// Outputs returns the topics it appends to.
func (s *Stage) Outputs() []string { return []string{bus.TopicEvents} }

// largestBuffer is the most that is kept from one record for the next.
const largestBuffer = 1 << 20

// Handle decodes one record and emits its events. A record that is none of its
// decoder's format is a permanent fault.
func (s *Stage) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	meta := decode.Meta{
		Origin: in.Origin, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset, Time: in.Timestamp,
		Capture: bus.Value(in.Record, event.HeaderCapture), Format: bus.Value(in.Record, event.HeaderFormat),
	}
	var err error
	if d, ok := s.decoders[in.Topic]; ok {
		var ev decode.Event
		if ev, err = d.Decode(in.Value, meta, (*buf)[:0]); err != nil {
			return err
		}
		emit(out, ev)
		*buf = ev.Buf
	} else if d, ok := s.several[in.Topic]; ok {
		if *buf, err = d.DecodeAll(in.Value, meta, (*buf)[:0], func(ev decode.Event) { emit(out, ev) }); err != nil {
			return err
		}
	} else {
		return fault.NewPermanent(codeNoDecoder, fmt.Errorf("normalising a record of %s: no decoder", in.Topic))
	}
	if cap(*buf) > largestBuffer {
		*buf = nil
	}
	return nil
}

// emit appends an event, unless the line was one that says something of others,
// as a log's header does.
func emit(out *client.Output, ev decode.Event) {
	if ev.JSON != nil {
		out.Emit(bus.TopicEvents, ev.Key, ev.JSON,
			bus.Header{Key: event.HeaderID, Value: ev.ID}, bus.Header{Key: event.HeaderTime, Value: ev.Time})
	}
}
