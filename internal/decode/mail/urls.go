package mail

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
)

const (
	maxURL     = 2048 // bytes of a link kept
	maxURLText = 256  // bytes of its text kept
	maxHosts   = 1000 // remembered
)

// Sources of a link, as they stand in mail.urls.source.
const (
	URLHref       = "href"
	URLForm       = "form"
	URLImage      = "img"
	URLFrame      = "frame"
	URLText       = "text"
	URLRefresh    = "refresh"
	URLAttachment = "attachment"
)

// newURL reads a link the way browsers do: white space and control characters
// inside are dropped, backslashes are slashes. ok is false for what leads
// nowhere outside: mail addresses, telephone numbers, fragments, relative
// links.
func newURL(raw, text, source string, hosts hosts) (URL, bool) {
	s := cleanURL(raw)
	scheme, rest, ok := strings.Cut(s, ":")
	if !ok {
		return URL{}, false
	}
	scheme = strings.ToLower(scheme)
	switch scheme {
	case "http", "https", "ftp":
	case "data", "javascript", "file":
		return URL{URL: Truncate(s, 128), Text: Truncate(text, maxURLText), Source: source}, true
	default:
		return URL{}, false
	}
	host := hosts.of(authority(rest))
	if host.domain == "" {
		return URL{}, false
	}
	return URL{
		URL: Truncate(s, maxURL), Domain: host.domain, RegisteredDomain: host.registered,
		Text: Truncate(text, maxURLText), Source: source,
	}, true
}

// hosts remembers what authorities are: the links of one message lead to few.
type hosts map[string]host

type host struct{ domain, registered string }

func (h hosts) of(authority string) host {
	found, known := h[authority]
	if !known {
		found.domain = hostOf(authority)
		found.registered = RegisteredDomain(found.domain)
		if len(h) < maxHosts { // links that lead nowhere are not counted elsewhere
			h[authority] = found
		}
	}
	return found
}

func cleanURL(s string) string {
	s = strings.TrimSpace(s)
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, s)
}

// authority returns what stands between a scheme's colon and the path.
func authority(s string) string {
	for len(s) > 0 && (s[0] == '/' || s[0] == '\\') {
		s = s[1:]
	}
	for i := range len(s) {
		switch s[i] {
		case '/', '\\', '?', '#':
			return s[:i]
		}
	}
	return s
}

// hostOf returns the host of an authority.
func hostOf(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	if strings.HasPrefix(s, "[") {
		if i := strings.IndexByte(s, ']'); i > 0 {
			if a, err := netip.ParseAddr(s[1:i]); err == nil {
				return a.String()
			}
		}
		return ""
	}
	if i := strings.IndexByte(s, ':'); i >= 0 {
		s = s[:i]
	}
	if strings.IndexByte(s, '%') >= 0 {
		s = unescape(s)
	}
	if len(s) > 253*4 {
		return ""
	}
	d := Domain(strings.ToValidUTF8(s, ""))
	if a, ok := numericHost(d); ok {
		return a.String()
	}
	if !validHostname(d) {
		return ""
	}
	return d
}

func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0 {
			b.WriteByte(byte(hexValue(s[i+1])<<4 | hexValue(s[i+2])))
			i += 2
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// numericHost reads an IPv4 address in any form a browser takes: parts in
// decimal, octal or hexadecimal, the last filling the rest.
func numericHost(s string) (netip.Addr, bool) {
	if s == "" || s[0] < '0' || s[0] > '9' {
		return netip.Addr{}, false
	}
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var v uint64
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 0, 64)
		if err != nil {
			return netip.Addr{}, false
		}
		if i == len(parts)-1 {
			rest := uint(8 * (5 - len(parts)))
			if n >= 1<<rest {
				return netip.Addr{}, false
			}
			v = v<<rest | n
			break
		}
		if n > 255 {
			return netip.Addr{}, false
		}
		v = v<<8 | n
	}
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}), true
}

// textURLs calls f with each link in running text.
func textURLs(b []byte, f func(string) bool) {
	for len(b) > 0 {
		i := nextURL(b)
		if i < 0 {
			return
		}
		b = b[i:]
		end := bytes.IndexFunc(b, func(r rune) bool {
			return r <= ' ' || r == '<' || r == '>' || r == '"' || r == '\u00a0' || r == '|'
		})
		if end < 0 {
			end = len(b)
		}
		u := strings.TrimRight(string(b[:end]), ".,;:!?)]}'*_")
		if len(u) > 3 && (u[0] == 'w' || u[0] == 'W') {
			u = "http://" + u
		}
		if !f(u) {
			return
		}
		b = b[end:]
	}
}

// nextURL finds "http://", "https://" or a word that begins with "www.".
func nextURL(b []byte) int {
	for i, c := range b {
		switch {
		case c == ':' && bytes.HasPrefix(b[i:], []byte("://")):
			if i >= 5 && foldEqual(b[i-5:i], "https") {
				return i - 5
			}
			if i >= 4 && foldEqual(b[i-4:i], "http") {
				return i - 4
			}
		case c|0x20 == 'w' && len(b) > i+4 && b[i+3] == '.' && foldEqual(b[i:i+3], "www") && (i == 0 || b[i-1] <= ' ' || b[i-1] == '('):
			return i
		}
	}
	return -1
}

// Truncate cuts s to at most n bytes at a character's start.
func Truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
