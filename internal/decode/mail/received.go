package mail

import (
	"net/mail"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Border is what the user says of the hosts that take mail from outside.
// Without it the client's address is a guess and no Authentication-Results
// field is believed.
type Border struct {
	// Names of the border hosts, as they stand behind "by" and as authserv-id;
	// "*.mail.protection.outlook.com" names all hosts below.
	Names    []string
	Networks []netip.Prefix // own networks
	// Microsoft believes an Authentication-Results field without an
	// authserv-id, as Exchange Online writes it, when it stands above the
	// border's own Received field.
	Microsoft bool
}

func (b Border) set() bool { return len(b.Names) > 0 || len(b.Networks) > 0 }

func (b Border) has(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, n := range b.Names {
		n = strings.ToLower(strings.TrimSuffix(n, "."))
		if below, all := strings.CutPrefix(n, "*"); all && strings.HasPrefix(below, ".") && len(host) > len(below) && strings.HasSuffix(host, below) {
			return true
		}
		if host != "" && host == n {
			return true
		}
	}
	return false
}

func (b Border) own(a netip.Addr) bool {
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
		return true
	}
	for _, p := range b.Networks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// maxReceived bounds the trace fields taken.
const maxReceived = 100

// parseReceived reads a trace field (RFC 5321 section 4.4) as the common
// servers write it: Postfix, Exim, Sendmail, qmail, Exchange, Google.
func parseReceived(s string) Received {
	var r Received
	if i := strings.LastIndexByte(s, ';'); i >= 0 {
		r.Time = parseDate(s[i+1:])
		s = s[:i]
	}
	c := clauses(s)
	r.By, _, _ = strings.Cut(strings.TrimSpace(c["by"]), " ")
	r.By = strings.Trim(strings.ToLower(r.By), "[]")
	r.With, _, _ = strings.Cut(strings.TrimSpace(c["with"]), " (")
	if f := c["for"]; f != "" {
		r.For = lastAddress(f)
	}
	from := strings.TrimSpace(c["from"])
	name, comments, _ := strings.Cut(from, " ")
	r.IP = findAddr(comments)
	if !r.IP.IsValid() {
		r.IP = findAddr(name)
	}
	r.From = strings.ToLower(strings.Trim(name, "[]()"))
	r.RDNS = rdnsOf(comments)
	if i := max(strings.Index(strings.ToUpper(comments), "HELO "), strings.Index(strings.ToUpper(comments), "HELO=")); i >= 0 {
		// qmail and Exim: the name before is the one found, the one inside is
		// the one given.
		helo := strings.FieldsFunc(comments[i+5:], func(c rune) bool { return c == ')' || c == ' ' })
		if len(helo) > 0 {
			if !findAddr(r.From).IsValid() {
				r.RDNS = r.From
			}
			r.From = strings.ToLower(helo[0])
		}
	}
	r.From, r.RDNS, r.By = Truncate(r.From, 255), Truncate(r.RDNS, 255), Truncate(r.By, 255)
	r.With = Truncate(r.With, 64)
	return r
}

// clauses splits a trace field at its keywords, outside of comments.
func clauses(s string) map[string]string {
	out := map[string]string{}
	key, start, depth, word := "", 0, 0, 0
	end := func(at int) {
		if key != "" {
			if _, dup := out[key]; !dup {
				out[key] = s[start:at]
			}
		}
	}
	for i := 0; i <= len(s); i++ {
		if i < len(s) && s[i] != ' ' && s[i] != '\t' {
			switch s[i] {
			case '(':
				depth++
			case ')':
				depth = max(0, depth-1)
			}
			continue
		}
		if depth == 0 && i-word >= 2 && i-word <= 4 {
			switch k := strings.ToLower(s[word:i]); k {
			case "from", "by", "with", "id", "for", "via":
				end(word)
				key, start = k, min(i+1, len(s))
			}
		}
		if depth == 0 {
			word = i + 1
		}
	}
	end(len(s))
	return out
}

// findAddr returns the first address, one in brackets before any other.
func findAddr(s string) netip.Addr {
	for i := strings.IndexByte(s, '['); i >= 0; {
		j := strings.IndexByte(s[i:], ']')
		if j < 0 {
			break
		}
		if a := parseAddr(s[i+1 : i+j]); a.IsValid() {
			return a
		}
		k := strings.IndexByte(s[i+1:], '[')
		if k < 0 {
			break
		}
		i += 1 + k
	}
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("() []<>@;,=", r) }) {
		if a := parseAddr(w); a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}

func parseAddr(s string) netip.Addr {
	if len(s) > 5 && strings.EqualFold(s[:5], "ipv6:") {
		s = s[5:]
	}
	if len(s) < 3 || len(s) > 45 || strings.IndexByte(s, '%') >= 0 {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// rdnsOf returns the name before the bracket in "(name [1.2.3.4])".
func rdnsOf(s string) string {
	i := strings.IndexByte(s, '(')
	j := strings.IndexByte(s, '[')
	if i < 0 || j < i {
		return ""
	}
	f := strings.Fields(s[i+1 : j])
	if len(f) == 0 {
		return ""
	}
	n := strings.ToLower(strings.TrimSuffix(f[len(f)-1], "."))
	if i := strings.LastIndexByte(n, '@'); i >= 0 {
		n = n[i+1:] // an ident answer
	}
	if n != "unknown" && !validHostname(n) {
		return ""
	}
	return n
}

// client finds the host that handed the message to the border, and its place
// among the trace fields. A hop is passed over only when the host it came
// from is one's own by its address or by the name the receiver found: what a
// client wrote below cannot move the border.
func client(received []Received, b Border) *Client {
	start, method := 0, "first_public"
	if b.set() {
		method = "border"
	}
	if len(b.Names) > 0 {
		start = -1
		for i, r := range received {
			if b.has(r.By) {
				start = i
				break
			}
		}
		if start < 0 {
			return nil
		}
	}
	for i := start; i < len(received); i++ {
		r := received[i]
		if !r.IP.IsValid() || b.own(r.IP) || b.has(r.RDNS) {
			continue
		}
		return &Client{IP: r.IP, Name: r.From, RDNS: r.RDNS, Hop: i, Method: method}
	}
	return nil
}

var zoneComment = regexp.MustCompile(`\([^()]*\)\s*$`)

// parseDate reads a date as RFC 5322 writes it, and the common mistakes; the
// zero time when it is none.
func parseDate(s string) time.Time {
	s = strings.TrimSpace(s)
	if s == "" || len(s) > 128 {
		return time.Time{}
	}
	if strings.HasSuffix(s, ")") {
		s = strings.TrimSpace(zoneComment.ReplaceAllString(s, ""))
	}
	// What nearly all write goes first: each layout that fails costs an error.
	if t, err := time.Parse("Mon, 2 Jan 2006 15:04:05 -0700", s); err == nil {
		return plausible(t.UTC())
	}
	if t, err := mail.ParseDate(s); err == nil {
		return plausible(t.UTC())
	}
	for _, layout := range [...]string{
		"Mon, 2 Jan 2006 15:04:05", "2 Jan 2006 15:04:05", "Mon Jan _2 15:04:05 2006",
		"Mon Jan _2 15:04:05 MST 2006", "Mon, 2 Jan 06 15:04:05 MST", "2006-01-02 15:04:05 -0700", time.RFC3339,
		"Mon, 2 Jan 2006 15:04:05 MST-0700", "Monday, 2 January 2006 15:04:05 -0700",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return plausible(t.UTC())
		}
	}
	return time.Time{}
}

// plausible refuses years that only a mistake or a forger writes.
func plausible(t time.Time) time.Time {
	if y := t.Year(); y < 1980 || y > 2200 {
		return time.Time{}
	}
	return t
}
