package api

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
	"github.com/decodersring/decoder/internal/store"
)

// Deps are the parts of the program that the API speaks for. A part that is
// nil is one this instance does not run: what needs it is answered with 503
// and the code "unavailable". All methods are called concurrently and return
// when their context ends.
type Deps struct {
	State  *state.DB // users and sessions; required when listening on TCP
	Log    Log
	Inbox  Inbox
	Store  store.Reader
	Health *obs.Health

	Replays     Replays
	Rules       Rules
	Sensors     Sensors
	Services    Services
	DeadLetters DeadLetters // nil takes those of Log, if it is a *bus.Bus
	Clients     Trier       // of this process; nil: nothing can be tried
	Reruns      Reruns
	SelfTest    SelfTest
	Notify      Notify
	Config      Config

	Status func() []client.Status // of this process's clients; nil: there are none
	// Elsewhere reports a consumer group that another instance on the same
	// cluster has for itself: how far that is behind is not told here. nil:
	// there are none.
	Elsewhere func(group string) bool
	Metrics   prometheus.Gatherer
	UI        http.Handler // the browser UI; nil serves none
	Version   Version
}

// Inbox is the triage of alerts; *inbox.Inbox is one, but for Rebuild, which
// needs the runtime that feeds it.
type Inbox interface {
	List(ctx context.Context, f inbox.Filter) (inbox.List, error)
	// Show returns inbox.ErrNotFound when no alert of the group is on the log.
	Show(ctx context.Context, group string) (inbox.Detail, error)
	// Await returns when the view has applied the changes of those ids.
	Await(ctx context.Context, changes ...string) error
	// Watch returns a channel that receives after the view has changed, with
	// bursts joined, and what ends it.
	Watch() (<-chan struct{}, func())
	// Rebuild empties the view and builds it again from the log; it returns
	// when that is done.
	Rebuild(ctx context.Context) error
}

// Log is the log; *bus.Bus is one.
type Log interface {
	bus.Appender
	Topics(ctx context.Context, names ...string) ([]bus.TopicInfo, error)
	Groups(ctx context.Context, names ...string) ([]bus.GroupInfo, error)
	Bounds(ctx context.Context, topic string) (map[int32]bus.Span, error)
	After(ctx context.Context, topic string, from time.Time) (map[int32]bus.Span, error)
	Scan(ctx context.Context, topic string, spans map[int32]bus.Span, take func(*bus.Record) bool) error
	Tail(ctx context.Context, topic string, n int64, follow bool, take func(*bus.Record) bool) error
}

// Replays sends captures through the sensor. Unknown ids give ErrNotFound.
type Replays interface {
	Submit(ctx context.Context, r ReplayRequest) (Replay, error)
	Replays(ctx context.Context) ([]Replay, error)
	Replay(ctx context.Context, id string) (Replay, error)
	// Watch calls emit for each capture that has ended already, then for
	// progress and each further one, and returns when the replay has ended: at
	// once when wait is false, else when all its events are searchable. The
	// last update holds the replay with its final state.
	Watch(ctx context.Context, id string, wait bool, emit func(ReplayUpdate) error) error
	Cancel(ctx context.Context, id string) error
}

// Rules are the detection rules of the sensor.
type Rules interface {
	Rules(ctx context.Context, f RuleFilter) (RuleList, error)
	// Update fetches, tests and loads the rules; progress is called with lines
	// for a person.
	Update(ctx context.Context, progress func(string)) (RuleUpdate, error)
	// Change enables or disables rules and loads the result.
	Change(ctx context.Context, c RuleChange) (RuleUpdate, error)
}

// Sensors says what watches.
type Sensors interface {
	Sensors(ctx context.Context) ([]Sensor, error)
}

// Services says how the outside services that mail is checked with stand.
type Services interface {
	Services(ctx context.Context) ([]Service, error)
}

// DeadLetters are the records that clients could not handle.
type DeadLetters interface {
	// DeadLetters returns letters neither resent nor discarded, newest first.
	DeadLetters(ctx context.Context, f DeadLetterFilter) (DeadLetterList, error)
	// DeadLetter returns one letter with its bytes, or ErrNotFound.
	DeadLetter(ctx context.Context, topic string, partition int32, offset int64) (DeadLetter, error)
	// Resend and Discard return how many letters they were done with.
	Resend(ctx context.Context, who string, l Letters) (int, error)
	Discard(ctx context.Context, who string, l Letters) (int, error)
	// Edit sends a letter back with another value.
	Edit(ctx context.Context, who string, e LetterTry) error
	// Try runs a letter through its stage without writing anything.
	Try(ctx context.Context, t LetterTry) (LetterTried, error)
}

// Reruns are runs of a stage over what the log holds, apart from the live one.
type Reruns interface {
	Begin(ctx context.Context, who string, r RerunRequest) (Rerun, error)
	List(ctx context.Context) ([]Rerun, error)
	// Rerun, Continue, Cancel and Compare return ErrNotFound for an unknown id.
	Rerun(ctx context.Context, id string) (Rerun, error)
	Continue(ctx context.Context, id string) error
	Cancel(ctx context.Context, id string) error
	Compare(ctx context.Context, id string) (rerun.Difference, error)
}

// Trier runs a record through the stage or sink of that name without writing
// anything; *client.Runtime is one.
type Trier interface {
	Try(ctx context.Context, name string, r *client.Record) (client.Tried, error)
}

// SelfTest makes a harmless exchange that a rule must alert on.
type SelfTest interface {
	SelfTest(ctx context.Context, progress func(string)) (SelfTestResult, error)
}

// Notify tells people of alerts.
type Notify interface {
	Destinations(ctx context.Context) ([]Destination, error)
	// Test sends a trial message to the destination of that name; its error is
	// why that did not take it. An unknown name gives ErrNotFound.
	Test(ctx context.Context, name string) error
}

// Config is the configuration in force.
type Config interface {
	// Print returns it as YAML, secrets redacted.
	Print() (string, error)
}
