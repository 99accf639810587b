package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// codeAlert is the code of a record that is no alert.
const codeAlert = "bad_alert"

// Bounds of what one alert may put into a message.
const (
	maxKey    = 1 << 10 // bytes of a group or an id
	maxTitle  = 150     // characters
	maxName   = 80
	maxPhrase = 240
	maxChecks = 5
)

// alert is what is told of an alert group: of its last alert, or the worst.
// All texts are lines of bounded length; they are not defanged yet.
type alert struct {
	Group    string    `json:"group"`
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Severity string    `json:"severity"`
	Score    float64   `json:"score"`
	Title    string    `json:"title"`
	From     string    `json:"from,omitempty"` // who: an address with its name
	To       string    `json:"to,omitempty"`
	Sensor   string    `json:"sensor,omitempty"`
	Checks   []check   `json:"checks,omitempty"` // the weightiest first
	Count    int       `json:"count"`            // alerts of the group since it was told of
	First    time.Time `json:"first"`
	Last     time.Time `json:"last"`
	Before   time.Time `json:"told_before,omitzero"` // when the group was last told of

	rank    int // of the severity
	capture bool
}

type check struct {
	Name     string  `json:"name"`
	Points   float64 `json:"points"`
	Evidence string  `json:"evidence,omitempty"`
	Benign   string  `json:"benign,omitempty"` // what would make it harmless
}

// document is what is read of an alert. What is of another type than it should
// be is left out: an alert is told of however odd it is.
type document struct {
	Event struct {
		Severity float64 `json:"severity"`
	} `json:"event"`
	Source      end  `json:"source"`
	Destination end  `json:"destination"`
	Host        host `json:"host"`
	Observer    host `json:"observer"`
	Email       struct {
		From people `json:"from"`
		To   people `json:"to"`
	} `json:"email"`
	Decoder struct {
		Alert struct {
			Group    string  `json:"group"`
			Kind     string  `json:"kind"`
			Severity string  `json:"severity"`
			Score    float64 `json:"score"`
			Title    string  `json:"title"`
			Checks   []check `json:"checks"`
		} `json:"alert"`
		Capture struct {
			Name string `json:"name"`
		} `json:"capture"`
	} `json:"decoder"`
}

type host struct {
	Name string `json:"name"`
}

type end struct {
	IP      string `json:"ip"`
	Address string `json:"address"`
	Domain  string `json:"domain"`
	Port    int    `json:"port"`
}

func (e end) String() string {
	at := e.IP
	if at == "" {
		at = e.Address
	}
	if at != "" && e.Port > 0 {
		at = net.JoinHostPort(at, strconv.Itoa(e.Port))
	}
	return named(at, e.Domain)
}

// people are ECS email.from and email.to.
type people struct {
	Address event.Texts `json:"address"`
}

func (p people) String() string {
	if len(p.Address) > 1 {
		return fmt.Sprintf("%s and %d more", clean(p.Address[0], maxName), len(p.Address)-1)
	}
	return strings.Join(p.Address, "")
}

func named(at, name string) string {
	switch {
	case at == "" || name == "" || at == name:
		return at + name
	}
	return at + " (" + name + ")"
}

// parse reads a record of alerts or email_alert. Its error is the record's own
// fault.
func parse(r *client.Record) (*alert, error) {
	var d document
	err := json.Unmarshal(r.Value, &d)
	if _, broken := errors.AsType[*json.SyntaxError](err); broken {
		return nil, fault.NewPermanent(codeAlert, fmt.Errorf("reading an alert: %w", err))
	}
	about := r.Document()
	at := written(about.Time)
	of := d.Decoder.Alert
	if of.Group == "" || len(of.Group) > maxKey || !utf8.ValidString(of.Group) {
		return nil, fault.NewPermanent(codeAlert, errors.New("reading an alert: it has no decoder.alert.group"))
	}
	a := &alert{
		Group: of.Group, ID: about.ID, Kind: of.Kind, Title: clean(of.Title, maxTitle), Score: number(of.Score),
		Sensor: clean(d.Observer.Name, maxName), Count: 1, First: at, Last: at,
		rank: rank(of.Severity, d.Event.Severity), capture: about.Capture || d.Decoder.Capture.Name != "",
	}
	if len(a.ID) > maxKey || !utf8.ValidString(a.ID) {
		return nil, fault.NewPermanent(codeAlert, errors.New("reading an alert: its event.id is no id"))
	}
	a.Severity = severities[a.rank]
	if !slices.Contains(alertKinds, a.Kind) {
		a.Kind = "network" // as the inbox has it
	}
	if a.Title == "" {
		a.Title = clean(of.Group, maxTitle)
	}
	if a.Sensor == "" {
		a.Sensor = clean(d.Host.Name, maxName)
	}
	a.From, a.To = d.who(a.Kind)
	a.Checks = weightiest(of.Checks)
	return a, nil
}

// written is the time as JSON can be written of it; one that cannot be is not
// known.
func written(t time.Time) time.Time {
	t = t.UTC()
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}
	}
	return t
}

// who returns from whom to whom.
func (d document) who(kind string) (from, to string) {
	from, to = d.Source.String(), d.Destination.String()
	if kind == "mail" {
		from, to = d.Email.From.String(), d.Email.To.String()
	}
	if from == "" && to == "" {
		from = d.Host.Name
	}
	return clean(from, maxName), clean(to, maxName)
}

func rank(name string, n float64) int {
	if i := slices.Index(severities, name); i > 0 {
		return i
	}
	return int(min(max(number(n), 1), 4))
}

// number is a score or points: no number from outside is longer than that.
func number(f float64) float64 {
	if math.IsNaN(f) {
		return 0
	}
	return math.Round(min(max(f, -1000), 1000)*10) / 10
}

func weightiest(checks []check) []check {
	slices.SortStableFunc(checks, func(a, b check) int {
		switch {
		case a.Points > b.Points:
			return -1
		case a.Points < b.Points:
			return 1
		}
		return 0
	})
	checks = checks[:min(len(checks), maxChecks)]
	for i, c := range checks {
		checks[i] = check{clean(c.Name, maxName), number(c.Points), clean(c.Evidence, maxPhrase), clean(c.Benign, maxPhrase)}
	}
	return checks
}

// add counts another alert of the group, whose words stand if it is worse or
// newer.
func (a *alert) add(b *alert) {
	count, first, last := a.Count+b.Count, earlier(a.First, b.First), later(a.Last, b.Last)
	if b.rank > a.rank || b.rank == a.rank && !b.Last.Before(a.Last) {
		*a = *b
	}
	a.Count, a.First, a.Last = count, first, last
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
