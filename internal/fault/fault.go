// Package fault classifies errors by what a client should do about them.
//
// It owns the three classes every client of the log acts on and nothing
// else: it does not know what a record is, nor who retries it.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Class says what a client does about an error.
type Class uint8

const (
	// Retry is the class of an unknown error: try again with backoff, and when
	// the attempts are used up ask whether the other side can be reached.
	Retry Class = iota
	// Permanent is the record's own fault: no attempt will end differently, so
	// it becomes a dead letter at once.
	Permanent
	// Throttled means the other side answered and asked to be left alone for a
	// while; it costs no attempt.
	Throttled
)

// String returns the class as it stands in logs, metrics and headers.
func (c Class) String() string {
	switch c {
	case Permanent:
		return "permanent"
	case Throttled:
		return "throttled"
	default:
		return "retry"
	}
}

// CodeUnknown is the code of an error nobody classified.
const CodeUnknown = "unknown"

// Error is a classified error. Code is snake_case and comes from a bounded
// set, since it becomes a metric label and a dead letter header; what varies
// belongs into Err.
type Error struct {
	Class Class
	Code  string
	After time.Duration // how long to wait; Throttled only
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Err) }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// NewPermanent marks err as the record's own fault.
func NewPermanent(code string, err error) error {
	return &Error{Class: Permanent, Code: code, Err: err}
}

// NewRetry gives a retriable error its code.
func NewRetry(code string, err error) error {
	return &Error{Class: Retry, Code: code, Err: err}
}

// NewThrottled says that the other side asked to be called again after the
// time given.
func NewThrottled(code string, after time.Duration, err error) error {
	return &Error{Class: Throttled, Code: code, After: after, Err: err}
}

// Of returns the outermost classified error in err's chain. An error without
// one is a retry with CodeUnknown. Of(nil) panics: there is nothing to class.
func Of(err error) *Error {
	if err == nil {
		panic("fault: class of a nil error")
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Class: Retry, Code: CodeUnknown, Err: err}
}
