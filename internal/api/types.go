package api

import (
	"encoding/json"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
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

// Search asks for events, newest first.
type Search struct {
	Q      string `json:"q,omitempty" doc:"the query; empty matches all"`
	Limit  int    `json:"limit,omitempty" doc:"1 to 1000, 100 when absent; of a stream, 0 is all"`
	Cursor string `json:"cursor,omitempty" doc:"of the page before"`
	Range
}

// SearchPage is one page of events.
type SearchPage struct {
	Docs   []json.RawMessage `json:"docs"`
	Cursor string            `json:"cursor,omitempty"`
	TookMS float64           `json:"took_ms"`
}

// Counted is a number of events.
type Counted struct {
	Count uint64 `json:"count"`
}

// Question is a query over an interval.
type Question struct {
	Q string `json:"q,omitempty" doc:"the query; empty matches all"`
	Range
}

// FacetQuestion asks for the most frequent values of a field.
type FacetQuestion struct {
	Field string `json:"field" doc:"ECS field, dotted"`
	Limit int    `json:"limit,omitempty" doc:"1 to 1000, 10 when absent"`
	Question
}

// HistogramQuestion asks for counts by steps of time.
type HistogramQuestion struct {
	Step  string `json:"step,omitempty" doc:"such as 1m or 1h; one of about sixty in the interval when absent"`
	Split string `json:"split,omitempty" doc:"ECS field to split by"`
	Question
}

// Buckets is a list of values with their counts.
type Buckets struct {
	Buckets []store.Bucket `json:"buckets"`
}

// Histogram is counts by steps of time, for each value of the split, "" when
// there is none.
type Histogram struct {
	Series map[string][]store.Bucket `json:"series"`
	StepMS int64                     `json:"step_ms"`
}

// Stats is what a person who looks once a day wants to know.
type Stats struct {
	From       time.Time       `json:"from"`
	To         time.Time       `json:"to"`
	Events     []store.Bucket  `json:"events" doc:"events by event.dataset"`
	Total      uint64          `json:"total"`
	Counts     inbox.Counts    `json:"counts"`
	Alerts     Histogram       `json:"alerts" doc:"alerts by decoder.alert.severity"`
	Components []obs.Status    `json:"components"`
	Sensors    []Sensor        `json:"sensors"`
	Groups     []bus.GroupInfo `json:"groups"`
	Answer     Answer          `json:"answer"`
}

// Answer is one sentence on whether anything is wrong.
type Answer struct {
	Level obs.Level `json:"level"`
	Text  string    `json:"text"`
	Link  string    `json:"link,omitempty" doc:"where in the UI to look"`
}

// EmptyQuestion asks why a page shows nothing.
type EmptyQuestion struct {
	Page    string `json:"page" enum:"inbox,search"`
	Filters bool   `json:"filters,omitempty" doc:"whether filters besides the interval are in force"`
	Question
}

// EmptyAnswer says why a page shows nothing, from the live chain: sensor last
// heard, topic offset, client lag and dead letters, newest event in the store,
// filters in force.
type EmptyAnswer struct {
	Reason EmptyReason `json:"reason"`
	Text   string      `json:"text"`
	Link   string      `json:"link,omitempty"`
	Action string      `json:"action,omitempty" doc:"what the link does"`
}

// EmptyReason is why a page is empty.
type EmptyReason string

// The reasons.
const (
	EmptyNoSensor EmptyReason = "no_sensor" // no sensor has ever sent anything
	EmptyBehind   EmptyReason = "behind"    // a client is behind, or not running
	EmptyFiltered EmptyReason = "filtered"  // filters hide what there is
	EmptyRange    EmptyReason = "range"     // nothing in this interval, but outside it
	EmptyZero     EmptyReason = "zero"      // nothing to do: inbox zero
)

// List is an answer with items.
type List[T any] struct {
	Items []T `json:"items"`
}

// Tail asks for the records of a topic.
type Tail struct {
	Topic     string `json:"-" path:"topic"`
	Last      int64  `json:"last,omitempty" doc:"begin with the last N records of each partition, 10 when no beginning is given"`
	From      string `json:"from,omitempty" doc:"begin here instead: begin (the first record there is), end or next (behind the last), an offset, or a time: RFC 3339, a date, or an age"`
	Partition string `json:"partition,omitempty" doc:"of this partition alone"`
	Limit     int    `json:"limit,omitempty" doc:"0 is no limit"`
	Follow    bool   `json:"follow,omitempty" doc:"go on at the end of the log"`
}

// Record is a record of the log. Key and value are text where they are valid
// UTF-8, else base 64.
type Record struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
	Key       Bytes     `json:"key"`
	Value     Bytes     `json:"value"`
	Headers   []Header  `json:"headers,omitempty"`
}

// Header is a header of a record.
type Header struct {
	Key   string `json:"key"`
	Value Bytes  `json:"value"`
}

// ReplayRequest asks for captures to be replayed. Paths are absolute, of
// files or folders, on the machine of the instance.
type ReplayRequest struct {
	Paths []string `json:"paths"`
	Rules []string `json:"rules,omitempty" doc:"absolute paths of rule files to use instead of the configured ones"`
}

// ReplayState is how far a replay, or one capture of it, has come.
type ReplayState string

// The states of a replay. Done means that the log has all events; Searchable
// that the store has them too.
const (
	ReplayQueued    ReplayState = "queued"
	ReplayRunning   ReplayState = "running"
	ReplayDone      ReplayState = "done"
	ReplayFailed    ReplayState = "failed"
	ReplayCancelled ReplayState = "cancelled"
)

// Replay is a job that replays captures.
type Replay struct {
	ID         string      `json:"id"`
	State      ReplayState `json:"state"`
	Searchable bool        `json:"searchable"`
	Submitted  time.Time   `json:"submitted"`
	Ended      time.Time   `json:"ended,omitzero"`
	Error      string      `json:"error,omitempty"`
	Captures   int         `json:"captures"`
	Done       int         `json:"done" doc:"captures that have ended, failed ones among them"`
	Failed     int         `json:"failed"`
	Bytes      int64       `json:"bytes" doc:"of all captures"`
	BytesDone  int64       `json:"bytes_done"`
	Packets    uint64      `json:"packets"`
	Rules      ReplayRules `json:"rules"`
}

// ReplayRules are the rules of a replay: what the engine made of them.
type ReplayRules struct {
	Own     bool     `json:"own" doc:"the replay brought its own"`
	Loaded  int      `json:"loaded" doc:"0 as long as no engine was needed"`
	Failed  int      `json:"failed" doc:"that the engine refused"`
	Reasons []string `json:"reasons,omitempty" doc:"of the first refused ones, with file and line"`
}

// Capture is what a replay found in one capture.
type Capture struct {
	Capture string            `json:"capture" doc:"name"`
	Path    string            `json:"path"`
	SHA256  string            `json:"sha256,omitempty" doc:"of the capture, unpacked where it is gzipped"`
	State   ReplayState       `json:"state"`
	Packets uint64            `json:"packets"`
	Events  map[string]uint64 `json:"events" doc:"by event type"`
	Alerts  map[string]uint64 `json:"alerts" doc:"by signature id"`
	Error   string            `json:"error,omitempty"`
}

// ReplayUpdate is news of a replay: its state, and the capture that has ended
// if one has.
type ReplayUpdate struct {
	Replay  Replay   `json:"replay"`
	Capture *Capture `json:"capture,omitempty"`
}

// ReplayWatch asks for the news of a replay.
type ReplayWatch struct {
	ID   string `json:"-" path:"id"`
	Wait bool   `json:"wait,omitempty" doc:"until all events are searchable"`
}

// ReplayKey names a replay.
type ReplayKey struct {
	ID string `json:"-" path:"id"`
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

// DeadLetterFilter asks for dead letters.
type DeadLetterFilter struct {
	Client string `json:"client,omitempty"`
	Code   string `json:"code,omitempty"`
	Text   string `json:"text,omitempty" doc:"in the error, the key or the value, whatever its case"`
	State  string `json:"state,omitempty" doc:"open, resent, discarded or all; open when absent"`
	Range         // of the last failure
	Limit  int    `json:"limit,omitempty" doc:"100 when absent"`
}

// DeadLetterList is dead letters, grouped and the newest one by one.
type DeadLetterList struct {
	Total   uint64            `json:"total"`
	Groups  []DeadLetterGroup `json:"groups" doc:"by client and error code"`
	Letters []DeadLetter      `json:"letters" doc:"newest first, without their bytes"`
}

// DeadLetterGroup is the dead letters of one client with one error code.
type DeadLetterGroup struct {
	Client string    `json:"client"`
	Code   string    `json:"code"`
	Error  string    `json:"error" doc:"of the last"`
	Count  uint64    `json:"count"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// DeadLetter is a record that a client could not handle.
type DeadLetter struct {
	inbox.Position
	Client   string         `json:"client"`
	Code     string         `json:"code"`
	Error    string         `json:"error"`
	Attempts int            `json:"attempts"`
	Origin   inbox.Position `json:"origin" doc:"where the record came from"`
	First    time.Time      `json:"first"`
	Last     time.Time      `json:"last"`
	Size     int            `json:"size"`
	State    string         `json:"state" doc:"open, resent or discarded"`
	By       string         `json:"by,omitempty" doc:"who resent or discarded it"`
	Decided  time.Time      `json:"decided,omitzero"`
	Failures []DeadFailure  `json:"failures,omitempty" doc:"before it was resent, oldest first"`
	Record   *Record        `json:"record,omitempty" doc:"the original bytes and headers"`
}

// DeadFailure is one time a record was given up.
type DeadFailure struct {
	Code     string    `json:"code"`
	Error    string    `json:"error"`
	Attempts int       `json:"attempts"`
	Last     time.Time `json:"last"`
}

// DeadLetterKey names a dead letter by its place.
type DeadLetterKey struct {
	Topic     string `json:"-" path:"topic"`
	Partition int32  `json:"-" path:"partition"`
	Offset    int64  `json:"-" path:"offset"`
}

// Letters names dead letters, one by one or by a filter.
type Letters struct {
	Letters []inbox.Position  `json:"letters,omitempty" doc:"1 to 1000"`
	Filter  *DeadLetterFilter `json:"filter,omitempty" doc:"instead: all that it chooses"`
	Note    string            `json:"note,omitempty"`
}

// LetterCount is how many dead letters something was done with.
type LetterCount struct {
	Count int `json:"count"`
}

// LetterTry is a dead letter to run through its stage without writing
// anything, or to send back, with its value or another.
type LetterTry struct {
	Letter inbox.Position `json:"letter"`
	Value  *Bytes         `json:"value,omitempty" doc:"instead of the record's"`
	Note   string         `json:"note,omitempty"`
}

// LetterTried is what a stage makes of a record, or a sink says of it.
type LetterTried struct {
	Sink    bool     `json:"sink,omitempty" doc:"a sink was asked: without an error it would write the record"`
	Outputs []Record `json:"outputs"`
	Error   string   `json:"error,omitempty"`
	Code    string   `json:"code,omitempty"`
	Class   string   `json:"class,omitempty" doc:"retry, permanent or throttled"`
}

// RerunRequest asks for a stage to be run again over what the log holds.
type RerunRequest struct {
	Stage string   `json:"stage"`
	From  string   `json:"from,omitempty" doc:"RFC 3339, a date, or an age such as 7d; all when absent"`
	Rules []string `json:"rules,omitempty" doc:"rule files of the machine that detect goes by, instead of what the events say of their rules; only over the socket"`
	Ask   bool     `json:"ask,omitempty" doc:"a stage that calls a service may call it again"`
	Note  string   `json:"note,omitempty"`
}

// Rerun is a run of a stage over what the log holds, apart from the live one.
type Rerun struct {
	ID      string    `json:"id"`
	Stage   string    `json:"stage"`
	From    time.Time `json:"from,omitzero"`
	By      string    `json:"by,omitempty"`
	Note    string    `json:"note,omitempty"`
	Rules   []string  `json:"rules,omitempty" doc:"names of the rule files it goes by"`
	Ask     bool      `json:"ask,omitempty" doc:"services are called again"`
	Started time.Time `json:"started"`
	State   string    `json:"state" doc:"running, paused, done or cancelled"`
	Problem string    `json:"problem,omitempty" doc:"why it stands still"`
	Done    int64     `json:"done" doc:"records read"`
	Total   int64     `json:"total"`
}

// RerunKey names a rerun.
type RerunKey struct {
	ID string `json:"-" path:"id"`
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
