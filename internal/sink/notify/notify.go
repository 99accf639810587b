package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
)

// maxWaiting bounds the alerts in memory that are still to be told of; what
// comes after them waits in the log.
const maxWaiting = 5000

// codeWaiting is the code of records that wait for those before them.
const codeWaiting = "destination_waits"

// Sink is one destination. It implements client.Sink, client.Flusher and
// client.Tryer.
type Sink struct {
	config Config
	to     sender
	words  composer
	log    func(ctx context.Context, msg string, args ...any)
	now    func() time.Time

	mu      sync.Mutex
	memory  memory
	groups  map[string]*alert // told of next
	ids     map[string]string // of the alerts in groups, and which group
	sending *message          // gone out, and not known to have arrived
	flying  map[string]*alert // the groups it tells of
	flown   map[string]string // and its alerts
	failed  error             // why the last attempt did; nil: it did not
	failure time.Time         // when
	until   time.Time         // the destination asked to be left alone
	bare    bool              // it took nothing of the last message: the next says less
}

// sender is a way to a destination. An error is classified by package fault;
// one whose code is codeNoAnswer or codeFailed leaves open whether the message
// has arrived, and a partly says that it has, though not everywhere.
type sender interface {
	send(ctx context.Context, m *message) error
}

type partly struct{ error }

// Deps are what a destination works with.
type Deps struct {
	DB     *state.DB   // of Schema
	Secure *tls.Config // nil: the system's certificates
	Page   string      // the browser page's address as people call it; "": messages have no link
	Scope  obs.Scope
}

// New returns the sink of a destination.
func New(c Config, d Deps) (*Sink, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	to, err := newSender(c, d.Secure)
	if err != nil {
		return nil, err
	}
	return &Sink{
		config: c, to: to, words: composer{name: c.Name, page: d.Page}, log: d.Scope.Logger().WarnContext, now: time.Now,
		memory: memory{db: d.DB, name: c.Name}, groups: map[string]*alert{}, ids: map[string]string{},
	}, nil
}

func newSender(c Config, secure *tls.Config) (sender, error) {
	if c.kind() == kindMail {
		return newMailer(c, secure)
	}
	return newPoster(c, secure)
}

// Name returns the destination's name.
func (s *Sink) Name() string { return s.config.Name }

// Spec returns the client that runs the destination.
func (s *Sink) Spec(version string) client.Spec {
	return client.Spec{
		Name: s.config.Client(), Inputs: []string{bus.TopicAlerts, bus.TopicEmailAlert}, Sink: s, Version: version,
		FromNow: true, FlushEvery: time.Second, BatchRecords: 500, InFlight: 4 << 20,
	}
}

// Write gathers the alerts that are to be told of.
func (s *Sink) Write(ctx context.Context, batch []*client.Record) error {
	bad := client.RecordErrors{}
	var wanted []*alert
	for i, r := range batch {
		a, err := parse(r)
		if err != nil {
			bad[i] = err
		} else if s.wants(a) {
			wanted = append(wanted, a)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.memory.load(ctx); err != nil {
		return err
	}
	if len(s.ids)+len(s.flown)+len(wanted) > maxWaiting && len(s.ids)+len(s.flown) > 0 {
		return fault.NewThrottled(codeWaiting, time.Second, fmt.Errorf("%d alerts wait to be told of, the others in the log", len(s.ids)+len(s.flown)))
	}
	for _, a := range wanted {
		s.gather(a)
	}
	if len(bad) > 0 {
		return bad
	}
	return nil
}

// wants reports whether the destination is told of such alerts.
func (s *Sink) wants(a *alert) bool {
	lowest := slices.Index(severities, s.config.Severity)
	return !a.capture && a.rank >= lowest && (len(s.config.Kinds) == 0 || slices.Contains(s.config.Kinds, a.Kind))
}

// gather adds an alert to what is told next, unless its group has been told of.
func (s *Sink) gather(a *alert) {
	known, before := s.memory.knows(a.Group, a.rank, s.now(), time.Duration(s.config.Again))
	_, waits := s.ids[a.ID]
	_, flies := s.flown[a.ID]
	if known || waits || flies {
		return
	}
	s.ids[a.ID] = a.Group
	a.Before = before
	if there := s.groups[a.Group]; there != nil {
		there.add(a)
	} else {
		s.groups[a.Group] = a
	}
}

// Try implements [client.Tryer].
func (s *Sink) Try(_ context.Context, r *client.Record) error {
	_, err := parse(r)
	return err
}

// Flush tells of what was gathered, once it is time, and returns when the
// destination has taken it.
func (s *Sink) Flush(ctx context.Context) error {
	for all := false; !all; {
		var (
			m   *message
			err error
		)
		if m, all, err = s.next(ctx); m == nil || err != nil {
			return err
		}
		err = s.to.send(ctx, m)
		some, _ := errors.AsType[*partly](err)
		if err != nil && some == nil {
			s.missed(err)
			return fmt.Errorf("telling %s: %w", s.config.Name, err)
		}
		s.arrived(ctx, m, some)
	}
	return nil
}

// Committed implements [client.Flusher].
func (s *Sink) Committed() {}

// next returns the message to be sent now, and whether it tells of all that was
// gathered until now; nil when there is nothing to tell.
func (s *Sink) next(ctx context.Context) (m *message, all bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.memory.load(ctx); err != nil {
		return nil, false, err
	}
	s.resume()
	if s.sending == nil {
		s.passOver()
		if len(s.groups) == 0 {
			return nil, true, nil
		}
	}
	if wait := s.until.Sub(s.now()); wait > 0 { // whoever asks: a client that begins or ends does so at its own pace
		e := fault.Of(s.failed)
		return nil, false, fault.NewThrottled(e.Code, wait, e.Err)
	}
	if !s.memory.due(s.now(), time.Duration(s.config.Every)) {
		return nil, false, client.ErrNotYet
	}
	if s.sending != nil {
		return s.sending, false, nil
	}
	s.sending, s.flying, s.flown = s.words.compose(s.groups, s.ids), s.groups, s.ids
	s.groups, s.ids = map[string]*alert{}, map[string]string{}
	if s.bare {
		s.sending.strip()
	}
	if err := s.memory.begin(ctx, s.sending); err != nil {
		// Telling counts for more than that a kill may make it two messages.
		s.log(ctx, "message is not noted before it is sent", "destination", s.config.Name, "err", err)
	}
	return s.sending, true, nil
}

// resume takes up the message of a process that was killed, if what it tells of
// has come again: then it is not known whether it was sent.
func (s *Sink) resume() {
	m := s.memory.sending
	if m == nil || s.sending != nil {
		return
	}
	if slices.ContainsFunc(m.Events, func(id string) bool { _, again := s.ids[id]; return again }) {
		s.sending, s.memory.sending = m, nil
	}
}

// passOver drops groups that have been told of since they were gathered.
func (s *Sink) passOver() {
	for key, a := range s.groups {
		if known, _ := s.memory.knows(key, a.rank, s.now(), time.Duration(s.config.Again)); known {
			delete(s.groups, key)
		}
	}
	maps.DeleteFunc(s.ids, func(_, group string) bool { return s.groups[group] == nil })
}

// missed notes that a message was not taken. If that is certain, what it told
// of goes into the next one, with what comes meanwhile.
func (s *Sink) missed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.failure, s.until = err, s.now(), time.Time{}
	e := fault.Of(err)
	if e.Class == fault.Throttled {
		s.until = s.failure.Add(e.After)
	}
	s.bare = e.Code == codeRefused && !s.bare
	if code := e.Code; code == codeNoAnswer || code == codeFailed || errors.Is(err, context.Canceled) {
		return
	}
	again := s.groups
	s.groups, s.sending = s.flying, nil
	if s.groups == nil { // a killed process's: all of it is gathered again
		s.groups = map[string]*alert{}
	}
	for key, a := range again {
		if s.groups[key] == nil {
			s.groups[key] = a
		} else {
			s.groups[key].add(a)
		}
	}
	maps.Copy(s.ids, s.flown)
	s.flying, s.flown = nil, nil
}

func (s *Sink) arrived(ctx context.Context, m *message, some *partly) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed, s.until, s.bare, s.sending, s.flying, s.flown = nil, time.Time{}, false, nil, nil, nil
	now := s.now()
	if some != nil {
		s.failed, s.failure = some, now
		s.log(ctx, "message has not reached all", "destination", s.config.Name, "err", some)
	}
	if err := s.memory.tell(ctx, m, now, now.Add(-time.Duration(s.config.Again))); err != nil {
		s.log(ctx, "what was told is not noted, and may be told again after a restart", "destination", s.config.Name, "err", err)
	}
}

// Status is how a destination stands.
type Status struct {
	Name, Kind, Severity string
	Client               string
	Waiting              int       // alert groups to be told of
	Told                 time.Time // when the last message was taken; zero: never
	Error                string    // of the last attempt, "" if it did not fail
	Failed               time.Time
}

// Status returns how the destination stands.
func (s *Sink) Status(ctx context.Context) (Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := Status{Name: s.config.Name, Kind: s.config.kind(), Severity: s.config.Severity, Client: s.config.Client()}
	if err := s.memory.load(ctx); err != nil {
		return out, err
	}
	out.Waiting, out.Told = len(s.groups)+len(s.flying), s.memory.last
	if s.failed != nil {
		out.Error, out.Failed = s.failed.Error(), s.failure
	}
	return out, nil
}

// Test sends a trial message. Its error is why the destination did not take it.
func (s *Sink) Test(ctx context.Context) error {
	now := s.now()
	m := s.words.compose(map[string]*alert{"": {
		Kind: "pipeline", Severity: "low", rank: 1, Title: "This is a trial message of Decoder Ring", Count: 1, First: now, Last: now,
		Checks: []check{{Name: "trial", Evidence: "somebody asked for it: decoder notify test " + s.config.Name, Benign: "It always is: nothing has happened."}},
	}}, map[string]string{"trial " + now.Format(time.RFC3339Nano): ""})
	m.Group, m.Events, m.Link = "", []string{}, s.words.link("")
	return s.to.send(ctx, m)
}
