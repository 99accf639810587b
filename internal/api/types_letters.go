package api

import (
	"time"

	"github.com/decodersring/decoder/internal/inbox"
)

// DeadLetterFilter asks for dead letters.
type DeadLetterFilter struct {
	Client string `json:"client,omitempty"`
	Code   string `json:"code,omitempty"`
	Text   string `json:"text,omitempty" doc:"in the error, the key or the value, whatever its case"`
	State  string `json:"state,omitempty" doc:"open, resent, discarded or all; open when absent"`
	Range         // of the last failure
	Limit  int    `json:"limit,omitempty" doc:"100 when absent"`
}

// DeadLetterList is dead letters, grouped and the newest one by one.
type DeadLetterList struct {
	Total   uint64            `json:"total"`
	Groups  []DeadLetterGroup `json:"groups" doc:"by client and error code"`
	Letters []DeadLetter      `json:"letters" doc:"newest first, without their bytes"`
}

// DeadLetterGroup is the dead letters of one client with one error code.
type DeadLetterGroup struct {
	Client string    `json:"client"`
	Code   string    `json:"code"`
	Error  string    `json:"error" doc:"of the last"`
	Count  uint64    `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// DeadLetter is a record that a client could not handle.
type DeadLetter struct {
	inbox.Position
	Client   string         `json:"client"`
	Code     string         `json:"code"`
	Error    string         `json:"error"`
	Attempts int            `json:"attempts"`
	Origin   inbox.Position `json:"origin" doc:"where the record came from"`
	First    time.Time      `json:"first"`
	Last     time.Time      `json:"last"`
	Size     int            `json:"size"`
	State    string         `json:"state" doc:"open, resent or discarded"`
	By       string         `json:"by,omitempty" doc:"who resent or discarded it"`
	Decided  time.Time      `json:"decided,omitzero"`
	Failures []DeadFailure  `json:"failures,omitempty" doc:"before it was resent, oldest first"`
	Record   *Record        `json:"record,omitempty" doc:"the original bytes and headers"`
}

// DeadFailure is one time a record was given up.
type DeadFailure struct {
	Code     string    `json:"code"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Last     time.Time `json:"last"`
}

// DeadLetterKey names a dead letter by its place.
type DeadLetterKey struct {
	Topic     string `json:"-" path:"topic"`
	Partition int32  `json:"-" path:"partition"`
	Offset    int64  `json:"-" path:"offset"`
}

// Letters names dead letters, one by one or by a filter.
type Letters struct {
	Letters []inbox.Position  `json:"letters,omitempty" doc:"1 to 1000"`
	Filter  *DeadLetterFilter `json:"filter,omitempty" doc:"instead: all that it chooses"`
	Note    string            `json:"note,omitempty"`
}

// LetterCount is how many dead letters something was done with.
type LetterCount struct {
	Count int `json:"count"`
}

// LetterTry is a dead letter to run through its stage without writing
// anything, or to send back, with its value or another.
type LetterTry struct {
	Letter inbox.Position `json:"letter"`
	Value  *Bytes         `json:"value,omitempty" doc:"instead of the record's"`
	Note   string         `json:"note,omitempty"`
}

// LetterTried is what a stage makes of a record, or a sink says of it.
type LetterTried struct {
	Sink    bool     `json:"sink,omitempty" doc:"a sink was asked: without an error it would write the record"`
	Outputs []Record `json:"outputs"`
	Error   string   `json:"error,omitempty"`
	Code    string   `json:"code,omitempty"`
	Class   string   `json:"class,omitempty" doc:"retry, permanent or throttled"`
}
