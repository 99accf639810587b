// Package inbox owns the triage of alerts: a view of alert groups, built from
// the topics alerts, email_alert and triage, and rebuildable from them at any
// time. It knows nothing of how a change reaches the log, nor of who may make
// one.
//
// The view is a function of the records that the log holds, not of the order
// in which they arrived from different partitions:
//
//   - One alert is kept per id: its first copy that the log still holds.
//   - A group's aggregates are those of the alerts of its highest revision;
//     an earlier revision is superseded.
//   - The last change of state in the topic triage wins, by offset. An archived
//     group is new again when it has an alert that the change had not seen: a
//     change carries the positions on the log up to which its author had seen
//     the group.
//   - What a rerun found are groups of their own, apart from the live ones: only
//     who asks for that rerun sees them. Nobody triages them.
//   - A group is shown while the log holds an alert of it. Its history stays
//     with the topic triage, and returns with the group.
package inbox

import (
	"encoding/json"
	"errors"
	"time"
)

// ErrNotFound is returned for a group of which the log holds no alert.
var ErrNotFound = errors.New("there is no such alert group in the inbox")

// State is where in triage a group stands.
type State string

// The states of a group.
const (
	StateNew       State = "new"
	StateEscalated State = "escalated"
	StateArchived  State = "archived"
)

// Action is what a change does to a group.
type Action string

// The actions. Reopen makes a group new; Note only adds its text.
const (
	Archive  Action = "archive"
	Escalate Action = "escalate"
	Reopen   Action = "reopen"
	Star     Action = "star"
	Unstar   Action = "unstar"
	Note     Action = "note"
)

// Actions are all actions there are.
func Actions() []Action { return []Action{Archive, Escalate, Reopen, Star, Unstar, Note} }

// Endpoint is one side of what an alert is about: for network alerts ECS
// source.* or destination.*, for mail the sender or the recipient.
type Endpoint struct {
	Address string `json:"address,omitempty"` // IP address or mail address
	Port    int    `json:"port,omitempty"`
	Name    string `json:"name,omitempty"` // display or host name
}

// Group is one row of the inbox: all alerts with the same group key.
type Group struct {
	Group       string    `json:"group"`
	State       State     `json:"state"`
	Starred     bool      `json:"starred"`
	Kind        string    `json:"kind"`     // network, host, mail, pipeline
	Severity    string    `json:"severity"` // low, medium, high, critical: the highest of the group
	Score       float64   `json:"score"`    // 0–100: the highest of the group
	Title       string    `json:"title"`
	Count       uint64    `json:"count"`
	First       time.Time `json:"first"` // @timestamp of the earliest alert
	Last        time.Time `json:"last"`  // @timestamp of the latest alert
	Revision    int       `json:"revision"`
	Source      Endpoint  `json:"source,omitzero"`
	Destination Endpoint  `json:"destination,omitzero"`
	Sensor      string    `json:"sensor,omitempty"`  // observer.name
	Rule        string    `json:"rule,omitempty"`    // rule.id
	Capture     string    `json:"capture,omitempty"` // the capture the last alert was replayed from
	Rerun       string    `json:"rerun,omitempty"`   // the rerun that found it; "" for the live ones
	Notes       int       `json:"notes"`
	Changed     time.Time `json:"changed,omitzero"` // of the last change in triage
	// Seen are the positions of the last alerts, one a partition: what archiving
	// this view of the group covers.
	Seen []Position `json:"seen"`
}

// Alert names one alert of a group.
type Alert struct {
	ID       string    `json:"id"` // event.id
	Time     time.Time `json:"time"`
	Severity string    `json:"severity"`
	Score    float64   `json:"score"`
	Revision int       `json:"revision"`
	Position
}

// Position is a place on the log.
type Position struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Change is one record of the topic triage, as JSON; its key is the group.
type Change struct {
	ID    string    `json:"id"` // random; a change appended twice is one
	Time  time.Time `json:"time"`
	Group string    `json:"group"`
	Who   string    `json:"who"`
	What  Action    `json:"what"`
	Why   string    `json:"why,omitempty"` // the text of a note, the reason of any other
	// Seen are the last alerts of the group that the author had before them,
	// one a partition. Only Archive needs it.
	Seen []Position `json:"seen,omitempty"`
}

// Counts are the numbers of groups by state, and of those not archived by
// severity.
type Counts struct {
	New       uint64            `json:"new"`
	Escalated uint64            `json:"escalated"`
	Archived  uint64            `json:"archived"`
	All       uint64            `json:"all"`
	Open      map[string]uint64 `json:"open"` // severity → groups new or escalated
}

// Filter says which groups are wanted. Empty fields do not filter.
type Filter struct {
	State    State
	Starred  bool
	Severity string    // the lowest wanted
	Kind     string    // exactly
	Sensor   string    // exactly
	Capture  string    // exactly; "-" for what was not replayed
	Rerun    string    // exactly: "" is the live groups
	Text     string    // part of title, group, address, name or rule id; case does not matter
	From, To time.Time // the last alert lies in this half-open interval
	Sort     string    // last (default), first, severity, score, count; always descending
	Limit    int       // 1 to 1000; 0 is 100
	Cursor   string    // of the page before
}

// List is one page of groups.
type List struct {
	Groups []Group `json:"groups"`
	Cursor string  `json:"cursor,omitempty"` // of the next page
	Counts Counts  `json:"counts"`           // of the whole inbox, or of the rerun, whatever the filter
	Hidden uint64  `json:"hidden"`           // groups of the same state that the other filters hide
}

// Detail is everything the inbox knows of a group.
type Detail struct {
	Group
	Document json.RawMessage `json:"document"` // the last alert, ECS
	Alerts   []Alert         `json:"alerts"`   // newest first, at most 100
	History  []Change        `json:"history"`  // oldest first, at most the last 500
}
