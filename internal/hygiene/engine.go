package hygiene

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// Services answers what others know. Ask returns within the context; what it
// could not learn is an Answer with Result "error". What have holds a sound
// answer for is not asked again, and stands in the result.
type Services interface {
	Ask(ctx context.Context, doc *mail.Document, have []Answer) []Answer
}

// History knows who wrote before. It answers for the time of the message, and
// takes the message in.
type History interface {
	See(doc *mail.Document) Past
}

// Past is what was known before a message.
type Past struct {
	SenderKnown       bool
	DomainKnown       bool
	ConversationKnown bool // it answers a message sent from here
	Young             bool // the history is too short to call anyone new
}

// Config is what the user says. The zero value works: only what needs to know
// one's own domains or border is then left out.
type Config struct {
	Own      []string      // own domains
	Disabled []string      // names of checks left out
	Deadline time.Duration // for all services together; 5 s
}

// Engine judges messages. It may be used concurrently.
type Engine struct {
	config   Config
	lists    *Lists
	own      domains
	checks   []check
	asked    map[string]check
	services Services
	history  History
}

// New returns an engine; services and history may be nil.
func New(c Config, l *Lists, s Services, h History) *Engine {
	if c.Deadline <= 0 {
		c.Deadline = 5 * time.Second
	}
	e := &Engine{config: c, lists: l, own: domains{}, services: s, history: h, asked: map[string]check{}}
	for _, d := range c.Own {
		e.own[mail.Domain(d)] = true
	}
	for _, k := range table() {
		if !slices.Contains(c.Disabled, k.name) {
			e.checks = append(e.checks, k)
		}
	}
	for _, k := range askedChecks() {
		if !slices.Contains(c.Disabled, k.name) {
			e.asked[k.name] = k
		}
	}
	return e
}

// Check judges a document.
func (e *Engine) Check(ctx context.Context, doc *mail.Document) Verdict {
	v := e.local(doc)
	if e.history != nil {
		e.past(&v, e.history.See(doc))
	}
	v.Answers = e.ask(ctx, doc, nil)
	e.answers(&v)
	e.sum(&v)
	return v
}

// Repeat judges a document again as of when it was judged before: services are
// not asked, what they said then counts, and what was known of the sender then
// too. With the same lists, scores and checks the same verdict results.
func (e *Engine) Repeat(doc *mail.Document, before Verdict) Verdict {
	v := e.local(doc)
	v.Revision, v.Answers = before.Revision, before.Answers
	e.remembered(&v, before)
	e.answers(&v)
	e.sum(&v)
	return v
}

// remembered takes over what the past said at an earlier verdict, with the
// points it has now.
func (e *Engine) remembered(v *Verdict, before Verdict) {
	for _, c := range before.Checks {
		switch c.Name {
		case "domain_new", "sender_new", "conversation_known":
			if k, on := e.asked[c.Name]; on {
				v.add(e.finding(k, c.Evidence))
			}
		}
	}
}

// Recheck judges a document again whose verdict was incomplete: only what did
// not answer is asked. What the past said then still stands.
func (e *Engine) Recheck(ctx context.Context, doc *mail.Document, before Verdict) Verdict {
	v := e.local(doc)
	e.remembered(&v, before)
	v.Answers = e.ask(ctx, doc, before.Answers)
	v.Revision = before.Revision + 1
	e.answers(&v)
	e.sum(&v)
	return v
}

func (e *Engine) local(doc *mail.Document) Verdict {
	v := Verdict{Version: Version}
	f := newFacts(doc, e.lists, e.own)
	for _, k := range e.checks {
		if evidence := k.find(f); evidence != "" {
			v.add(e.finding(k, evidence))
		}
	}
	return v
}

func (e *Engine) ask(ctx context.Context, doc *mail.Document, have []Answer) []Answer {
	if e.services == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, e.config.Deadline)
	defer cancel()
	return e.services.Ask(ctx, doc, have)
}

func (v *Verdict) add(f Finding) { v.Checks = append(v.Checks, f) }

func (e *Engine) finding(k check, evidence string) Finding {
	return Finding{Name: k.name, Points: e.lists.scores[k.name], Evidence: mail.Truncate(evidence, 300), Version: Version, Benign: k.benign}
}

func (e *Engine) past(v *Verdict, p Past) {
	add := func(when bool, name, evidence string) {
		if k, on := e.asked[name]; on && when {
			v.add(e.finding(k, evidence))
		}
	}
	add(p.ConversationKnown, "conversation_known", "it answers a message sent from here")
	add(!p.Young && !p.DomainKnown, "domain_new", "nobody of this domain has written before")
	add(!p.Young && p.DomainKnown && !p.SenderKnown, "sender_new", "this address has not written before")
}

// answers turns what services said into findings: of one value the worst
// answer counts, since services copy from each other.
func (e *Engine) answers(v *Verdict) {
	best := map[string]Answer{}
	for _, a := range v.Answers {
		switch a.Result {
		case "bad":
			if have, ok := best[a.Kind+" "+a.Value]; !ok || a.Score > have.Score {
				best[a.Kind+" "+a.Value] = a
			}
		case "error":
			v.Incomplete = true
			if !slices.Contains(v.Missing, a.Service) {
				v.Missing = append(v.Missing, a.Service)
			}
		}
	}
	bad := make([]Answer, 0, len(best))
	for _, a := range best {
		bad = append(bad, a)
	}
	slices.SortFunc(bad, func(a, b Answer) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Value, b.Value))
	})
	for _, a := range bad {
		name := "reputation_" + a.Kind
		if a.Kind == "sha256" {
			name = "reputation_hash"
		}
		if a.Service == IndicatorService {
			name = "indicator"
		}
		k, on := e.asked[name]
		if !on {
			continue
		}
		fd := e.finding(k, a.Value+": "+a.Service+" "+a.Detail)
		if a.Score > 0 && a.Score < 100 {
			fd.Points = int(float64(fd.Points)*a.Score/100 + 0.5)
		}
		v.add(fd)
	}
	slices.Sort(v.Missing)
}

// IndicatorService is the name under which the local indicator feeds answer.
const IndicatorService = "feeds"

// sum adds the points of findings of one name once, the worst.
func (e *Engine) sum(v *Verdict) {
	worst := map[string]int{}
	for _, c := range v.Checks {
		if have, ok := worst[c.Name]; !ok || c.Points > have {
			worst[c.Name] = c.Points
		}
	}
	for _, p := range worst {
		v.Score += p
	}
	v.Score = min(100, max(0, v.Score))
	switch {
	case v.Score >= e.lists.scores["threshold_bad"]:
		v.Result = Bad
	case v.Score >= e.lists.scores["threshold_suspicious"]:
		v.Result = Suspicious
	case v.Incomplete:
		v.Result = Unknown
	default:
		v.Result = Clean
	}
	slices.SortStableFunc(v.Checks, func(a, b Finding) int { return cmp.Compare(b.Points, a.Points) })
}

// Explained is a check as the table of a report or the documentation needs it.
type Explained struct {
	Name, Reason, Benign string
	Points               int
}

// Checks lists every check with its reason and points.
func (e *Engine) Checks() []Explained {
	var out []Explained
	for _, k := range slices.Concat(table(), askedChecks()) {
		out = append(out, Explained{k.name, k.reason, k.benign, e.lists.scores[k.name]})
	}
	return out
}
