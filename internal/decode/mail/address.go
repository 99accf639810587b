package mail

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Reasons a From field is malformed, as they stand in mail.from.malformed.
const (
	FromMissing   = "missing"         // no From field, or an empty one
	FromRepeated  = "repeated"        // several From fields
	FromNoAddress = "no_address"      // nothing that looks like an address
	FromSyntax    = "syntax"          // not the syntax of RFC 5322
	FromSeveral   = "several"         // several mailboxes
	FromDomain    = "domain_invalid"  // a domain that cannot exist
	FromSingle    = "domain_unrooted" // a domain without a dot
)

// maxAddresses bounds the mailboxes taken of one field.
const maxAddresses = 200

// parsedList is a field of mailboxes as a tolerant reader sees it.
type parsedList struct {
	boxes  []Mailbox
	strict bool // also RFC 5322 as written
}

// parseAddresses reads a list of mailboxes the way mail readers do: quoted
// strings, comments, groups, angle addresses, and whatever else stands there
// as display name. report hears of broken encoded words.
func parseAddresses(s string, report func(string)) parsedList {
	p := addressParser{s: s, report: report}
	return p.list()
}

type addressParser struct {
	s      string
	i      int
	report func(string)
	bad    bool
}

func (p *addressParser) list() parsedList {
	var out parsedList
	for p.i < len(p.s) && len(out.boxes) < maxAddresses {
		m, ok, end := p.mailbox()
		if ok {
			out.boxes = append(out.boxes, m)
		}
		if end {
			break
		}
	}
	out.strict = !p.bad && utf8.ValidString(p.s)
	return out
}

// mailbox reads up to the next comma or semicolon outside of quotes, comments
// and brackets.
func (p *addressParser) mailbox() (m Mailbox, ok, end bool) {
	var name, angle strings.Builder
	quoted, hasAngle, closed := false, false, false
	end = true
loop:
	for p.i < len(p.s) {
		c := p.s[p.i]
		switch {
		case c == '"':
			if closed {
				p.bad = true
			}
			q := p.quoted()
			quoted = true
			name.WriteString(q)
		case c == '(':
			p.comment()
		case c == '<':
			if hasAngle {
				p.bad = true
			}
			hasAngle = true
			angle.Reset()
			angle.WriteString(p.angle())
			closed = true
		case c == ',' || c == ';':
			p.i++
			end = false
			break loop
		case c == ':' && !hasAngle && !quoted && isAtoms(name.String()):
			p.i++ // a group's name
			name.Reset()
		default:
			if closed && c != ' ' && c != '\t' {
				p.bad = true
			}
			name.WriteByte(c)
			p.i++
		}
	}
	return p.finish(name.String(), angle.String(), hasAngle, quoted, end)
}

func (p *addressParser) finish(name, angle string, hasAngle, quoted, end bool) (Mailbox, bool, bool) {
	name = strings.TrimSpace(name)
	if hasAngle {
		display := decodeWords(name, p.report)
		addr := strings.TrimSpace(angle)
		if !quoted && !isPhrase(name) {
			p.bad = true
		}
		if !validAddrSpec(addr) {
			p.bad = true
			addr = lastAddress(addr)
		}
		if addr == "" {
			addr = lastAddress(name)
		}
		m := newMailbox(display, addr)
		return m, addr != "" || display != "", end
	}
	if name == "" {
		if !end {
			p.bad = true // an empty element, as in "a@b,,c@d" or "x,"
		}
		return Mailbox{}, false, end
	}
	if validAddrSpec(name) {
		return newMailbox("", name), true, end
	}
	p.bad = true
	addr := lastAddress(name)
	display := decodeWords(name, p.report)
	if addr != "" {
		display = strings.TrimSpace(strings.Replace(display, addr, "", 1))
	}
	return newMailbox(display, addr), true, end
}

func (p *addressParser) quoted() string {
	var b strings.Builder
	p.i++
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		if c == '\\' && p.i < len(p.s) {
			b.WriteByte(p.s[p.i])
			p.i++
			continue
		}
		if c == '"' {
			return b.String()
		}
		b.WriteByte(c)
	}
	p.bad = true
	return b.String()
}

func (p *addressParser) comment() {
	depth := 0
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch c {
		case '\\':
			p.i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return
			}
		}
	}
	p.i = min(p.i, len(p.s))
	p.bad = true
}

func (p *addressParser) angle() string {
	p.i++
	j := strings.IndexByte(p.s[p.i:], '>')
	if j < 0 {
		p.bad = true
		s := p.s[p.i:]
		p.i = len(p.s)
		return s
	}
	s := p.s[p.i : p.i+j]
	p.i += j + 1
	if k := strings.LastIndexByte(s, ':'); k > 0 && s[0] == '@' {
		s = s[k+1:] // an obsolete route
	}
	return s
}

// isPhrase reports whether an unquoted display name is a phrase: atoms,
// encoded words, blanks, and the dots of the obsolete form.
func isPhrase(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ', c == '\t', c == '.', isAtomByte(c), c >= 0x80:
		default:
			return false
		}
	}
	return true
}

func isAtoms(s string) bool {
	return strings.TrimSpace(s) != "" && isPhrase(s)
}

func isAtomByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// validAddrSpec reports whether s is local-part@domain without comments.
func validAddrSpec(s string) bool {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 || i == len(s)-1 || len(s) > 320 {
		return false
	}
	local, domain := s[:i], s[i+1:]
	if !strings.HasPrefix(local, `"`) {
		for j := 0; j < len(local); j++ {
			if c := local[j]; c != '.' && !isAtomByte(c) && c < 0x80 {
				return false
			}
		}
	}
	if strings.HasPrefix(domain, "[") {
		return strings.HasSuffix(domain, "]")
	}
	for j := 0; j < len(domain); j++ {
		c := domain[j]
		if c < 0x80 && c != '.' && !isAtomByte(c) {
			return false
		}
	}
	return true
}

// lastAddress returns the last token that looks like an address, or "".
func lastAddress(s string) string {
	for end := len(s); end > 0; {
		i := strings.LastIndexByte(s[:end], '@')
		if i < 0 {
			return ""
		}
		a, b := i, i+1
		for a > 0 && (isAtomByte(s[a-1]) || s[a-1] == '.') {
			a--
		}
		for b < len(s) && (isAtomByte(s[b]) || s[b] == '.' || s[b] >= 0x80) {
			b++
		}
		if a < i && b > i+1 {
			return strings.Trim(s[a:b], ".")
		}
		end = i
	}
	return ""
}

func newMailbox(name, addr string) Mailbox {
	name = strings.TrimSpace(strings.ToValidUTF8(name, "\uFFFD"))
	addr = strings.ToValidUTF8(addr, "\uFFFD")
	m := Mailbox{Name: name, Address: addr}
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		m.Domain = Domain(addr[i+1:])
		m.Address = addr[:i+1] + strings.ToLower(addr[i+1:])
		m.RegisteredDomain = RegisteredDomain(m.Domain)
	}
	return m
}

// Domain returns a domain in lower case and ASCII form, without a final dot.
// What has no ASCII form is only lowered.
func Domain(s string) string {
	s = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "."))
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(s); err == nil {
				return a
			}
			if a, err := idna.Punycode.ToASCII(s); err == nil {
				return a
			}
			return s
		}
	}
	return s
}

// RegisteredDomain returns the domain directly below the public suffix; "" for
// an address, a public suffix or a name without one.
func RegisteredDomain(domain string) string {
	if domain == "" || strings.IndexByte(domain, '.') < 0 || isAddress(domain) {
		return ""
	}
	// The list of the public suffixes is long; names are not.
	if len(domain) > 253 {
		return ""
	}
	d, err := publicsuffix.EffectiveTLDPlusOne(domain)
	if err != nil {
		return ""
	}
	return d
}

func isAddress(s string) bool {
	if strings.HasPrefix(s, "[") || strings.IndexByte(s, ':') >= 0 {
		return true
	}
	last := s[len(s)-1]
	return '0' <= last && last <= '9' && strings.Trim(s, "0123456789.") == ""
}

// validHostname reports whether a domain could exist in the DNS.
func validHostname(d string) bool {
	if d == "" || len(d) > 253 {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return true
}
