package reputation

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
)

// Resolver is the part of net.Resolver that lists are asked through.
type Resolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// DNSBLConfig is a list asked over the DNS (RFC 5782). Zone may hold {key}.
type DNSBLConfig struct {
	Name string
	Zone string // "zen.example.org", asked for IP or Domain
	Kind Kind
	Key  config.Secret
	// Codes says what answers mean; an answer that is not here counts as
	// listed, unless the map is empty: then all of 127.0.0.2 to 127.0.1.254 do.
	Codes map[string]string
}

type dnsbl struct {
	c DNSBLConfig
	r Resolver
}

// DNSBL returns the provider; a nil resolver is the system's.
func DNSBL(c DNSBLConfig, r Resolver) (Provider, error) {
	if c.Name == "" || c.Zone == "" || c.Kind != IP && c.Kind != Domain {
		return nil, errors.New("a list needs a name, a zone, and the kind ip or domain")
	}
	if r == nil {
		r = net.DefaultResolver
	}
	return &dnsbl{c, r}, nil
}

// SpamhausDQS returns Spamhaus' lists by their Data Query Service: addresses
// (ZEN) and domains (DBL).
func SpamhausDQS(key config.Secret, r Resolver) []Provider {
	if r == nil {
		r = net.DefaultResolver
	}
	return []Provider{
		&dnsbl{DNSBLConfig{Name: "spamhaus-zen", Zone: "{key}.zen.dq.spamhaus.net", Kind: IP, Key: key, Codes: map[string]string{
			"127.0.0.2": "SBL", "127.0.0.3": "SBL CSS", "127.0.0.4": "XBL", "127.0.0.9": "DROP",
			// The policy list says where mail should not come from, not that
			// anything bad has.
			"127.0.0.10": "", "127.0.0.11": "",
		}}, r},
		&dnsbl{DNSBLConfig{Name: "spamhaus-dbl", Zone: "{key}.dbl.dq.spamhaus.net", Kind: Domain, Key: key, Codes: map[string]string{
			"127.0.1.2": "spam", "127.0.1.4": "phishing", "127.0.1.5": "malware", "127.0.1.6": "botnet",
			"127.0.1.102": "abused spam", "127.0.1.103": "abused redirector", "127.0.1.104": "abused phishing",
			"127.0.1.105": "abused malware", "127.0.1.106": "abused botnet",
		}}, r},
	}
}

func (d *dnsbl) Name() string  { return d.c.Name }
func (d *dnsbl) Kinds() []Kind { return []Kind{d.c.Kind} }

func (d *dnsbl) Ask(ctx context.Context, k Kind, value string) (Result, error) {
	name := value
	if k == IP {
		a, err := netip.ParseAddr(value)
		if err != nil {
			return Result{}, fault.NewPermanent(CodeService, errors.New("not an address"))
		}
		name = reversed(a)
	}
	zone := strings.ReplaceAll(d.c.Zone, "{key}", d.c.Key.Reveal())
	answers, err := d.r.LookupHost(ctx, name+"."+strings.TrimSuffix(zone, ".")+".")
	if err != nil {
		if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
			return Result{Verdict: Unknown}, nil
		}
		// The resolver's error names the name, and the name the key.
		return Result{}, fault.NewRetry(CodeService, errors.New("the DNS did not answer"))
	}
	return d.read(answers)
}

// read tells listings from errors: 127.255.255.x says that the question was
// refused, and anything outside 127/8 comes from a resolver that lies.
func (d *dnsbl) read(answers []string) (Result, error) {
	var listed []string
	for _, s := range answers {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil:
		case strings.HasPrefix(s, "127.255.255."):
			return Result{}, fault.NewPermanent(CodeRefused, errors.New("the list refuses to answer this resolver"))
		case s == "127.0.1.255" || !a.IsLoopback() || s == "127.0.0.1":
			return Result{}, fault.NewRetry(CodeService, errors.New("the answer is no answer of a list"))
		default:
			if what, ok := d.c.Codes[s]; ok {
				if what != "" {
					listed = append(listed, what)
				}
			} else {
				listed = append(listed, s)
			}
		}
	}
	if len(listed) == 0 {
		return Result{Verdict: Unknown}, nil
	}
	return Result{Verdict: Bad, Detail: "listed: " + strings.Join(listed, ", ")}, nil
}

// reversed writes an address as RFC 5782 asks for it.
func reversed(a netip.Addr) string {
	a = a.Unmap()
	var b strings.Builder
	if a.Is4() {
		v := a.As4()
		for i := 3; i >= 0; i-- {
			b.WriteString(itoa(v[i]))
			if i > 0 {
				b.WriteByte('.')
			}
		}
		return b.String()
	}
	v := a.As16()
	const hex = "0123456789abcdef"
	for i := 15; i >= 0; i-- {
		b.WriteByte(hex[v[i]&15])
		b.WriteByte('.')
		b.WriteByte(hex[v[i]>>4])
		if i > 0 {
			b.WriteByte('.')
		}
	}
	return b.String()
}

func itoa(v byte) string {
	if v >= 100 {
		return string([]byte{'0' + v/100, '0' + v/10%10, '0' + v%10})
	}
	if v >= 10 {
		return string([]byte{'0' + v/10, '0' + v%10})
	}
	return string([]byte{'0' + v})
}
