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

// Stage is the stage. It may be used concurrently.
type Stage struct {
	decoders map[string]decoder // by topic
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
	lines, err := syslog.New()
	if err != nil {
		return nil, err
	}
	return &Stage{
		decoders: map[string]decoder{bus.TopicSuricata: eve, bus.TopicZeek: logs, bus.TopicJSON: json, bus.TopicSyslog: lines},
		buffers:  sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

// Inputs returns the topics the stage has a decoder for.
func (s *Stage) Inputs() []string { return slices.Sorted(maps.Keys(s.decoders)) }

// Outputs returns the topics it appends to.
func (s *Stage) Outputs() []string { return []string{bus.TopicEvents} }

// largestBuffer is the most that is kept from one record for the next.
const largestBuffer = 1 << 20

// Handle decodes one record and emits its event. A record that is none of its
// decoder's format is a permanent fault.
func (s *Stage) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	d, ok := s.decoders[in.Topic]
	if !ok {
		return fault.NewPermanent(codeNoDecoder, fmt.Errorf("normalising a record of %s: no decoder", in.Topic))
	}
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	ev, err := d.Decode(in.Value, decode.Meta{
		Origin: in.Origin, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset,
		Time: in.Timestamp, Capture: bus.Value(in.Record, event.HeaderCapture), Format: bus.Value(in.Record, event.HeaderFormat),
	}, (*buf)[:0])
	if err != nil {
		return err
	}
	if ev.JSON == nil {
		return nil // a line that says something of others, as a log's header does
	}
	out.Emit(bus.TopicEvents, ev.Key, ev.JSON,
		bus.Header{Key: event.HeaderID, Value: ev.ID}, bus.Header{Key: event.HeaderTime, Value: ev.Time})
	if *buf = ev.Buf; cap(*buf) > largestBuffer {
		*buf = nil
	}
	return nil
}
