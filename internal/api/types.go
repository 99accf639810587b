package api

import (
	"encoding/json"
	"time"

	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
)

// The requests and answers of the API, as they stand on the wire. A GET
// request's struct is its query string; a field tagged `path` stands in the
// path. Times in a request are text that ParseTime understands.

// Range is the interval of event time a question is about; empty is open.
type Range struct {
	From string `json:"from,omitempty" doc:"RFC 3339, a date, or an age such as 24h or 7d"`
	To   string `json:"to,omitempty" doc:"as from; exclusive"`
}

// Empty is a request that says nothing, or an answer that has nothing to say.
type Empty struct{}

// AlertFilter asks for one page of the inbox.
type AlertFilter struct {
	Tab      string `json:"tab,omitempty" enum:"new,escalated,archived,all" doc:"all when empty"`
	Starred  bool   `json:"starred,omitempty"`
	Severity string `json:"severity,omitempty" enum:"low,medium,high,critical" doc:"the lowest wanted"`
	Kind     string `json:"kind,omitempty" enum:"network,host,mail,pipeline"`
	Sensor   string `json:"sensor,omitempty"`
	Capture  string `json:"capture,omitempty" doc:"name of a replayed capture; - for what was not replayed"`
	Rerun    string `json:"rerun,omitempty" doc:"id of a rerun; empty is the live alerts"`
	Text     string `json:"text,omitempty" doc:"part of title, group, address, name or rule id"`
	Sort     string `json:"sort,omitempty" enum:"last,first,severity,score,count"`
	Limit    int    `json:"limit,omitempty" doc:"1 to 1000, 100 when absent"`
	Cursor   string `json:"cursor,omitempty" doc:"of the page before"`
	Range
}

// AlertKey names an alert group.
type AlertKey struct {
	Group string `json:"-" path:"group"`
}

// AlertDetail is an alert group with what explains it.
type AlertDetail struct {
	inbox.Detail
	Checks []Check           `json:"checks"`
	Events []json.RawMessage `json:"events" doc:"the events behind the last alert, ECS, those that the store has"`
	// Missing counts events behind the last alert that the store does not have.
	Missing int `json:"missing"`
}

// Check is one reason for an alert's score.
type Check struct {
	Name     string          `json:"name"`
	Points   float64         `json:"points"`
	Evidence json.RawMessage `json:"evidence,omitempty" doc:"text, list or object"`
	Version  json.RawMessage `json:"version,omitempty" doc:"text or number"`
	Benign   string          `json:"benign,omitempty" doc:"what would make it harmless"`
}

// AlertChange changes the state of alert groups. Archiving covers the alerts
// that the author had seen: those of Seen, or those in the view at present
// when Seen is absent.
type AlertChange struct {
	Groups []string                    `json:"groups" doc:"1 to 1000"`
	What   inbox.Action                `json:"what" enum:"archive,escalate,reopen,star,unstar,note"`
	Why    string                      `json:"why,omitempty" doc:"the note, or the reason; at most 10000 characters"`
	Seen   map[string][]inbox.Position `json:"seen,omitempty" doc:"group → its seen"`
}

// AlertChanged says what became of an AlertChange.
type AlertChanged struct {
	Changed int      `json:"changed"`
	Unknown []string `json:"unknown,omitempty" doc:"groups the inbox does not have"`
	Applied bool     `json:"applied" doc:"false when the change is on the log but the view is still behind"`
}

// List is an answer with items.
type List[T any] struct {
	Items []T `json:"items"`
}

// RuleFilter asks for rules.
type RuleFilter struct {
	Text    string `json:"text,omitempty" doc:"part of the message, or a signature id"`
	Enabled string `json:"enabled,omitempty" enum:"yes,no"`
	Limit   int    `json:"limit,omitempty" doc:"100 when absent"`
	Offset  int    `json:"offset,omitempty"`
}

// RuleList is one page of rules.
type RuleList struct {
	Rules   []Rule    `json:"rules"`
	Total   int       `json:"total" doc:"that match the filter"`
	Enabled int       `json:"enabled" doc:"of all rules"`
	Loaded  int       `json:"loaded" doc:"by the sensor; 0 when it does not run"`
	Failed  int       `json:"failed" doc:"that the sensor refused"`
	Updated time.Time `json:"updated,omitzero"`
	Version string    `json:"version,omitempty" doc:"a hash of the rules in force"`
}

// Rule is a detection rule.
type Rule struct {
	ID       string `json:"id" doc:"gid:sid"`
	Revision int    `json:"revision"`
	Message  string `json:"message"`
	Class    string `json:"class,omitempty"`
	Severity string `json:"severity,omitempty"`
	Enabled  bool   `json:"enabled"`
	Source   string `json:"source,omitempty"`
	Text     string `json:"text"`
}

// RuleChange enables or disables rules.
type RuleChange struct {
	Enable bool     `json:"enable"`
	Rules  []string `json:"rules" doc:"signature ids"`
}

// RuleUpdate says what an update of the rules did.
type RuleUpdate struct {
	Total    int    `json:"total"`
	Enabled  int    `json:"enabled"`
	Added    int    `json:"added"`
	Removed  int    `json:"removed"`
	Modified int    `json:"modified"`
	Loaded   bool   `json:"loaded" doc:"the running sensor uses them"`
	Warning  string `json:"warning,omitempty"`
}

// Progress is an answer that takes time: lines for a person, then the result
// or an error.
type Progress[T any] struct {
	Line   string `json:"line,omitempty"`
	Result *T     `json:"result,omitempty"`
	Error  *Error `json:"error,omitempty"`
}

// Service is an outside service that mail is checked with.
type Service struct {
	Name    string    `json:"name"`
	Kinds   []string  `json:"kinds" doc:"what it is asked about: ip, domain, url, sha256, email, message"`
	Breaker string    `json:"breaker" doc:"closed, half-open, open"`
	Paused  time.Time `json:"paused,omitzero" doc:"it asked for no call before"`
	Spent   int       `json:"spent" doc:"calls today, in UTC; after a crash perhaps some more than were made"`
	Quota   int       `json:"quota,omitempty" doc:"of the day; none when absent"`
	Cached  int       `json:"cached" doc:"answers kept"`
}

// Sensor is something that watches and sends.
type Sensor struct {
	Name         string    `json:"name"`
	Kind         string    `json:"kind"`
	Level        obs.Level `json:"level"`
	Message      string    `json:"message,omitempty"`
	Interface    string    `json:"interface,omitempty"`
	Last         time.Time `json:"last,omitzero" doc:"of its last event"`
	EventsPerSec float64   `json:"events_per_second"`
	Events       uint64    `json:"events"`
	Packets      uint64    `json:"packets"`
	Drops        uint64    `json:"drops"`
	DropRatio    float64   `json:"drop_ratio"`
	Rules        int       `json:"rules" doc:"loaded"`
	Version      string    `json:"version,omitempty"`
}

// SelfTestResult says what the self-test found.
type SelfTestResult struct {
	OK        bool    `json:"ok"`
	Text      string  `json:"text"`
	LatencyMS float64 `json:"latency_ms" doc:"from packet to alert in the inbox"`
	Alert     string  `json:"alert,omitempty" doc:"its group"`
}

// Version says what is running.
type Version struct {
	Version string    `json:"version"`
	Passing bool      `json:"passing,omitempty" doc:"it serves one command and ends with it"`
	Commit  string    `json:"commit,omitempty"`
	Go      string    `json:"go"`
	Data    string    `json:"data,omitempty" doc:"the data folder"`
	Started time.Time `json:"started,omitzero"`
	PID     int       `json:"pid,omitempty"`
}

// Printed is the configuration in force as YAML, secrets redacted.
type Printed struct {
	YAML string `json:"yaml"`
}

// Health is the state of the instance and its parts.
type Health struct {
	Level      obs.Level    `json:"level" doc:"the worst of the components"`
	Components []obs.Status `json:"components"`
}

// SignIn is a name and a password.
type SignIn struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

// Session says who is signed in.
type Session struct {
	User    string    `json:"user"`
	Expires time.Time `json:"expires,omitzero"`
}

// PasswordChange sets a password. Over the socket the current one is not
// asked, and without a new one a password is generated.
type PasswordChange struct {
	User    string `json:"user,omitempty" doc:"admin when absent"`
	Current string `json:"current,omitempty"`
	New     string `json:"new,omitempty" doc:"12 to 200 characters"`
}

// PasswordChanged holds a generated password.
type PasswordChanged struct {
	User     string `json:"user"`
	Password string `json:"password,omitempty" doc:"only when it was generated"`
}
