package notify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxLines  = 20   // alerts told of one by one
	maxEvents = 1000 // ids in a webhook's body
	maxLink   = 500  // bytes of a group in a link
)

// message is what a destination is told. It is kept as JSON until it is known
// to have arrived.
type message struct {
	ID     string   `json:"id"`    // of what it tells of: the same for the same alerts, in hex
	Title  string   `json:"title"` // a line
	Text   string   `json:"text"`  // lines; the first is the title
	Link   string   `json:"link,omitempty"`
	Group  string   `json:"group,omitempty"` // that it is of alone
	Rank   int      `json:"rank"`            // of the worst
	Alerts []*alert `json:"alerts"`          // the worst first
	More   int      `json:"more"`            // groups not among Alerts
	Events []string `json:"events"`

	Groups map[string]int `json:"groups"` // all it tells of, by key, and the severity
}

// composer writes messages.
type composer struct {
	name string // of the destination
	page string // address of the browser page, "" when that is not known
	zone *time.Location
}

// compose makes the message that tells of the groups, by their keys, and of the
// alerts with those ids.
func (c composer) compose(groups map[string]*alert, ids map[string]string) *message {
	m := &message{Groups: map[string]int{}}
	for key, a := range groups {
		m.Groups[key] = a.rank
		m.Alerts = append(m.Alerts, a)
		m.Rank = max(m.Rank, a.rank)
	}
	slices.SortFunc(m.Alerts, func(a, b *alert) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(b.Score, a.Score), b.Last.Compare(a.Last), cmp.Compare(a.Group, b.Group))
	})
	m.Events = slices.Sorted(maps.Keys(ids))
	m.ID = idOf(c.name, m.Events)
	m.Events = m.Events[:min(len(m.Events), maxEvents)]
	m.More = max(len(m.Alerts)-maxLines, 0)
	m.Alerts = m.Alerts[:len(m.Alerts)-m.More]
	if len(groups) == 1 {
		c.single(m, m.Alerts[0])
	} else {
		c.digest(m, len(groups))
	}
	return m
}

// strip leaves no word of an alert in the message: a filter before a mailbox
// may take what an alert quotes for the attack itself, and would refuse each
// message that tells of it.
func (m *message) strip() {
	m.Title = fmt.Sprintf("%s: %s to be looked at", strings.ToUpper(severities[m.Rank]), counted(len(m.Groups), "alert"))
	m.Text = m.Title + "\n\nA message that says more was refused: the program's log says why, and the inbox what it was of.\n"
	m.Alerts, m.More = []*alert{}, len(m.Groups)
	m.ID = idOf(m.ID, nil) // it is another message
}

func idOf(name string, events []string) string {
	h := sha256.New()
	for _, e := range append([]string{name}, events...) {
		fmt.Fprintf(h, "%d:%s,", len(e), e)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// single is the message of one group.
func (c composer) single(m *message, a *alert) {
	m.Group, m.Link = a.Group, c.link(a.Group)
	m.Title = strings.ToUpper(a.Severity) + ": " + defang(a.Title)
	var b strings.Builder
	line := func(label, text string) { fmt.Fprintf(&b, "%-11s%s\n", label, text) }
	b.WriteString(m.Title + "\n\n")
	if who := a.who(); who != "" {
		line("Who", who)
	}
	line("When", c.when(a.Last))
	often := "once"
	if a.Count > 1 {
		often = fmt.Sprintf("%d times since %s", a.Count, c.when(a.First))
	}
	line("How often", often)
	if !a.Before.IsZero() {
		line("Told before", c.when(a.Before))
	}
	about := fmt.Sprintf("%s, score %s of 100", a.Kind, points(a.Score))
	if a.Sensor != "" {
		about += ", seen by " + defang(a.Sensor)
	}
	line("What", about)
	c.reasons(&b, a)
	m.Text = b.String()
}

func (c composer) reasons(b *strings.Builder, a *alert) {
	if len(a.Checks) == 0 {
		return
	}
	b.WriteString("\nWhy\n")
	for _, k := range a.Checks {
		fmt.Fprintf(b, "  %s points  %s", points(k.Points), defang(k.Name))
		if k.Evidence != "" {
			b.WriteString(": " + defang(k.Evidence))
		}
		b.WriteString("\n")
	}
	var told []string
	for _, k := range a.Checks {
		if k.Benign == "" || slices.Contains(told, k.Benign) {
			continue
		}
		if len(told) == 0 {
			b.WriteString("\nHarmless if\n")
		}
		told = append(told, k.Benign)
		b.WriteString("  " + defang(k.Benign) + "\n")
	}
}

// digest is the message of several groups, a line each.
func (c composer) digest(m *message, groups int) {
	m.Link = c.link("")
	worst := m.Alerts[0]
	m.Title = fmt.Sprintf("%s: %s, and %s", strings.ToUpper(worst.Severity), defang(worst.Title), counted(groups-1, "more alert"))
	var b strings.Builder
	b.WriteString(m.Title + "\n\n")
	for _, a := range m.Alerts {
		fmt.Fprintf(&b, "%-9s %s", strings.ToUpper(a.Severity), defang(a.Title))
		if who := a.who(); who != "" {
			b.WriteString(" | " + who)
		}
		if a.Count > 1 {
			fmt.Fprintf(&b, " | %d times", a.Count)
		}
		b.WriteString(" | " + c.when(a.Last) + "\n")
	}
	if m.More > 0 {
		fmt.Fprintf(&b, "and %d more\n", m.More)
	}
	m.Text = b.String()
}

func (a *alert) who() string {
	if a.From == "" || a.To == "" {
		return defang(a.From + a.To)
	}
	return defang(a.From) + " → " + defang(a.To)
}

// when is a time as the machine's clock shows it, and in UTC.
func (c composer) when(t time.Time) string {
	zone := c.zone
	if zone == nil {
		zone = time.Local
	}
	at := t.In(zone)
	if _, offset := at.Zone(); offset == 0 {
		return at.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	return at.Format("2006-01-02 15:04:05 MST") + t.UTC().Format(" (15:04:05 UTC)")
}

// link is the page's address of a group, or of the inbox.
func (c composer) link(group string) string {
	if c.page == "" {
		return ""
	}
	link := strings.TrimSuffix(c.page, "/") + "/inbox"
	if in := url.QueryEscape(group); in != "" && len(in) <= maxLink {
		link += "?group=" + in
	}
	return link
}

func points(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// whole is the text with the link below, of at most so many bytes: lines that
// are too many are left out and counted.
func (m *message) whole(most int) (text string) {
	room := most
	if m.Link != "" {
		room -= len(m.Link) + 2
	}
	text = cut(m.Text, room)
	if m.Link != "" && room > 0 {
		text = strings.TrimRight(text, "\n") + "\n\n" + m.Link
	}
	return text
}

// cut keeps whole lines of at most so many bytes together.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const rest = "… and more\n"
	end := strings.LastIndexByte(text[:max(most-len(rest), 0)], '\n') + 1
	return text[:end] + rest
}
