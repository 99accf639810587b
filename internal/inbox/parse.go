package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/event"
)

// Bounds of what one record may put into a row.
const (
	maxKey   = 1 << 10 // bytes of a group's key or an id
	maxText  = 300     // characters of a title, a name, an address
	maxCopy  = 256 << 10
	maxScore = 100
)

// severities in their order; the number in the database is the index.
var severities = [...]string{"", "low", "medium", "high", "critical"}

func severityRank(s string) int { return max(slices.Index(severities[:], s), 0) }

// alert is what a row needs of an alert's document.
type alert struct {
	id, group string
	rerun     string // that made it
	time      time.Time
	severity  int // index into severities
	score     float64
	rev       int
	json      []byte
	doc       document // the same, read
}

// document is the part of an alert that the view reads: ECS and decoder.alert.
type document struct {
	Time  time.Time `json:"@timestamp"`
	Event struct {
		ID       string  `json:"id"`
		Severity float64 `json:"severity"`
	} `json:"event"`
	Rule struct {
		ID string `json:"id"`
	} `json:"rule"`
	Source      side `json:"source"`
	Destination side `json:"destination"`
	Host        struct {
		Name string `json:"name"`
	} `json:"host"`
	Observer struct {
		Name string `json:"name"`
	} `json:"observer"`
	Email struct {
		From persons `json:"from"`
		To   persons `json:"to"`
	} `json:"email"`
	Decoder struct {
		Alert struct {
			Group    string  `json:"group"`
			Kind     string  `json:"kind"`
			Severity string  `json:"severity"`
			Score    float64 `json:"score"`
			Title    string  `json:"title"`
			Revision int     `json:"revision"`
		} `json:"alert"`
		Capture struct {
			Name string `json:"name"`
		} `json:"capture"`
	} `json:"decoder"`
}

type side struct {
	IP      string `json:"ip"`
	Address string `json:"address"`
	Domain  string `json:"domain"`
	Port    int    `json:"port"`
}

func (s side) endpoint() Endpoint {
	e := Endpoint{Address: s.IP, Port: s.Port, Name: s.Domain}
	if e.Address == "" {
		e.Address = s.Address
	}
	return e
}

// persons are ECS email.from and email.to: lists of addresses, of which a
// sender may have written one as plain text.
type persons struct {
	Address event.Texts `json:"address"`
	Name    event.Texts `json:"display_name"`
}

func (p persons) endpoint() Endpoint {
	return Endpoint{Address: p.Address.First(), Name: p.Name.First()}
}

// parseAlert reads a record of alerts or email_alert. Its error is the
// record's own fault.
func parseAlert(r *bus.Record) (*alert, error) {
	d, err := parseDocument(r.Value)
	if err != nil {
		return nil, err
	}
	a := &alert{
		id: d.Event.ID, group: d.Decoder.Alert.Group, time: d.Time, rev: d.Decoder.Alert.Revision,
		severity: d.severity(), score: d.Decoder.Alert.Score, json: r.Value, doc: d,
	}
	switch {
	case a.id == "" || len(a.id) > maxKey:
		return a, errors.New("an alert needs an event.id")
	case a.group == "" || len(a.group) > maxKey || !utf8.ValidString(a.group):
		return a, errors.New("an alert needs a decoder.alert.group")
	case a.time.IsZero() || a.time.Year() < 1700 || a.time.Year() > 2200:
		return a, errors.New("an alert needs an @timestamp")
	case a.rev < 0 || a.rev > math.MaxInt32:
		return a, fmt.Errorf("%d is no revision", a.rev)
	case math.IsNaN(a.score) || a.score < 0 || a.score > maxScore:
		return a, fmt.Errorf("%g is no score", a.score)
	case len(a.json) > maxCopy:
		return a, fmt.Errorf("an alert of %d bytes is larger than the inbox keeps (%d)", len(a.json), maxCopy)
	}
	return a, nil
}

// parseAgain reads what a rerun made, if that is an alert that the live run
// would have appended to a topic of alerts; else it returns nil.
func parseAgain(r *bus.Record) (*alert, error) {
	topic, is := rerun.Document(r)
	if !is || topic != bus.TopicAlerts && topic != bus.TopicEmailAlert {
		return nil, nil
	}
	a, err := parseAlert(r)
	if err != nil {
		return a, err
	}
	a.rerun = bus.Value(r, rerun.HeaderRun)
	a.group = "rerun " + a.rerun + " " + a.group
	if a.rerun == "" || len(a.group) > maxKey {
		return a, errors.New("an alert of a rerun needs the id of that, and a group")
	}
	return a, nil
}

func parseDocument(b []byte) (document, error) {
	var d document
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("reading alert: %w", err)
	}
	return d, nil
}

func (d document) severity() int {
	if r := severityRank(d.Decoder.Alert.Severity); r > 0 {
		return r
	}
	return int(min(max(d.Event.Severity, 1), 4))
}

// shown fills in what a row shows of the group's last document.
func (d document) shown(g *row) {
	a := d.Decoder.Alert
	g.kind, g.title, g.rule, g.capture = a.Kind, short(a.Title), short(d.Rule.ID), short(d.Decoder.Capture.Name)
	if g.kind == "" {
		g.kind = "network"
	}
	if g.title == "" {
		g.title = short(a.Group)
	}
	if g.sensor = short(d.Observer.Name); g.sensor == "" {
		g.sensor = short(d.Host.Name)
	}
	g.ends = [2]Endpoint{d.Source.endpoint(), d.Destination.endpoint()}
	if g.kind == "mail" {
		g.ends = [2]Endpoint{d.Email.From.endpoint(), d.Email.To.endpoint()}
	}
	if g.kind == "host" && g.ends[0] == (Endpoint{}) {
		g.ends[0].Name = d.Host.Name
	}
	for i := range g.ends {
		g.ends[i].Address, g.ends[i].Name = short(g.ends[i].Address), short(g.ends[i].Name)
	}
	g.words = strings.ToLower(strings.Join([]string{g.title, g.key, g.rule, g.sensor,
		g.ends[0].Address, g.ends[0].Name, g.ends[1].Address, g.ends[1].Name}, "\n"))
}

func short(s string) string {
	n := 0
	for i := range s {
		if n == maxText {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

// parseChange reads a record of triage. The key is the group's; the document
// says so again for whoever reads it alone.
func parseChange(r *bus.Record) (Change, error) {
	var c Change
	if err := json.Unmarshal(r.Value, &c); err != nil {
		return c, fmt.Errorf("reading change: %w", err)
	}
	if c.ID == "" {
		c.ID = bus.Value(r, event.HeaderID)
	}
	if len(c.ID) > maxKey || len(c.Group) > maxKey || len(r.Value) > maxCopy {
		return c, errors.New("a change is larger than the inbox keeps")
	}
	return c, c.check()
}
