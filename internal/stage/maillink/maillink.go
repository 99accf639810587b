// Package maillink is the stage that joins mail with the network: when the
// host of a link, or the hash of an attachment, of a message that raised an
// alert is seen later in DNS, TLS, HTTP or file events, it raises an alert
// that names both: somebody has followed the link. It owns the watch list and
// the match; it judges neither the message nor the event.
//
// The watch list is a view: each process reads email_alert of the last days
// by itself, without a group, and follows it. Whether an event matches is
// decided by the event's and the message's times.
package maillink

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
)

// kindAlert is the kind of output: detect makes alerts of the same events.
const kindAlert = "alert-maillink"

// Config bounds the watch. Zero fields take the defaults.
type Config struct {
	Window time.Duration // between a message and what follows; 7 days
	Most   int           // hosts and hashes watched; 200,000
	// Ignore says which hosts are too common to mean anything; by default
	// none.
	Ignore func(host string) bool
}

// Log is the part of the bus that the watch list reads.
type Log interface {
	After(ctx context.Context, topic string, from time.Time) (map[int32]bus.Span, error)
	Scan(ctx context.Context, topic string, spans map[int32]bus.Span, take func(*bus.Record) bool) error
	Tail(ctx context.Context, topic string, n int64, follow bool, take func(*bus.Record) bool) error
}

// Stage implements client.Stage; Run keeps its watch list.
type Stage struct {
	config Config
	log    Log
	scope  obs.Scope
	ready  chan struct{}
	now    func() time.Time

	watching atomic.Bool // whether there is anything to watch for
	glances  sync.Pool

	mu      sync.Mutex
	watched map[string][]*message // by prefixHost or prefixHash and what is watched
	order   []string              // oldest first
	known   map[string]*message   // by identity
	raised  map[string]time.Time  // group → time of the last alert
}

// Keys of what is watched begin with what it is.
const (
	prefixHost = "host "
	prefixHash = "hash "
)

// message is what an alert says of a message.
type message struct {
	identity string
	alertID  string
	from     string
	subject  string
	at       time.Time
	score    int
	off      bool // a later revision took the alarm back
}

// New returns the stage.
func New(c Config, log Log, scope obs.Scope) *Stage {
	if c.Window <= 0 {
		c.Window = 7 * 24 * time.Hour
	}
	if c.Most <= 0 {
		c.Most = 200_000
	}
	return &Stage{
		config: c, log: log, scope: scope, ready: make(chan struct{}), now: time.Now,
		watched: map[string][]*message{}, known: map[string]*message{}, raised: map[string]time.Time{},
		glances: sync.Pool{New: func() any { return newGlance() }},
	}
}

// Run reads the alerts of the window, then follows them until ctx ends.
func (s *Stage) Run(ctx context.Context) error {
	ready := false
	for {
		err := s.read(ctx, func() {
			if !ready {
				ready = true
				close(s.ready)
			}
			s.scope.Set("maillink", obs.OK, "watching")
		})
		if ctx.Err() != nil {
			return nil
		}
		s.scope.Set("maillink", obs.Degraded, fmt.Sprint(err))
		s.scope.Logger().Warn("alerts on mail not readable, will retry", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
		}
	}
}

func (s *Stage) read(ctx context.Context, caughtUp func()) error {
	spans, err := s.log.After(ctx, bus.TopicEmailAlert, s.now().Add(-s.config.Window))
	if err != nil {
		return err
	}
	take := func(r *bus.Record) bool {
		s.watch(r.Value)
		return true
	}
	if err := s.log.Scan(ctx, bus.TopicEmailAlert, spans, take); err != nil {
		return err
	}
	caughtUp()
	// The last records again, so that none falls between the two readings.
	return s.log.Tail(ctx, bus.TopicEmailAlert, 1000, true, take)
}

// mailAlert is what is read of an alert on email_alert.
type mailAlert struct {
	Time  time.Time `json:"@timestamp"`
	Event struct {
		ID string `json:"id"`
	} `json:"event"`
	Email mail.Email `json:"email"`
	Mail  struct {
		Identity string          `json:"identity"`
		From     mail.From       `json:"from"`
		URLs     []mail.URL      `json:"urls"`
		Verdict  hygiene.Verdict `json:"verdict"`
	} `json:"mail"`
}

// watch takes a message's links and attachments in, or takes its alarm back.
func (s *Stage) watch(value []byte) {
	var a mailAlert
	if json.Unmarshal(value, &a) != nil || a.Mail.Identity == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.known[a.Mail.Identity]; ok {
		m.off = !a.Mail.Verdict.Alarming()
		m.score = a.Mail.Verdict.Score
		return
	}
	m := &message{
		identity: a.Mail.Identity, alertID: a.Event.ID, from: a.Mail.From.Address, subject: a.Email.Subject,
		at: a.Time, score: a.Mail.Verdict.Score, off: !a.Mail.Verdict.Alarming(),
	}
	s.known[m.identity] = m
	for _, u := range a.Mail.URLs {
		if u.Domain != "" && u.Source != mail.URLImage && (s.config.Ignore == nil || !s.config.Ignore(u.Domain)) {
			s.add(prefixHost+u.Domain, m)
		}
	}
	for _, f := range a.Email.Attachments {
		if f.File.Size > 0 {
			s.add(prefixHash+f.File.Hash.SHA256, m)
			s.add(prefixHash+f.File.Hash.SHA1, m)
			s.add(prefixHash+f.File.Hash.MD5, m)
		}
	}
	if len(a.Mail.URLs)+len(a.Email.Attachments) == 0 {
		delete(s.known, m.identity) // nothing of it can be followed
	}
}

func (s *Stage) add(key string, m *message) {
	if _, ok := s.watched[key]; !ok {
		for len(s.order) >= s.config.Most {
			for _, old := range s.watched[s.order[0]] {
				delete(s.known, old.identity)
			}
			delete(s.watched, s.order[0])
			s.order = s.order[1:]
		}
		s.order = append(s.order, key)
		s.watching.Store(true)
	}
	if list := s.watched[key]; len(list) < 20 && !slices.Contains(list, m) {
		s.watched[key] = append(list, m)
	}
}

// networkEvent is what is read of an event.
type networkEvent struct {
	Time  time.Time `json:"@timestamp"`
	Event struct {
		ID      string `json:"id"`
		Dataset string `json:"dataset"`
		Module  string `json:"module"`
	} `json:"event"`
	DNS struct {
		Question struct {
			Name string `json:"name"`
		} `json:"question"`
	} `json:"dns"`
	TLS struct {
		Client struct {
			ServerName string `json:"server_name"`
		} `json:"client"`
	} `json:"tls"`
	URL struct {
		Domain string `json:"domain"`
	} `json:"url"`
	Destination json.RawMessage `json:"destination"`
	Source      struct {
		IP netip.Addr `json:"ip"`
	} `json:"source"`
	Host json.RawMessage `json:"host"`
	File struct {
		Hash map[string]string `json:"hash"`
	} `json:"file"`
}

// Handle implements client.Stage.
func (s *Stage) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	select {
	case <-s.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	if !s.watching.Load() || !s.concerned(in.Value) {
		return nil
	}
	var e networkEvent
	// An event that is none of the fields' types concerns nobody here.
	if json.Unmarshal(in.Value, &e) != nil || e.Event.Module == "mail" {
		return nil
	}
	for _, key := range e.keys() {
		m := s.match(key, e.Time)
		if m == nil {
			continue
		}
		return s.raise(in, e, key, m, out)
	}
	return nil
}

// concerned reports whether the event has anything that is watched.
func (s *Stage) concerned(value []byte) bool {
	g := s.glances.Get().(*glance)
	defer s.glances.Put(g)
	return g.concerns(value, func(key []byte) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.watched[string(key)]) > 0
	})
}

// keys are what an event may be watched for.
func (e *networkEvent) keys() []string {
	var keys []string
	for _, h := range [...]string{e.DNS.Question.Name, e.TLS.Client.ServerName, e.URL.Domain} {
		if h != "" {
			keys = append(keys, prefixHost+strings.ToLower(strings.TrimSuffix(h, ".")))
		}
	}
	for _, h := range [...]string{"sha256", "sha1", "md5"} {
		if v := e.File.Hash[h]; v != "" {
			keys = append(keys, prefixHash+strings.ToLower(v))
		}
	}
	return keys
}

// match returns the latest message before the event that is watched for it.
func (s *Stage) match(key string, at time.Time) *message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var best *message
	for _, m := range s.watched[key] {
		if !m.off && !at.Before(m.at) && at.Sub(m.at) <= s.config.Window && (best == nil || m.at.After(best.at)) {
			best = m
		}
	}
	return best
}

// alert is the document.
type alert struct {
	Time  time.Time `json:"@timestamp"`
	ECS   mail.ECS  `json:"ecs"`
	Event struct {
		ID       string   `json:"id"`
		Kind     string   `json:"kind"`
		Category []string `json:"category"`
		Type     []string `json:"type"`
		Module   string   `json:"module"`
		Dataset  string   `json:"dataset"`
		Risk     int      `json:"risk_score"`
		Severity int      `json:"severity"`
	} `json:"event"`
	Message     string          `json:"message"`
	Source      json.RawMessage `json:"source,omitempty"`
	Destination json.RawMessage `json:"destination,omitempty"`
	Host        json.RawMessage `json:"host,omitempty"`
	Email       mail.Email      `json:"email"`
	Mail        struct {
		Identity string `json:"identity"`
	} `json:"mail"`
	Related mail.Related `json:"related"`
	Rule    struct {
		Name    string `json:"name"`
		Ruleset string `json:"ruleset"`
	} `json:"rule"`
	Decoder struct {
		Alert struct {
			Group    string            `json:"group"`
			Kind     string            `json:"kind"`
			Severity string            `json:"severity"`
			Score    int               `json:"score"`
			Title    string            `json:"title"`
			Revision int               `json:"revision"`
			Events   []string          `json:"events"`
			Checks   []hygiene.Finding `json:"checks"`
		} `json:"alert"`
	} `json:"decoder"`
}

// raise emits the alert. In one group, one an hour of event time is enough:
// a visit is many events.
func (s *Stage) raise(in *client.Record, e networkEvent, key string, m *message, out *client.Output) error {
	who := "an unknown host"
	if e.Source.IP.IsValid() {
		who = e.Source.IP.String()
	}
	group := "maillink:" + m.identity[:min(32, len(m.identity))] + ":" + who
	if s.lately(group, e.Time) {
		return nil
	}
	what, value, _ := strings.Cut(key, " ")
	did := "opened a link host"
	if what == "hash" {
		did = "carried the attachment"
	}
	score := max(m.score, 60)
	var a alert
	a.Time, a.ECS = e.Time, mail.ECS{Version: "8.17.0"}
	// One record may give several events: the event's own id tells them apart.
	origin := bus.Value(in.Record, event.HeaderID)
	if origin == "" {
		origin = in.Origin
	}
	a.Event.ID = event.ID(origin, kindAlert, 0)
	a.Event.Kind, a.Event.Category, a.Event.Type = "alert", []string{"email", "network"}, []string{"indicator"}
	a.Event.Module, a.Event.Dataset, a.Event.Risk = "decoder", "decoder.alert", score
	a.Message = fmt.Sprintf("%s %s (%s) of suspicious mail from %s", who, did, value, m.from)
	var doc struct {
		Source      json.RawMessage `json:"source"`
		Destination json.RawMessage `json:"destination"`
		Host        json.RawMessage `json:"host"`
	}
	if err := json.Unmarshal(in.Value, &doc); err != nil {
		return fault.NewPermanent("bad_event", fmt.Errorf("reading event: %w", err))
	}
	a.Source, a.Destination, a.Host = doc.Source, doc.Destination, doc.Host
	a.Email.From.Address, a.Email.Subject = []string{m.from}, m.subject
	a.Mail.Identity = m.identity
	if e.Source.IP.IsValid() {
		a.Related.IP = []string{who}
	}
	if what == "host" {
		a.Related.Hosts = []string{value}
	} else {
		a.Related.Hash = []string{value}
	}
	a.Related.User = []string{m.from}
	a.Rule.Name, a.Rule.Ruleset = "mail_followed", "decoder-maillink"
	al := &a.Decoder.Alert
	al.Group, al.Kind, al.Score, al.Title = group, "mail", score, a.Message
	al.Severity, a.Event.Severity = "high", 3
	if score >= 90 {
		al.Severity, a.Event.Severity = "critical", 4
	}
	al.Events = []string{m.alertID, e.Event.ID}
	al.Checks = []hygiene.Finding{{
		Name: "mail_followed", Points: score, Version: 1,
		Evidence: fmt.Sprintf("%s of the message of %s was seen in %s", value, m.at.Format(time.RFC3339), e.Event.Dataset),
		Benign:   "a scanner or a curious administrator, or the message was harmless",
	}}
	v, err := json.Marshal(a)
	if err != nil {
		return fault.NewPermanent("document", fmt.Errorf("writing alert: %w", err))
	}
	h := []bus.Header{
		{Key: event.HeaderOrigin, Value: []byte(in.Origin)},
		{Key: event.HeaderID, Value: []byte(a.Event.ID)},
		{Key: event.HeaderTime, Value: []byte(a.Time.Format(time.RFC3339Nano))},
	}
	if c := bus.Value(in.Record, event.HeaderCapture); c != "" {
		h = append(h, bus.Header{Key: event.HeaderCapture, Value: []byte(c)})
	}
	out.Emit(bus.TopicAlerts, []byte(group), v, h...)
	return nil
}

func (s *Stage) lately(group string, at time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	last, ok := s.raised[group]
	// The same event again, after a retry, gives the same alert again.
	if ok && at.After(last) && at.Sub(last) < time.Hour {
		return true
	}
	if len(s.raised) > 100_000 {
		clear(s.raised)
	}
	s.raised[group] = at
	return false
}
