package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/store"
)

// Error is what the API answers instead of a result, as {"error": …}.
type Error struct {
	Status  int    `json:"-"`
	Code    string `json:"code"`             // bounded set, snake_case
	Message string `json:"message"`          // a sentence for a person
	Column  int    `json:"column,omitempty"` // of a query, from 1
}

func (e *Error) Error() string { return e.Message }

// Is reports whether the target is an Error of the same code, so that
// errors.Is(err, ErrNotFound) holds on both sides of the wire.
func (e *Error) Is(target error) bool {
	t, ok := errors.AsType[*Error](target)
	return ok && t.Code == e.Code
}

// Errors that the parts of the program may give as well, wrapped or not.
var (
	ErrNotFound    = &Error{Status: http.StatusNotFound, Code: "not_found", Message: "there is no such thing"}
	ErrUnavailable = &Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: "this instance does not run that part"}
	ErrConflict    = &Error{Status: http.StatusConflict, Code: "conflict", Message: "this is being done already"}
)

// NotFound says what was not found.
func NotFound(what, name string) error {
	return &Error{Status: http.StatusNotFound, Code: "not_found", Message: fmt.Sprintf("there is no %s %q", what, name)}
}

// BadRequest says what is wrong with a request.
func BadRequest(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: "bad_request", Message: fmt.Sprintf(format, args...)}
}

// Unavailable says which part of the program is missing, and why.
func Unavailable(format string, args ...any) error {
	return &Error{Status: http.StatusServiceUnavailable, Code: "unavailable", Message: fmt.Sprintf(format, args...)}
}

// asError returns err as an [Error]: its own, or one that fits.
func asError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	if e, ok := errors.AsType[*store.QueryError](err); ok {
		return &Error{Status: http.StatusBadRequest, Code: "bad_query", Message: e.Message, Column: e.Column}
	}
	switch {
	case errors.Is(err, inbox.ErrNotFound):
		return &Error{Status: http.StatusNotFound, Code: ErrNotFound.Code, Message: err.Error()}
	case errors.Is(err, store.ErrTooBroad):
		return &Error{Status: http.StatusBadRequest, Code: "too_broad", Message: err.Error()}
	case errors.Is(err, store.ErrClosed):
		return &Error{Status: http.StatusServiceUnavailable, Code: ErrUnavailable.Code, Message: err.Error()}
	case errors.Is(err, inbox.ErrCursor), errors.Is(err, store.ErrCursor):
		return &Error{Status: http.StatusBadRequest, Code: "bad_request", Message: err.Error()}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Status: http.StatusGatewayTimeout, Code: "timeout", Message: "that took too long: ask for less"}
	case errors.Is(err, context.Canceled):
		return &Error{Status: http.StatusServiceUnavailable, Code: "cancelled", Message: "the request was cancelled"}
	}
	return &Error{Status: http.StatusInternalServerError, Code: codeInternal, Message: err.Error()}
}
