package detect

import (
	"encoding/json"
	"fmt"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// A Detector looks at one event at a time and says what is to be alerted on.
//
// Fields names the values it wants of an event, dotted paths; Detect gets them
// by their index. Detect is called concurrently, may not block, and takes its
// time from the event alone: the same event always gives the same findings. An
// error is classified by package fault.
type Detector interface {
	Name() string
	Fields() []string
	Detect(e Event) ([]Finding, error)
}

// Kind is which part of what is watched a finding is of.
type Kind string

// The kinds of finding.
const (
	Network  Kind = "network"
	Host     Kind = "host"
	Pipeline Kind = "pipeline"
)

// Severity is how much a finding matters.
type Severity string

// The severities, least first.
const (
	Low      Severity = "low"
	Medium   Severity = "medium"
	High     Severity = "high"
	Critical Severity = "critical"
)

// number is the severity in event.severity of an alert.
func (s Severity) number() int {
	switch s {
	case Critical:
		return 4
	case High:
		return 3
	case Medium:
		return 2
	default:
		return 1
	}
}

// Check is one reason for a finding's score. The points of all add up to it.
type Check struct {
	Name     string `json:"name"`
	Points   int    `json:"points"`
	Evidence string `json:"evidence"`
	Version  int64  `json:"version"`
	Benign   string `json:"benign"` // what would make it harmless
}

// Finding is what a detector found in an event. Its score is the sum of its
// checks' points, held between 0 and 100.
type Finding struct {
	Group    string // what belongs together in the inbox; also the record's key
	Kind     Kind
	Severity Severity
	Title    string
	Badges   []string // at most three words or short names
	Checks   []Check
	Rule     *Rule // other than the event's own object rule says; nil: that stands
}

func (f Finding) score() int {
	sum := 0
	for _, c := range f.Checks {
		sum += c.Points
	}
	return min(max(sum, 0), 100)
}

// document is the part of an alert that is not taken over from the event.
type document struct {
	Timestamp string        `json:"@timestamp"`
	Message   string        `json:"message"`
	ECS       ecsField      `json:"ecs"`
	Event     eventFields   `json:"event"`
	Decoder   decoderFields `json:"decoder"`
	Rule      any           `json:"rule,omitempty"` // else the event's is taken over
}

type ecsField struct {
	Version string `json:"version"`
}

type eventFields struct {
	Category []string `json:"category,omitempty"`
	Dataset  string   `json:"dataset"`
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	Module   string   `json:"module"`
	Risk     int      `json:"risk_score"`
	Severity int      `json:"severity"`
	Type     []string `json:"type,omitempty"`
}

type decoderFields struct {
	Alert   alertFields    `json:"alert"`
	Capture *captureFields `json:"capture,omitempty"`
}

type captureFields struct {
	Name string `json:"name"`
}

type alertFields struct {
	Badges   []string `json:"badges,omitempty"`
	Checks   []Check  `json:"checks"`
	Events   []string `json:"events"`
	Group    string   `json:"group"`
	Kind     Kind     `json:"kind"`
	Revision int      `json:"revision"`
	Score    int      `json:"score"`
	Severity Severity `json:"severity"`
	Title    string   `json:"title"`
}

// behind is the event that a finding is of.
type behind struct {
	timestamp, id, capture string
	category, typ          []string
}

// alert writes the alert of a finding, with the objects taken over from the
// event behind it.
func (f Finding) alert(id string, of behind, r *reader) ([]byte, error) {
	d := document{
		Timestamp: of.timestamp, Message: f.Title, ECS: ecsField{ecs.Version},
		Event: eventFields{
			Category: of.category, Dataset: "decoder.alert", ID: id, Kind: "alert", Module: "decoder",
			Risk: f.score(), Severity: f.Severity.number(), Type: of.typ,
		},
		Decoder: decoderFields{Alert: alertFields{
			Badges: f.Badges, Checks: f.Checks, Events: []string{of.id}, Group: f.Group,
			Kind: f.Kind, Score: f.score(), Severity: f.Severity, Title: f.Title,
		}},
	}
	if of.capture != "" {
		d.Decoder.Capture = &captureFields{of.capture}
	}
	own := ""
	if f.Rule != nil {
		rule, err := r.object(objectRule)
		if err != nil {
			return nil, err
		}
		f.Rule.fields(rule)
		d.Rule, own = rule, objectRule
	}
	out, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing an alert: %w", err)
	}
	out = append(out[:len(out)-1], ',')
	n := len(out)
	if out = r.appendCopied(out, own); len(out) == n {
		out = out[:n-1]
	}
	return append(out, '}'), nil
}

// alertID is the id of a detector's n-th finding in the record of that origin.
func alertID(origin, detector string, n int) string {
	return event.ID(origin, event.KindAlert+"/"+detector, n)
}
