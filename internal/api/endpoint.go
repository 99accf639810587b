package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"time"
)

// access says who may use a route.
type access uint8

const (
	signedIn access = iota // whoever is signed in, and the socket
	open                   // anyone who reaches the port
	local                  // the socket alone: it names files of the machine
)

// limits of a request.
const (
	maxBody       = 1 << 20
	answerTimeout = 30 * time.Second
	// streamWrite is how long a reader of a stream may leave it standing.
	streamWrite = 30 * time.Second
)

// route is one line of the table of routes.
type route struct {
	method  string
	path    string // below Prefix, in the form of http.ServeMux
	summary string
	access  access
	endpoint
}

// endpoint is a handler with the types of what it takes and gives.
type endpoint struct {
	in, out reflect.Type
	stream  bool // out is the type of each line
	serve   func(*Server, http.ResponseWriter, *http.Request) error
}

// call is a request as handlers see it.
type call struct {
	*http.Request
	user string // who is signed in; "local:<name>" on the socket
}

// local reports whether the request came over the socket.
func (c call) local() bool { return strings.HasPrefix(c.user, localPrefix) }

// localOnly refuses what only the socket may ask.
func localOnly() error {
	return &Error{Status: http.StatusForbidden, Code: "local_only", Message: "this names files of the machine, and is taken only from the decoder command there"}
}

type callKey struct{}

func callOf(r *http.Request) call {
	who, _ := r.Context().Value(callKey{}).(string)
	return call{Request: r, user: who}
}

func withUser(r *http.Request, user string) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callKey{}, user))
}

// answer is an endpoint that gives one JSON document.
func answer[In, Out any](h func(*Server, context.Context, call, In) (Out, error)) endpoint {
	return endpoint{
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](),
		serve: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			ctx, cancel := context.WithTimeout(r.Context(), answerTimeout)
			defer cancel()
			var in In
			if err := read(w, r, &in); err != nil {
				return err
			}
			out, err := h(s, ctx, callOf(r), in)
			if err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, out)
		},
	}
}

// stream is an endpoint that gives one JSON document a line, as they come. An
// error after the first line ends the answer with a line {"error": …}.
func stream[In, Item any](h func(s *Server, ctx context.Context, c call, in In, emit func(Item) error) error) endpoint {
	return endpoint{
		in: reflect.TypeFor[In](), out: reflect.TypeFor[Item](), stream: true,
		serve: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			var in In
			if err := read(w, r, &in); err != nil {
				return err
			}
			l := lines{w: w, control: http.NewResponseController(w)}
			if err := l.control.SetReadDeadline(time.Time{}); err != nil {
				return fmt.Errorf("lifting read limit: %w", err)
			}
			ctx, done := s.streaming(r.Context())
			defer done()
			stop := l.flushEvery(ctx, 200*time.Millisecond)
			err := h(s, ctx, callOf(r), in, func(item Item) error { return l.emit(item) })
			stop()
			if err != nil && ctx.Err() != nil && r.Context().Err() == nil {
				// Cut short, and not by who asked: that must not look whole.
				return l.end(r.Context(), Unavailable("the instance is stopping"))
			}
			return l.end(ctx, err)
		},
	}
}

// read fills the request's struct from the query string or the body, and the
// path. It is strict: what it does not know is an error.
func read(w http.ResponseWriter, r *http.Request, in any) error {
	if r.Method == http.MethodGet {
		if err := decodeQuery(r.URL.Query(), in); err != nil {
			return BadRequest("%v", err)
		}
	} else if err := readBody(w, r, in); err != nil {
		return err
	}
	if err := decodePath(r.PathValue, in); err != nil {
		return BadRequest("%v", err)
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request, in any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(in)
	if errors.Is(err, io.EOF) {
		return nil // an empty body is an empty request
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &Error{Status: http.StatusRequestEntityTooLarge, Code: "too_large", Message: fmt.Sprintf("the body is larger than %d bytes", maxBody)}
	}
	if err != nil {
		return BadRequest("the body is not the JSON this expects: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return BadRequest("the body goes on after its JSON document")
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	b, err := encode(v)
	if err != nil {
		return fmt.Errorf("encoding answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(b) // who asked has left; nobody to tell
	return nil
}

// encode returns v as one line of JSON. It is never part of a page, so <, > and
// & stay as they are, and documents go out as the store gives them.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

type errorBody struct {
	Error *Error `json:"error"`
}

// writeError answers with an error. What is not an [Error] is ours: it is
// logged, and the caller is told no more than its text.
func (s *Server) writeError(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(err)
	if e.Status >= http.StatusInternalServerError && e.Code != ErrUnavailable.Code {
		s.scope.Logger().Warn("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	if e.Code == codeSlowDown {
		w.Header().Set("Retry-After", "30")
	}
	if err := writeJSON(w, e.Status, errorBody{e}); err != nil {
		s.scope.Logger().Error("encoding an error", "error", err)
	}
}
