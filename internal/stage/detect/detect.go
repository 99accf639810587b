// Package detect is the stage that makes alerts of events: it shows each event
// to a list of detectors and appends what they find to the topic alerts. It
// decides by the event alone and remembers nothing.
package detect

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Name is the stage's as a client of the log.
const Name = "detect"

// Codes of permanent faults.
const (
	codeEventInvalid = "event_invalid" // not one JSON object
	codeNoIdentity   = "event_without_identity"
)

// The stage's own fields, before those of the detectors.
const (
	fieldTimestamp = iota
	fieldID
	fieldCapture
	fieldCategory
	fieldType
	ownFields
)

// Stage is the stage. It may be used concurrently.
type Stage struct {
	detectors []Detector
	first     []int // of each detector's fields among all
	readers   sync.Pool
}

// New returns the stage with its detectors, in the order in which they look.
func New(detectors ...Detector) *Stage {
	fields := []string{"@timestamp", "event.id", "decoder.capture.name", "event.category", "event.type"}
	s := &Stage{detectors: detectors}
	index := map[string]int{}
	for i, f := range fields {
		index[f] = i
	}
	for _, d := range detectors {
		s.first = append(s.first, len(fields))
		fields = append(fields, d.Fields()...)
	}
	s.readers.New = func() any { return newReader(fields, copied()) }
	return s
}

// copied names the objects of an event that an alert of it has too.
func copied() []string {
	return []string{"client", "destination", "email", "file", "host", "network", "observer", "process", "related", "rule", "server",
		"source", "threat", "url", "user", "user_agent", "vulnerability", "dns.question", "tls.client.server_name"}
}

// Inputs returns the topics the stage reads.
func (s *Stage) Inputs() []string { return []string{bus.TopicEvents} }

// Outputs returns the topics it appends to.
func (s *Stage) Outputs() []string { return []string{bus.TopicAlerts} }

// Handle shows an event to all detectors and emits an alert for each finding.
func (s *Stage) Handle(_ context.Context, in *client.Record, out *client.Output) error {
	r := s.readers.Get().(*reader)
	defer func() { r.release(); s.readers.Put(r) }()
	if err := r.read(in.Value); err != nil {
		return fault.NewPermanent(codeEventInvalid, fmt.Errorf("reading an event: %w", err))
	}
	for i, d := range s.detectors {
		found, err := d.Detect(Event{r, s.first[i]})
		if err != nil {
			return fmt.Errorf("detecting by %s: %w", d.Name(), err)
		}
		for n, f := range found {
			if err := emit(out, r, f, alertID(in.Origin, d.Name(), n)); err != nil {
				return err
			}
		}
	}
	return nil
}

func emit(out *client.Output, r *reader, f Finding, id string) error {
	e := Event{r, 0}
	of := behind{
		timestamp: e.String(fieldTimestamp), id: e.String(fieldID), capture: e.String(fieldCapture),
		category: e.Strings(fieldCategory), typ: e.Strings(fieldType),
	}
	if of.timestamp == "" || of.id == "" {
		return fault.NewPermanent(codeNoIdentity, errors.New("reading an event: no @timestamp or no event.id"))
	}
	doc, err := f.alert(id, of, r)
	if err != nil {
		return err
	}
	out.Emit(bus.TopicAlerts, []byte(f.Group), doc,
		bus.Header{Key: event.HeaderID, Value: []byte(id)}, bus.Header{Key: event.HeaderTime, Value: []byte(of.timestamp)})
	return nil
}
