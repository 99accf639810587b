package notify

import (
	"net/netip"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes one line of at most so many characters of text from outside: no
// control characters, no line or paragraph separators, no changes of direction,
// nothing invisible.
func clean(s string, most int) string {
	var b strings.Builder
	n, space := 0, true
	for _, r := range s {
		if n == most {
			return strings.TrimRight(b.String(), " ") + "…"
		}
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			if space {
				continue
			}
			r, space = ' ', true
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp), r == utf8.RuneError:
			r, space = '·', false
		default:
			space = false
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimRight(b.String(), " ")
}

var (
	scheme = regexp.MustCompile(`(?i)\bhttp(s?)://`)
	ipv4   = regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
	// alike is what else a dot or an @ of a name may be written as (UTS 46).
	alike = strings.NewReplacer("。", ".", "．", ".", "｡", ".", "＠", "@", "﹫", "@")
	// marked: a backtick would end a block of code, and =? begins an encoded
	// word (RFC 2047), which a subject is shown without.
	marked = strings.NewReplacer("://", "[://]", "@", "[@]", "`", "'", "=?", "= ?")
)

// defang makes text that nothing makes a link, an address or a mention of:
// hxxp[://]example[.]com. Numbers, versions and one's own addresses stay as
// they are.
func defang(s string) string {
	s = marked.Replace(scheme.ReplaceAllString(alike.Replace(s), "hxxp${1}://"))
	s = ipv4.ReplaceAllStringFunc(s, func(a string) string {
		if ip, err := netip.ParseAddr(a); err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast()) {
			return a
		}
		return strings.ReplaceAll(a, ".", "[.]")
	})
	var b strings.Builder
	before := ' '
	for i, r := range s {
		if r == '.' && !unicode.IsSpace(before) {
			if next, _ := utf8.DecodeRuneInString(s[i+1:]); unicode.IsLetter(next) {
				b.WriteString("[.]")
				before = r
				continue
			}
		}
		b.WriteRune(r)
		before = r
	}
	return b.String()
}
