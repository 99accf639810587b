// Package auth computes what a message's authentication is worth over the
// DNS: SPF (RFC 7208), DKIM (RFC 6376) and DMARC (RFC 7489, with the
// organisational domain by the Public Suffix List). It is for messages whose
// border host has not written its results. It does not judge.
package auth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"blitiri.com.ar/go/spf"
	"github.com/emersion/go-msgauth/dkim"
	"github.com/emersion/go-msgauth/dmarc"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// Results (RFC 8601).
const (
	pass      = "pass"
	fail      = "fail"
	none      = "none"
	permerror = "permerror"
	temperror = "temperror"
)

// maxSignatures bounds the signatures verified of one message.
const maxSignatures = 5

// Resolver is the part of net.Resolver that is used.
type Resolver interface {
	LookupTXT(ctx context.Context, name string) ([]string, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
	LookupAddr(ctx context.Context, addr string) ([]string, error)
}

// NewResolver returns a resolver that asks one server, host:port.
func NewResolver(server string) Resolver {
	d := net.Dialer{Timeout: 2 * time.Second}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, server)
	}}
}

// Checker computes. It may be used concurrently.
type Checker struct {
	resolver Resolver
	timeout  time.Duration
}

// New returns a checker; a nil resolver is the system's, no timeout is 5 s.
func New(r Resolver, timeout time.Duration) *Checker {
	if r == nil {
		r = net.DefaultResolver
	}
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	return &Checker{r, timeout}
}

// Check returns the results for a message. What the DNS did not answer in
// time is a temperror.
func (c *Checker) Check(ctx context.Context, raw []byte, doc *mail.Document) mail.Auth {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	a := mail.Auth{Trusted: true, Computed: true, Time: time.Now().UTC()}
	spfDomain := ""
	a.SPF, spfDomain = c.spf(ctx, doc)
	a.DKIM = c.dkim(ctx, raw)
	a.DMARC = c.dmarc(ctx, doc.Mail.From.Domain, a, spfDomain)
	return a
}

// spf needs the client's address; a guessed one would fail good mail.
func (c *Checker) spf(ctx context.Context, doc *mail.Document) (result, domain string) {
	cl := doc.Mail.Client
	if cl == nil || cl.Method == "first_public" {
		return "", ""
	}
	helo := cl.Name
	if doc.Mail.Envelope.HELO != "" {
		helo = doc.Mail.Envelope.HELO
	}
	sender := doc.Mail.Envelope.From
	if sender == "" {
		sender = "postmaster@" + helo
	}
	_, domain, ok := strings.Cut(sender, "@")
	if !ok || domain == "" {
		return none, ""
	}
	r, err := spf.CheckHostWithSender(cl.IP.AsSlice(), helo, sender, spf.WithContext(ctx), spf.WithResolver(c.resolver))
	if err != nil && ctx.Err() != nil {
		return temperror, domain
	}
	return string(r), mail.Domain(domain)
}

func (c *Checker) dkim(ctx context.Context, raw []byte) (out []mail.DKIMResult) {
	defer func() {
		if recover() != nil { // the library meets what no signer writes
			out = append(out, mail.DKIMResult{Result: permerror})
		}
	}()
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(crlf(raw)), &dkim.VerifyOptions{
		MaxVerifications: maxSignatures,
		LookupTXT:        func(name string) ([]string, error) { return c.txt(ctx, name) },
	})
	if err != nil && !errors.Is(err, dkim.ErrTooManySignatures) {
		return nil
	}
	for _, v := range verified {
		r := mail.DKIMResult{Result: pass, Domain: mail.Domain(v.Domain)}
		switch {
		case v.Err == nil:
		case dkim.IsTempFail(v.Err):
			r.Result = temperror
		case dkim.IsPermFail(v.Err):
			r.Result = permerror
		default:
			r.Result = fail
		}
		out = append(out, r)
	}
	return out
}

// txt asks, and reports a time-out as temporary, as the libraries expect it.
func (c *Checker) txt(ctx context.Context, name string) ([]string, error) {
	t, err := c.resolver.LookupTXT(ctx, name)
	if err != nil && ctx.Err() != nil {
		return nil, &net.DNSError{Err: "no answer in time", Name: name, IsTimeout: true, IsTemporary: true}
	}
	return t, err
}

// crlf gives every line the end that signatures are made over.
func crlf(raw []byte) []byte {
	if bytes.Count(raw, []byte("\n")) == bytes.Count(raw, []byte("\r\n")) {
		return raw
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}

// dmarc looks for the policy of the From domain, then of its organisational
// domain, and whether one of the results speaks for the From domain.
func (c *Checker) dmarc(ctx context.Context, from string, a mail.Auth, spfDomain string) string {
	if from == "" {
		return permerror
	}
	policy, err := c.policy(ctx, from)
	if err != nil {
		return temperror
	}
	if policy == nil {
		return none
	}
	uncertain := a.SPF == temperror
	if a.SPF == pass && aligned(from, spfDomain, policy.SPFAlignment) {
		return pass
	}
	for _, d := range a.DKIM {
		if d.Result == pass && aligned(from, d.Domain, policy.DKIMAlignment) {
			return pass
		}
		uncertain = uncertain || d.Result == temperror
	}
	switch {
	case uncertain:
		return temperror
	case a.SPF == "":
		// Without the client's address SPF might have passed: only a signature
		// could tell, and there is none that does.
		return ""
	}
	return fail
}

func (c *Checker) policy(ctx context.Context, from string) (*dmarc.Record, error) {
	names := []string{from}
	if org := mail.RegisteredDomain(from); org != "" && org != from {
		names = append(names, org)
	}
	for _, n := range names {
		r, err := dmarc.LookupWithOptions(n, &dmarc.LookupOptions{LookupTXT: func(name string) ([]string, error) { return c.txt(ctx, name) }})
		switch {
		case err == nil:
			return r, nil
		case dmarc.IsTempFail(err), ctx.Err() != nil:
			return nil, fmt.Errorf("looking up the policy of %s: %w", n, err)
		}
	}
	return nil, nil
}

func aligned(from, domain string, mode dmarc.AlignmentMode) bool {
	if domain == "" {
		return false
	}
	if mode == dmarc.AlignmentStrict {
		return from == domain
	}
	org := mail.RegisteredDomain(from)
	return from == domain || org != "" && org == mail.RegisteredDomain(domain)
}
