package auth

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// records is a DNS of TXT records; "!" in a value stands for a server that
// fails.
type records map[string]string

func (r records) LookupTXT(_ context.Context, name string) ([]string, error) {
	for len(name) > 0 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	switch v, ok := r[name]; {
	case !ok:
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	case v == "!":
		return nil, &net.DNSError{Err: "server misbehaving", Name: name, IsTemporary: true}
	default:
		return []string{v}, nil
	}
}

func (r records) LookupMX(context.Context, string) ([]*net.MX, error)          { return nil, nil }
func (r records) LookupIPAddr(context.Context, string) ([]net.IPAddr, error)   { return nil, nil }
func (r records) LookupAddr(context.Context, string) (names []string, _ error) { return nil, nil }

func TestPoliciesFollowTheOrganisationAndItsAlignment(t *testing.T) {
	dns := records{
		"bounce.example.org":      "v=spf1 ip4:198.51.100.0/24 -all",
		"other.example":           "v=spf1 +all",
		"_dmarc.example.org":      "v=DMARC1; p=reject",
		"_dmarc.strict.example":   "v=DMARC1; p=reject; aspf=s",
		"mail.strict.example":     "v=spf1 +all",
		"_dmarc.down.example":     "!",
		"spfdown.example":         "!",
		"_dmarc.spfdown.example":  "v=DMARC1; p=reject",
		"_dmarc.broken.example":   "v=DMARC1; p=whatever",
		"_dmarc.unsigned.example": "v=DMARC1; p=none",
	}
	for _, tt := range []struct {
		name, from, envelope, client string
		spf, dmarc                   string
	}{
		{"a subdomain by its organisation", "a@news.example.org", "b@bounce.example.org", "198.51.100.7", "pass", "pass"},
		{"another host", "a@news.example.org", "b@bounce.example.org", "203.0.113.1", "fail", "fail"},
		{"passes for somebody else", "a@example.org", "b@other.example", "203.0.113.1", "pass", "fail"},
		{"strict alignment", "a@strict.example", "b@mail.strict.example", "203.0.113.1", "pass", "fail"},
		{"no policy", "a@other.example", "b@other.example", "203.0.113.1", "pass", "none"},
		{"the policy is not to be had", "a@down.example", "b@other.example", "203.0.113.1", "pass", "temperror"},
		{"the sender's record is not to be had", "a@spfdown.example", "b@spfdown.example", "203.0.113.1", "temperror", "temperror"},
		{"a policy that is none", "a@broken.example", "b@other.example", "203.0.113.1", "pass", "none"},
		{"nobody knows the client", "a@unsigned.example", "b@unsigned.example", "", "", ""},
		{"no sender", "nobody", "b@other.example", "203.0.113.1", "pass", "permerror"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := []byte("From: " + tt.from + "\r\n\r\nhello\r\n")
			d := mail.Delivery{From: tt.envelope, HELO: "x.example"}
			if tt.client != "" {
				d.ClientIP = netip.MustParseAddr(tt.client)
			}
			a := New(dns, 0).Check(t.Context(), raw, mail.Decode(raw, d, mail.Options{}))
			if a.SPF != tt.spf || a.DMARC != tt.dmarc || !a.Computed || a.Time.IsZero() {
				t.Errorf("%+v", a)
			}
		})
	}
}

func TestBrokenSignaturesEndInAResult(t *testing.T) {
	for _, h := range []string{
		"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=x; h=from; bh=AAAA; b=AAAA\r\n",
		"DKIM-Signature: garbage\r\n", "DKIM-Signature: v=1; a=rsa-sha256; d=; s=; h=; bh=; b=\r\n",
		"DKIM-Signature: v=1; a=rsa-sha256; c=x/y/z; d=e; s=x; t=99999999999999999999; h=from; l=-1; bh=====; b=!\r\n",
	} {
		raw := []byte(h + "From: a@example.org\r\n\r\nhello\r\n")
		for _, r := range New(records{"x._domainkey.example.org": "v=DKIM1; p=AAAA"}, 0).Check(t.Context(), raw, mail.Decode(raw, mail.Delivery{}, mail.Options{})).DKIM {
			if r.Result == "pass" || r.Result == "" {
				t.Errorf("%q: %+v", h, r)
			}
		}
	}
}
