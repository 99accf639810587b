// Package intel holds indicators of compromise, a million of them in little
// memory, and answers whether an address, domain, link or hash is one. It
// reads the formats feeds come in and notices when their files change. It does
// not know what asks, nor what follows from a hit.
package intel

import (
	"net/netip"
	"strings"
	"time"
)

// Kind is what an indicator names.
type Kind uint8

// The kinds of indicators. Certificates are known by the SHA-1 of their DER
// form, as abuse.ch SSLBL lists them.
const (
	IP Kind = iota + 1
	Domain
	URL
	SHA256
	SHA1
	MD5
	Email
	CertSHA1
)

var kindNames = map[Kind]string{
	IP: "ip", Domain: "domain", URL: "url", SHA256: "sha256", SHA1: "sha1", MD5: "md5", Email: "email", CertSHA1: "cert_sha1",
}

// String returns the kind's name.
func (k Kind) String() string { return kindNames[k] }

// Indicator is one entry of a feed. Value is normalised: lower case, domains
// without a final dot, links without their fragment.
type Indicator struct {
	Kind   Kind
	Value  string
	Net    netip.Prefix // of a network; Kind is IP then, and Value its text
	Feed   string       // name of the file it came from
	Detail string       // what the feed says of it, at most 200 bytes
	Time   time.Time    // when the feed saw it; zero if it does not say
}

// Normalise returns the form a value is looked up in.
func Normalise(k Kind, v string) string {
	v = strings.TrimSpace(v)
	switch k {
	case URL:
		if i := strings.IndexByte(v, '#'); i >= 0 {
			v = v[:i]
		}
		scheme, rest, ok := strings.Cut(v, "://")
		if !ok {
			scheme, rest = "http", v
		}
		host, path, _ := strings.Cut(rest, "/")
		return strings.ToLower(scheme) + "://" + strings.ToLower(host) + "/" + path
	case Domain:
		return strings.ToLower(strings.TrimSuffix(v, "."))
	case IP:
		if a, err := netip.ParseAddr(v); err == nil {
			return a.Unmap().String()
		}
	}
	return strings.ToLower(v)
}
