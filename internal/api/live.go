package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/store"
)

const (
	maxLive     = 64               // readers of live news at a time
	liveRest    = time.Second      // between two pieces of news of one kind
	liveHealth  = 5 * time.Second  // how often health is looked at
	liveSilence = 15 * time.Second // after which a comment shows that we live
)

// liveEndpoint streams server-sent events (WHATWG HTML, 9.2): "inbox" with
// inbox.Counts and "health" with Health, each when it has changed and once at
// the start.
func liveEndpoint() endpoint {
	return endpoint{in: reflect.TypeFor[Empty](), out: reflect.TypeFor[Live](), stream: true, serve: (*Server).live}
}

// Live is the data of a server-sent event: one of its fields, by the event's
// name.
type Live struct {
	Inbox  *inbox.Counts `json:"inbox,omitempty"`
	Health *Health       `json:"health,omitempty"`
}

func (s *Server) live(w http.ResponseWriter, r *http.Request) error {
	select {
	case s.watchers <- struct{}{}:
		defer func() { <-s.watchers }()
	default:
		return &Error{Status: http.StatusTooManyRequests, Code: codeSlowDown, Message: "too many pages are open"}
	}
	ctx, done := s.streaming(r.Context())
	defer done()
	e := events{w: w, control: http.NewResponseController(w), last: map[string][]byte{}}
	if err := e.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lifting read limit: %w", err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	s.feed(ctx, r, &e) // its end is the reader's leaving, or ours
	return nil
}

func (s *Server) feed(ctx context.Context, r *http.Request, e *events) {
	var changed <-chan struct{}
	if s.deps.Inbox != nil {
		c, stop := s.deps.Inbox.Watch()
		defer stop()
		changed = c
	}
	health, silence := time.NewTicker(liveHealth), time.NewTicker(liveSilence)
	defer health.Stop()
	defer silence.Stop()
	err := s.sendInbox(ctx, e)
	if err == nil {
		err = e.send("health", s.worst())
	}
	for err == nil {
		select {
		case <-changed:
			if err = s.sendInbox(ctx, e); err == nil {
				err = rest(ctx, liveRest)
			}
		case <-health.C:
			// A session that was ended must not go on being told.
			if _, gone := s.stillIn(r); gone != nil {
				return
			}
			err = e.send("health", s.worst())
		case <-silence.C:
			err = e.write([]byte(": still here\n\n"))
		case <-ctx.Done():
			return
		}
	}
}

// stillIn says whether a request's session still stands; over the socket it
// does.
func (s *Server) stillIn(r *http.Request) (string, error) {
	if _, err := r.Cookie(cookieName); err != nil {
		return "", nil
	}
	return s.users.signedIn(r)
}

func rest(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sendInbox sends the counts whenever the inbox has changed, also when they
// are the same: a group may have got a new alert.
func (s *Server) sendInbox(ctx context.Context, e *events) error {
	if s.deps.Inbox == nil {
		return nil
	}
	l, err := s.deps.Inbox.List(ctx, inbox.Filter{Limit: 1})
	if err != nil {
		return err
	}
	delete(e.last, "inbox")
	return e.send("inbox", l.Counts)
}

type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    map[string][]byte
}

func (e *events) send(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding news: %w", err)
	}
	if bytes.Equal(b, e.last[name]) {
		return nil
	}
	e.last[name] = b
	return e.write(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, b))
}

func (e *events) write(b []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return fmt.Errorf("limiting write: %w", err)
	}
	if _, err := e.w.Write(b); err != nil {
		return fmt.Errorf("sending news: %w", err)
	}
	return e.control.Flush()
}

// newest says when the last event the store has was, for a sentence.
func newest(p store.Page) string {
	var doc struct {
		Time time.Time `json:"@timestamp"`
	}
	if len(p.Docs) == 0 || json.Unmarshal(p.Docs[0], &doc) != nil {
		return ""
	}
	return "; the newest event is of " + doc.Time.UTC().Format("2006-01-02 15:04 MST")
}
