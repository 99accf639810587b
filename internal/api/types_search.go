package api

import (
	"encoding/json"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
)

// Search asks for events, newest first.
type Search struct {
	Q      string `json:"q,omitempty" doc:"the query; empty matches all"`
	Limit  int    `json:"limit,omitempty" doc:"1 to 1000, 100 when absent; of a stream, 0 is all"`
	Cursor string `json:"cursor,omitempty" doc:"of the page before"`
	Range
}

// SearchPage is one page of events.
type SearchPage struct {
	Docs   []json.RawMessage `json:"docs"`
	Cursor string            `json:"cursor,omitempty"`
	TookMS float64           `json:"took_ms"`
}

// Counted is a number of events.
type Counted struct {
	Count uint64 `json:"count"`
}

// Question is a query over an interval.
type Question struct {
	Q string `json:"q,omitempty" doc:"the query; empty matches all"`
	Range
}

// FacetQuestion asks for the most frequent values of a field.
type FacetQuestion struct {
	Field string `json:"field" doc:"ECS field, dotted"`
	Limit int    `json:"limit,omitempty" doc:"1 to 1000, 10 when absent"`
	Question
}

// HistogramQuestion asks for counts by steps of time.
type HistogramQuestion struct {
	Step  string `json:"step,omitempty" doc:"such as 1m or 1h; one of about sixty in the interval when absent"`
	Split string `json:"split,omitempty" doc:"ECS field to split by"`
	Question
}

// Buckets is a list of values with their counts.
type Buckets struct {
	Buckets []store.Bucket `json:"buckets"`
}

// Histogram is counts by steps of time, for each value of the split, "" when
// there is none.
type Histogram struct {
	Series map[string][]store.Bucket `json:"series"`
	StepMS int64                     `json:"step_ms"`
}

// Stats is what a person who looks once a day wants to know.
type Stats struct {
	From       time.Time       `json:"from"`
	To         time.Time       `json:"to"`
	Events     []store.Bucket  `json:"events" doc:"events by event.dataset"`
	Total      uint64          `json:"total"`
	Counts     inbox.Counts    `json:"counts"`
	Alerts     Histogram       `json:"alerts" doc:"alerts by decoder.alert.severity"`
	Components []obs.Status    `json:"components"`
	Sensors    []Sensor        `json:"sensors"`
	Groups     []bus.GroupInfo `json:"groups"`
	Answer     Answer          `json:"answer"`
}

// Answer is one sentence on whether anything is wrong.
type Answer struct {
	Level obs.Level `json:"level"`
	Text  string    `json:"text"`
	Link  string    `json:"link,omitempty" doc:"where in the UI to look"`
}

// EmptyQuestion asks why a page shows nothing.
type EmptyQuestion struct {
	Page    string `json:"page" enum:"inbox,search"`
	Filters bool   `json:"filters,omitempty" doc:"whether filters besides the interval are in force"`
	Question
}

// EmptyAnswer says why a page shows nothing, from the live chain: sensor last
// heard, topic offset, client lag and dead letters, newest event in the store,
// filters in force.
type EmptyAnswer struct {
	Reason EmptyReason `json:"reason"`
	Text   string      `json:"text"`
	Link   string      `json:"link,omitempty"`
	Action string      `json:"action,omitempty" doc:"what the link does"`
}

// EmptyReason is why a page is empty.
type EmptyReason string

// The reasons.
const (
	EmptyNoSensor EmptyReason = "no_sensor" // no sensor has ever sent anything
	EmptyBehind   EmptyReason = "behind"    // a client is behind, or not running
	EmptyFiltered EmptyReason = "filtered"  // filters hide what there is
	EmptyRange    EmptyReason = "range"     // nothing in this interval, but outside it
	EmptyZero     EmptyReason = "zero"      // nothing to do: inbox zero
)

// Tail asks for the records of a topic.
type Tail struct {
	Topic     string `json:"-" path:"topic"`
	Last      int64  `json:"last,omitempty" doc:"begin with the last N records of each partition, 10 when no beginning is given"`
	From      string `json:"from,omitempty" doc:"begin here instead: begin (the first record there is), end or next (behind the last), an offset, or a time: RFC 3339, a date, or an age"`
	Partition string `json:"partition,omitempty" doc:"of this partition alone"`
	Limit     int    `json:"limit,omitempty" doc:"0 is no limit"`
	Follow    bool   `json:"follow,omitempty" doc:"go on at the end of the log"`
}

// Record is a record of the log. Key and value are text where they are valid
// UTF-8, else base 64.
type Record struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	Key       Bytes     `json:"key"`
	Value     Bytes     `json:"value"`
	Headers   []Header  `json:"headers,omitempty"`
}

// RecordTime returns a record's time, or none if it is of a year that JSON
// cannot say: a producer may claim any.
func RecordTime(t time.Time) time.Time {
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}
	}
	return t.UTC()
}

// Header is a header of a record.
type Header struct {
	Key   string `json:"key"`
	Value Bytes  `json:"value"`
}
