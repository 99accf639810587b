// Package dead owns what a dead letter is: a record that a client could not
// handle, kept whole with the reason in added headers; how it is listed,
// edited, resent and discarded. It knows no client's handler.
package dead

import (
	"encoding/json"
	"slices"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// Headers a dead letter has behind those of the original record. The first is
// the border: what stands before its last appearance is the original's.
const (
	HeaderFormat         = "decoder-dead" // of these headers; "1"
	HeaderStage          = "stage"
	HeaderError          = "error"
	HeaderErrorCode      = "error_code"
	HeaderAttempts       = "attempts"
	HeaderOriginTopic    = "origin_topic"
	HeaderOriginPart     = "origin_partition"
	HeaderOriginOffset   = "origin_offset"
	HeaderFirstFailedAt  = "first_failed_at" // RFC 3339 with nanoseconds, UTC
	HeaderLastFailedAt   = "last_failed_at"
	HeaderVersion        = "version"
	HeaderOrigin         = "origin"  // what ids are made from
	HeaderHistory        = "history" // JSON array of earlier failures, oldest first
	HeaderEditedFrom     = "edited_from"
	format               = "1"
	maxError             = 8 << 10
	maxHistory           = 20
	timeLayout           = time.RFC3339Nano
	headersOfOneLetter   = 14
	historyErrorBytes    = 512
	truncationMark       = " … (shortened)"
	headerResend         = "decoder-resend" // border of a resent record's headers
	headerResendClient   = "client"
	headerResendKey      = "key"
	headerResendTime     = "timestamp"
	headerResendBy       = "by"
	headerResendLetter   = "letter"
	headerResendNilKey   = "nil_key"
	headerResendNilValue = "nil_value"
)

// Failure is one time a record was given up.
type Failure struct {
	Error    string    `json:"error"`
	Code     string    `json:"error_code"`
	Attempts int       `json:"attempts"`
	First    time.Time `json:"first_failed_at"`
	Last     time.Time `json:"last_failed_at"`
	Version  string    `json:"version,omitempty"`
}

// Letter is a dead letter: the original record and why it is dead.
type Letter struct {
	Client     string
	Failure                // the last
	History    []Failure   // those before, oldest first
	Record     *bus.Record // as the client was given it: topic, partition and offset are the original's
	Origin     string      // what ids are made from
	EditedFrom string      // origin before a person changed the record; "" unless changed
	At         Place       // where the letter lies
}

// Bury returns the record to append to the client's topic of dead letters.
func Bury(l Letter) *bus.Record {
	headers := make([]bus.Header, 0, len(l.Record.Headers)+headersOfOneLetter)
	headers = append(headers, l.Record.Headers...)
	add := func(k, v string) { headers = append(headers, bus.Header{Key: k, Value: []byte(v)}) }
	add(HeaderFormat, format)
	add(HeaderStage, l.Client)
	add(HeaderError, shorten(l.Error, maxError))
	add(HeaderErrorCode, l.Code)
	add(HeaderAttempts, strconv.Itoa(l.Attempts))
	add(HeaderOriginTopic, l.Record.Topic)
	add(HeaderOriginPart, strconv.Itoa(int(l.Record.Partition)))
	add(HeaderOriginOffset, strconv.FormatInt(l.Record.Offset, 10))
	add(HeaderFirstFailedAt, l.First.UTC().Format(timeLayout))
	add(HeaderLastFailedAt, l.Last.UTC().Format(timeLayout))
	add(HeaderVersion, l.Version)
	add(HeaderOrigin, l.Origin)
	if len(l.History) > 0 {
		add(HeaderHistory, history(l.History))
	}
	if l.EditedFrom != "" {
		add(HeaderEditedFrom, l.EditedFrom)
	}
	return &bus.Record{
		Topic: bus.DeadTopic(l.Client).Name, Key: l.Record.Key, Value: l.Record.Value,
		Headers: headers, Timestamp: l.Record.Timestamp,
	}
}

// history is bounded: the oldest failure is kept, since it says how it began,
// then the latest.
func history(all []Failure) string {
	short := make([]Failure, 0, maxHistory)
	for i, f := range all {
		if i > 0 && i <= len(all)-maxHistory {
			continue
		}
		f.Error = shorten(f.Error, historyErrorBytes)
		short = append(short, f)
	}
	b, err := json.Marshal(short)
	if err != nil { // strings, numbers and times always marshal, but for years past 9999
		return "[]"
	}
	return string(b)
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most-len(truncationMark)] + truncationMark
}

// Read parses a dead letter. Anything may lie on a topic, so a record without
// the headers is a letter too, with what is known of it.
func Read(r *bus.Record) Letter {
	border := border(r, HeaderFormat)
	own := *r
	own.Headers = r.Headers[:border:border]
	l := Letter{
		Client: bus.DeadClient(r.Topic), Record: &own,
		At: Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
	}
	for _, h := range r.Headers[border:] {
		l.take(h.Key, string(h.Value))
	}
	return l
}

// border returns the index of the last header of that key, or the number of
// headers.
func border(r *bus.Record, key string) int {
	for i, h := range slices.Backward(r.Headers) {
		if h.Key == key {
			return i
		}
	}
	return len(r.Headers)
}

func (l *Letter) take(key, value string) {
	switch key {
	case HeaderStage:
		l.Client = value
	case HeaderError:
		l.Error = value
	case HeaderErrorCode:
		l.Code = value
	case HeaderAttempts:
		l.Attempts, _ = strconv.Atoi(value)
	case HeaderOriginTopic:
		l.Record.Topic = value
	case HeaderOriginPart:
		n, _ := strconv.ParseInt(value, 10, 32)
		l.Record.Partition = int32(n)
	case HeaderOriginOffset:
		l.Record.Offset, _ = strconv.ParseInt(value, 10, 64)
	case HeaderFirstFailedAt:
		l.First, _ = time.Parse(timeLayout, value)
	case HeaderLastFailedAt:
		l.Last, _ = time.Parse(timeLayout, value)
	case HeaderVersion:
		l.Version = value
	case HeaderOrigin:
		l.Origin = value
	case HeaderHistory:
		_ = json.Unmarshal([]byte(value), &l.History) // a damaged history leaves the rest readable
	case HeaderEditedFrom:
		l.EditedFrom = value
	}
}
