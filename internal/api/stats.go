package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
)

// late is the lag from which a client is said to be behind.
const late = time.Minute

// statsInterval is what Home shows when it is not told.
const statsInterval = 24 * time.Hour

// stats gathers what Home shows. A part that does not answer leaves its place
// empty and is named in the answer: Home must be there when things are broken.
func (s *Server) stats(ctx context.Context, _ call, in Range) (Stats, error) {
	r, err := in.parse(time.Now())
	if err != nil {
		return Stats{}, err
	}
	if r.To.IsZero() {
		r.To = time.Now().UTC()
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-statsInterval)
	}
	if !r.From.Before(r.To) {
		return Stats{}, BadRequest("from is not before to")
	}
	g := gathering{stats: Stats{
		From: r.From, To: r.To, Events: []store.Bucket{}, Sensors: []Sensor{}, Groups: []bus.GroupInfo{},
		Alerts: Histogram{Series: map[string][]store.Bucket{}}, Components: s.worst().Components,
	}}
	var all sync.WaitGroup
	all.Go(func() { s.statsOfStore(ctx, r, &g) })
	all.Go(func() { s.statsOfInbox(ctx, &g) })
	all.Go(func() { s.statsOfPipeline(ctx, &g) })
	all.Wait()
	g.stats.Answer = g.answer()
	return g.stats, nil
}

// gathering is stats while its parts answer.
type gathering struct {
	mu      sync.Mutex
	stats   Stats
	dead    int64
	trouble string // the part that did not answer
	sensors bool   // whether that question was answered
}

func (g *gathering) add(part string, err error, f func(*Stats)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.trouble = fmt.Sprintf("The %s does not answer: %v.", part, err)
		return
	}
	f(&g.stats)
}

func (s *Server) statsOfStore(ctx context.Context, r store.Range, g *gathering) {
	if s.deps.Store == nil {
		g.add("store", errors.New("it does not run"), nil)
		return
	}
	events, err := limited(ctx, s.queries, func(ctx context.Context) ([]store.Bucket, error) {
		return s.deps.Store.Facet(ctx, &store.Query{}, r, "event.dataset", 50)
	})
	g.add("store", err, func(st *Stats) {
		st.Events = append(st.Events, events...)
		for _, b := range events {
			st.Total += b.Count
		}
	})
	alerts, err := s.histogramOf(ctx, store.Is("event.dataset", "decoder.alert"), r, niceStep(r.To.Sub(r.From)), "decoder.alert.severity")
	g.add("store", err, func(st *Stats) { st.Alerts = alerts })
}

func (s *Server) statsOfInbox(ctx context.Context, g *gathering) {
	if s.deps.Inbox == nil {
		return
	}
	l, err := s.deps.Inbox.List(ctx, inbox.Filter{Limit: 1})
	g.add("inbox", err, func(st *Stats) { st.Counts = l.Counts })
}

func (s *Server) statsOfPipeline(ctx context.Context, g *gathering) {
	if s.deps.Sensors != nil {
		sensors, err := s.deps.Sensors.Sensors(ctx)
		g.add("sensor", err, func(st *Stats) { st.Sensors, g.sensors = append(st.Sensors, sensors...), true })
	}
	if s.deps.Log == nil {
		return
	}
	groups, err := s.groupsHere(ctx)
	g.add("log", err, func(st *Stats) { st.Groups = append(st.Groups, groups...) })
	topics, err := s.deps.Log.Topics(ctx)
	g.add("log", err, func(*Stats) { g.dead = deadCount(topics) })
}

// answer says in one sentence whether anything is wrong: what must be mended
// first, then what must be looked at.
func (g *gathering) answer() Answer {
	st := &g.stats
	for _, c := range st.Components {
		if c.Level == obs.Failed {
			return Answer{obs.Failed, sentence(c.Component+" does not work", c.Message), "/pipeline"}
		}
	}
	if g.trouble != "" {
		return Answer{obs.Failed, g.trouble, "/pipeline"}
	}
	if g.sensors && len(st.Sensors) > 0 && !watching(st.Sensors) {
		return Answer{obs.Failed, "Nothing is watching: no sensor works.", "/pipeline"}
	}
	if g.sensors && len(st.Sensors) == 0 && st.Total == 0 {
		return Answer{obs.Degraded, "Nothing is watching: no sensor runs here, and no event of this time has come from elsewhere.", "/pipeline"}
	}
	if c, behind := slowest(st.Groups); behind {
		return Answer{obs.Degraded, fmt.Sprintf("%s is %s behind.", c.Name, age(c.LagSeconds)), "/pipeline"}
	}
	if n := st.Counts.Open["critical"] + st.Counts.Open["high"]; n > 0 {
		return Answer{obs.Degraded, plural(n, "alert group") + " of high or critical severity " + isAre(n) + " waiting for you.", "/inbox?severity=high"}
	}
	for _, c := range st.Components {
		if c.Level == obs.Degraded {
			return Answer{obs.Degraded, sentence(c.Component+" needs attention", c.Message), "/pipeline"}
		}
	}
	if g.dead > 0 {
		n := uint64(g.dead)
		return Answer{obs.Degraded, plural(n, "record") + " could not be handled and " + isAre(n) + " kept as dead letters.", "/pipeline?view=dead"}
	}
	if n := st.Counts.New + st.Counts.Escalated; n > 0 {
		return Answer{obs.OK, plural(n, "alert group") + " " + isAre(n) + " open, none above medium severity.", "/inbox"}
	}
	if st.Total == 0 {
		return Answer{obs.OK, "Nothing is wrong, and nothing has been seen yet in this time.", ""}
	}
	return Answer{obs.OK, "Nothing is wrong: " + plural(st.Total, "event") + " seen, no alert open.", ""}
}

func watching(sensors []Sensor) bool {
	for _, s := range sensors {
		if s.Level != obs.Failed {
			return true
		}
	}
	return false
}

// groupsHere are the log's groups without those other instances have for
// themselves.
func (s *Server) groupsHere(ctx context.Context) ([]bus.GroupInfo, error) {
	groups, err := s.deps.Log.Groups(ctx)
	if s.deps.Elsewhere != nil {
		groups = slices.DeleteFunc(groups, func(g bus.GroupInfo) bool { return s.deps.Elsewhere(g.Name) })
	}
	return groups, err
}

// slowest returns the client that is the furthest behind, if one is late.
func slowest(groups []bus.GroupInfo) (worst bus.GroupInfo, behind bool) {
	for _, g := range groups {
		if g.LagSeconds > worst.LagSeconds {
			worst = g
		}
	}
	return worst, worst.LagSeconds >= late.Seconds()
}

func sentence(what, why string) string {
	if why == "" {
		return what + "."
	}
	return what + ": " + why + "."
}

func age(seconds float64) string {
	switch minutes := uint64(seconds / 60); {
	case minutes >= 2*60:
		return plural(minutes/60, "hour")
	case minutes >= 1:
		return plural(minutes, "minute")
	}
	return plural(uint64(seconds), "second")
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return grouped(n) + " " + what + "s"
}

// grouped writes a number with thin spaces between thousands.
func grouped(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func isAre(n uint64) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
