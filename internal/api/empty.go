package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/store"
)

// empty says why a page shows nothing. It follows the chain from the sensor
// to the page and stops at the first link that explains it.
func (s *Server) empty(ctx context.Context, _ call, in EmptyQuestion) (EmptyAnswer, error) {
	r, err := in.Range.parse(time.Now())
	if err != nil {
		return EmptyAnswer{}, err
	}
	if never, err := s.neverSent(ctx); err != nil {
		return EmptyAnswer{}, err
	} else if never {
		return EmptyAnswer{EmptyNoSensor, "No sensor has ever sent anything.", "/pipeline", "See what should be sending"}, nil
	}
	if a, behind, err := s.behind(ctx, in.Page); err != nil || behind {
		return a, err
	}
	if in.Page == "inbox" {
		return s.emptyInbox(ctx, in)
	}
	return s.emptySearch(ctx, in, r)
}

// neverSent says whether nothing was ever appended to a topic that sources, or
// producers outside, write to.
func (s *Server) neverSent(ctx context.Context) (bool, error) {
	if s.deps.Log == nil {
		return false, nil
	}
	topics, err := s.deps.Log.Topics(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			if p.Next > 0 && (strings.HasSuffix(t.Name, "_ingest") || t.Name == bus.TopicEvents || t.Name == bus.TopicAlerts) {
				return false, nil
			}
		}
	}
	return true, nil
}

// behind says whether what feeds the page does not run, or has yet to read
// what the page would show.
func (s *Server) behind(ctx context.Context, page string) (EmptyAnswer, bool, error) {
	none := EmptyAnswer{Reason: EmptyBehind, Link: "/pipeline", Action: "See the pipeline"}
	if page == "search" && s.deps.Store == nil {
		none.Text = "The store does not run; events are kept on the log until it does."
		return none, true, nil
	}
	if page == "inbox" && s.deps.Inbox == nil {
		none.Text = "The inbox does not run; alerts are kept on the log until it does."
		return none, true, nil
	}
	if s.deps.Log == nil {
		return none, false, nil
	}
	groups, err := s.groupsHere(ctx)
	if err != nil {
		return none, false, err
	}
	worst, late := slowest(groups)
	if !late {
		return none, false, nil
	}
	none.Text = fmt.Sprintf("%s is %s behind: what you look for may be among the %s it has yet to read.",
		worst.Name, age(worst.LagSeconds), plural(uint64(max(worst.Lag, 0)), "record"))
	return none, true, nil
}

func (s *Server) emptyInbox(ctx context.Context, in EmptyQuestion) (EmptyAnswer, error) {
	f := inbox.Filter{Limit: 1}
	if in.Q != "all" {
		f.State = inbox.State(in.Q)
	}
	l, err := s.deps.Inbox.List(ctx, f)
	switch {
	case err != nil:
		return EmptyAnswer{}, err
	case in.Filters && len(l.Groups) > 0:
		n := map[inbox.State]uint64{inbox.StateNew: l.Counts.New, inbox.StateEscalated: l.Counts.Escalated, inbox.StateArchived: l.Counts.Archived, "": l.Counts.All}[f.State]
		return EmptyAnswer{EmptyFiltered, "Filters hide " + plural(n, "alert group") + ".", "", "Clear the filters"}, nil
	case l.Counts.All == 0:
		return EmptyAnswer{EmptyZero, "Nothing to do. No alert has been raised so far.", "", ""}, nil
	case f.State == inbox.StateNew:
		return EmptyAnswer{EmptyZero, "Nothing to do. Every alert has been dealt with.", "", ""}, nil
	}
	return EmptyAnswer{EmptyZero, "No alert group is " + string(f.State) + ".", "", ""}, nil
}

// storeHasNone says why the store is empty though sensors have sent.
func (s *Server) storeHasNone(ctx context.Context) (EmptyAnswer, error) {
	out := EmptyAnswer{EmptyBehind, "Sensors have sent, but no event has reached the store.", "/pipeline", "See the pipeline"}
	if s.deps.Log == nil {
		return out, nil
	}
	topics, err := s.deps.Log.Topics(ctx)
	if err != nil {
		return out, err
	}
	if n := deadCount(topics); n > 0 {
		out.Text = "No event has reached the store: " + plural(uint64(n), "record") + " could not be handled."
		out.Link, out.Action = "/pipeline?view=dead", "See the dead letters"
	}
	return out, nil
}

func (s *Server) emptySearch(ctx context.Context, in EmptyQuestion, r store.Range) (EmptyAnswer, error) {
	q, err := store.Parse(in.Q)
	if err != nil {
		return EmptyAnswer{}, err
	}
	count := func(q *store.Query, r store.Range) (uint64, error) {
		return limited(ctx, s.queries, func(ctx context.Context) (uint64, error) { return s.deps.Store.Count(ctx, q, r) })
	}
	inRange, err := count(&store.Query{}, r)
	if err != nil {
		return EmptyAnswer{}, err
	}
	if inRange > 0 {
		if n, err := count(q, store.Range{}); err != nil {
			return EmptyAnswer{}, err
		} else if n > 0 && r != (store.Range{}) {
			return EmptyAnswer{EmptyRange, "Nothing that matches in this time; " + plural(n, "event") + " outside of it.", "from=all&to=", "Search all time"}, nil
		}
		return EmptyAnswer{EmptyFiltered, "The query hides " + plural(inRange, "event") + " of this time.", "q=", "Clear the query"}, nil
	}
	page, err := s.query(ctx, func(ctx context.Context) (store.Page, error) {
		return s.deps.Store.Search(ctx, store.Search{Query: &store.Query{}, Limit: 1})
	})
	if err != nil {
		return EmptyAnswer{}, err
	}
	if len(page.Docs) == 0 {
		return s.storeHasNone(ctx)
	}
	return EmptyAnswer{EmptyRange, "Nothing in this time" + newest(page) + ".", "from=all&to=", "Search all time"}, nil
}
