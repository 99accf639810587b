package reputation

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/intel"
	"github.com/decodersring/decoder/internal/obs"
)

// Privacy says what may leave the house. Addresses of clients, domains and
// hashes do; private addresses, one's own domains and recipients never.
type Privacy struct {
	URLs   bool     // full links too
	Emails bool     // addresses of senders and reply-to too
	Own    []string // own domains
}

// Most values of each kind asked about for one message.
const (
	maxDomains = 10
	maxURLs    = 5
	maxHashes  = 10
)

// Asked is a provider and how it may be used.
type Asked struct {
	Provider Provider
	Limits   Limits
}

// Services asks all providers, and the local indicator feeds before them. It
// implements hygiene.Services and may be used concurrently.
type Services struct {
	privacy Privacy
	guarded []*guarded
	index   func() *intel.Index
}

// New returns the services. index gives the local feeds' present index; it
// may be nil.
func New(p Privacy, providers []Asked, index func() *intel.Index, scope obs.Scope) (*Services, error) {
	calls := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "decoder_reputation_answers_total", Help: "Questions to outside services, by what came of them.",
	}, []string{"service", "result"})
	scope.Register(calls)
	s := &Services{privacy: p, index: index}
	for _, a := range providers {
		g, err := guard(a.Provider, a.Limits, calls, scope)
		if err != nil {
			return nil, err
		}
		s.guarded = append(s.guarded, g)
	}
	return s, nil
}

// Status says how each provider stands, its quota included.
func (s *Services) Status() []Status {
	out := make([]Status, 0, len(s.guarded))
	for _, g := range s.guarded {
		out = append(out, g.status())
	}
	return out
}

type value struct {
	kind Kind
	v    string
}

// Ask implements hygiene.Services. Answers come in a fixed order.
func (s *Services) Ask(ctx context.Context, doc *mail.Document, have []hygiene.Answer) []hygiene.Answer {
	values := s.values(doc)
	out := s.local(doc)
	known := map[string]hygiene.Answer{}
	for _, a := range have {
		if a.Result != Failed {
			known[a.Service+" "+a.Kind+" "+a.Value] = a
		}
	}
	type question struct {
		g *guarded
		v value
	}
	var ask []question
	for _, g := range s.guarded {
		for _, v := range values {
			if !slices.Contains(g.provider.Kinds(), v.kind) {
				continue
			}
			if a, ok := known[g.provider.Name()+" "+string(v.kind)+" "+v.v]; ok {
				out = append(out, a)
				continue
			}
			ask = append(ask, question{g, v})
		}
	}
	answers := make([]hygiene.Answer, len(ask))
	var wg sync.WaitGroup
	for i, q := range ask {
		wg.Go(func() { answers[i] = q.g.answer(ctx, q.v) })
	}
	wg.Wait()
	return append(out, answers...)
}

func (g *guarded) answer(ctx context.Context, v value) hygiene.Answer {
	c, hit := g.ask(ctx, v.kind, v.v)
	a := hygiene.Answer{
		Service: g.provider.Name(), Kind: string(v.kind), Value: v.v, Result: c.result.Verdict, Score: c.result.Score,
		Detail: c.result.Detail, Time: c.at.UTC(), Cached: hit,
	}
	if c.err != nil {
		a.Result, a.Detail = Failed, fault.Of(c.err).Code
	}
	return a
}

// values are what may be asked about, without repeats.
func (s *Services) values(doc *mail.Document) []value {
	var out []value
	add := func(k Kind, v string, most int) {
		n := 0
		for _, have := range out {
			if have.kind == k {
				if n++; have.v == v {
					return
				}
			}
		}
		if v != "" && n < most {
			out = append(out, value{k, v})
		}
	}
	if c := doc.Mail.Client; c != nil && public(c.IP) {
		add(IP, c.IP.String(), 1)
	}
	domain := func(d string) {
		if d != "" && !s.own(d) && strings.IndexByte(d, '.') > 0 {
			if a, err := netip.ParseAddr(d); err != nil {
				add(Domain, d, maxDomains)
			} else if public(a) {
				add(IP, a.String(), 3)
			}
		}
	}
	domain(doc.Mail.From.RegisteredDomain)
	for _, m := range doc.Mail.ReplyTo {
		domain(m.RegisteredDomain)
	}
	for _, u := range doc.Mail.URLs {
		if a, err := netip.ParseAddr(u.Domain); u.Source == mail.URLImage || s.own(u.Domain) || err == nil && !public(a) {
			continue
		}
		domain(u.Domain)
		if s.privacy.URLs && strings.HasPrefix(u.URL, "http") && !s.names(doc, u.URL) {
			add(URL, u.URL, maxURLs)
		}
	}
	for _, a := range doc.Email.Attachments {
		if a.File.Size > 0 && !strings.HasPrefix(a.File.Detected, "image/") {
			add(SHA256, a.File.Hash.SHA256, maxHashes)
		}
	}
	if doc.Decoder != nil && doc.Decoder.Raw != nil {
		r := doc.Decoder.Raw
		add(Message, fmt.Sprintf("%s/%d/%d", r.Topic, r.Partition, r.Offset), 1)
	}
	if s.privacy.Emails {
		for _, a := range append([]string{doc.Mail.From.Address}, doc.Email.ReplyTo.Address...) {
			if d := a[strings.LastIndexByte(a, '@')+1:]; !s.own(d) {
				add(Email, a, 3)
			}
		}
	}
	return out
}

// names reports whether a link carries a recipient's address: it stays here.
func (s *Services) names(doc *mail.Document, u string) bool {
	u = strings.ToLower(u)
	for _, list := range [][]string{doc.Email.To.Address, doc.Email.CC.Address, doc.Mail.Envelope.To} {
		for _, to := range list {
			to = strings.ToLower(to)
			if to != "" && (strings.Contains(u, to) || strings.Contains(u, strings.Replace(to, "@", "%40", 1))) {
				return true
			}
		}
	}
	return false
}

func (s *Services) own(d string) bool {
	d = strings.ToLower(d)
	for _, o := range s.privacy.Own {
		if o = strings.ToLower(o); d == o || strings.HasSuffix(d, "."+o) {
			return true
		}
	}
	return false
}

func public(a netip.Addr) bool {
	return a.IsValid() && a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// shared is the carrier-grade NAT's space (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// local looks up everything in the local feeds, links and addresses too: they
// do not leave the house for it.
func (s *Services) local(doc *mail.Document) []hygiene.Answer {
	if s.index == nil {
		return nil
	}
	x := s.index()
	if x == nil {
		return nil
	}
	var out []hygiene.Answer
	add := func(i intel.Indicator, ok bool, k Kind, v string) {
		if ok && len(out) < 50 && !slices.ContainsFunc(out, func(a hygiene.Answer) bool { return a.Value == v && a.Kind == string(k) }) {
			out = append(out, hygiene.Answer{
				Service: hygiene.IndicatorService, Kind: string(k), Value: v, Result: Bad,
				Detail: strings.TrimSpace(i.Feed + ": " + i.Value + " " + i.Detail), Time: i.Time,
			})
		}
	}
	if c := doc.Mail.Client; c != nil {
		i, ok := x.LookupIP(c.IP)
		add(i, ok, IP, c.IP.String())
	}
	domain := func(d string) {
		if d == "" || s.own(d) {
			return
		}
		if a, err := netip.ParseAddr(d); err == nil {
			i, ok := x.LookupIP(a)
			add(i, ok, IP, d)
			return
		}
		i, ok := x.LookupDomain(d)
		add(i, ok, Domain, d)
	}
	domain(doc.Mail.From.Domain)
	for _, m := range doc.Mail.ReplyTo {
		domain(m.Domain)
		i, ok := x.Lookup(intel.Email, m.Address)
		add(i, ok, Email, m.Address)
	}
	i, ok := x.Lookup(intel.Email, doc.Mail.From.Address)
	add(i, ok, Email, doc.Mail.From.Address)
	for _, u := range doc.Mail.URLs {
		domain(u.Domain)
		i, ok := x.Lookup(intel.URL, u.URL)
		add(i, ok, URL, u.URL)
	}
	for _, a := range doc.Email.Attachments {
		h := a.File.Hash
		for _, f := range [...]struct {
			kind intel.Kind
			hash string
		}{{intel.SHA256, h.SHA256}, {intel.SHA1, h.SHA1}, {intel.MD5, h.MD5}} {
			i, ok := x.Lookup(f.kind, f.hash)
			add(i, ok, SHA256, h.SHA256)
		}
	}
	return out
}
