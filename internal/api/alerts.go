package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/store"
)

const (
	maxChange = 1000  // groups in one change
	maxWhy    = 10000 // characters
	// applyTime is how long a change waits to be seen in the view.
	applyTime = 3 * time.Second
	// maxEvidence is how many events behind an alert are fetched.
	maxEvidence = 20
)

func (s *Server) alerts(ctx context.Context, _ call, in AlertFilter) (inbox.List, error) {
	if s.deps.Inbox == nil {
		return inbox.List{}, Unavailable("the inbox does not run here")
	}
	r, err := in.Range.parse(time.Now())
	if err != nil {
		return inbox.List{}, err
	}
	if err := within("limit", in.Limit, 0, 1000); err != nil {
		return inbox.List{}, err
	}
	f := inbox.Filter{
		Starred: in.Starred, Severity: in.Severity, Kind: in.Kind, Sensor: in.Sensor, Capture: in.Capture, Rerun: in.Rerun,
		Text: in.Text, From: r.From, To: r.To, Sort: in.Sort, Limit: in.Limit, Cursor: in.Cursor,
	}
	if in.Tab != "all" {
		f.State = inbox.State(in.Tab)
	}
	return s.deps.Inbox.List(ctx, f)
}

func (s *Server) alert(ctx context.Context, _ call, in AlertKey) (AlertDetail, error) {
	var out AlertDetail
	if s.deps.Inbox == nil {
		return out, Unavailable("the inbox does not run here")
	}
	d, err := s.deps.Inbox.Show(ctx, in.Group)
	if err != nil {
		return out, err
	}
	out.Detail = d
	// Decoded leniently: a document of a later version is shown all the same.
	var doc struct {
		Decoder struct {
			Alert struct {
				Checks []Check  `json:"checks"`
				Events []string `json:"events"`
			} `json:"alert"`
		} `json:"decoder"`
	}
	if err := json.Unmarshal(d.Document, &doc); err != nil {
		s.scope.Logger().Warn("alert has a shape of its own", "group", in.Group, "error", err)
	}
	out.Checks = append([]Check{}, doc.Decoder.Alert.Checks...)
	out.Events, out.Missing = s.evidence(ctx, doc.Decoder.Alert.Events, d)
	return out, nil
}

// evidence fetches the events behind a group's last alert. The store may be
// behind, or have let them go; then they are counted as missing.
func (s *Server) evidence(ctx context.Context, ids []string, d inbox.Detail) ([]json.RawMessage, int) {
	found := []json.RawMessage{}
	ids = ids[:min(len(ids), maxEvidence)]
	if s.deps.Store == nil || len(ids) == 0 {
		return found, len(ids)
	}
	terms := make([]store.Expr, len(ids))
	for i, id := range ids {
		terms[i] = store.Is("event.id", id).Root()
	}
	q := store.NewQuery(terms[0])
	if len(terms) > 1 {
		q = store.NewQuery(store.Or{Terms: terms})
	}
	around := store.Range{}
	if len(d.Alerts) > 0 {
		at := d.Alerts[0].Time
		around = store.Range{From: at.Add(-24 * time.Hour), To: at.Add(time.Hour)}
	}
	page, err := s.query(ctx, func(ctx context.Context) (store.Page, error) {
		return s.deps.Store.Search(ctx, store.Search{Query: q, Range: around, Limit: len(ids)})
	})
	if err != nil {
		s.scope.Logger().Warn("evidence cannot be fetched", "error", err)
		return found, len(ids)
	}
	return append(found, page.Docs...), len(ids) - len(page.Docs)
}

func (s *Server) changeAlerts(ctx context.Context, c call, in AlertChange) (AlertChanged, error) {
	var out AlertChanged
	if s.deps.Inbox == nil || s.deps.Log == nil {
		return out, Unavailable("the inbox does not run here")
	}
	if err := checkChange(in); err != nil {
		return out, err
	}
	groups := slices.Compact(slices.Sorted(slices.Values(in.Groups)))
	now := time.Now().UTC()
	var (
		records []*bus.Record
		ids     []string
	)
	for _, g := range groups {
		d, err := s.deps.Inbox.Show(ctx, g)
		if err != nil {
			if asError(err).Code != ErrNotFound.Code {
				return out, err
			}
			out.Unknown = append(out.Unknown, g)
			continue
		}
		if d.Rerun != "" {
			return out, BadRequest("%s was found by rerun %s: its alerts are not triaged", g, d.Rerun)
		}
		ch := inbox.Change{ID: rand.Text(), Time: now, Group: g, Who: c.user, What: in.What, Why: in.Why}
		if in.What == inbox.Archive {
			ch.Seen = d.Seen
			if seen, ok := in.Seen[g]; ok {
				ch.Seen = seen
			}
		}
		r, err := ch.Record()
		if err != nil {
			return out, fmt.Errorf("encoding change: %w", err)
		}
		records, ids = append(records, r), append(ids, ch.ID)
	}
	if len(records) == 0 {
		return out, NotFound("alert group", groups[0])
	}
	if err := s.deps.Log.Append(ctx, records...); err != nil {
		return out, fmt.Errorf("appending change: %w", err)
	}
	out.Changed = len(records)
	ctx, cancel := context.WithTimeout(ctx, applyTime)
	defer cancel()
	out.Applied = s.deps.Inbox.Await(ctx, ids...) == nil
	return out, nil
}

func checkChange(in AlertChange) error {
	switch {
	case len(in.Groups) == 0 || len(in.Groups) > maxChange:
		return BadRequest("a change names 1 to %d alert groups, not %d", maxChange, len(in.Groups))
	case !slices.Contains(inbox.Actions(), in.What):
		return BadRequest("what is one of %v, not %q", inbox.Actions(), in.What)
	case utf8.RuneCountInString(in.Why) > maxWhy:
		return BadRequest("why is longer than %d characters", maxWhy)
	case in.What == inbox.Note && in.Why == "":
		return BadRequest("a note needs a text")
	}
	return nil
}

func (s *Server) rebuildInbox(ctx context.Context, _ call, _ Empty) (Empty, error) {
	if s.deps.Inbox == nil {
		return Empty{}, Unavailable("the inbox does not run here")
	}
	return Empty{}, s.deps.Inbox.Rebuild(ctx)
}

// parse returns the interval of a request.
func (r Range) parse(now time.Time) (store.Range, error) {
	from, err := ParseTime(r.From, now)
	if err != nil {
		return store.Range{}, BadRequest("from: %v", err)
	}
	to, err := ParseTime(r.To, now)
	if err != nil {
		return store.Range{}, BadRequest("to: %v", err)
	}
	if !to.IsZero() && !from.Before(to) {
		return store.Range{}, BadRequest("from is not before to")
	}
	return store.Range{From: from, To: to}, nil
}

func within(name string, n, low, high int) error {
	if n < low || n > high {
		return BadRequest("%s is %d to %d, not %d", name, low, high, n)
	}
	return nil
}
