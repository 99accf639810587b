package hygiene

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"

	"github.com/decodersring/decoder/internal/decode/mail"
)

// plain returns text in lower case, compatibility forms undone, without
// accents: the form phrases are compared in. It keeps other scripts.
func plain(s string) string {
	if isASCII(s) {
		return strings.ToLower(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range norm.NFKD.String(s) {
		if !unicode.Is(unicode.Mn, r) && !mail.Invisible(r) {
			b.WriteRune(unicode.ToLower(r))
		}
	}
	return b.String()
}

// fold returns the skeleton of a name in the sense of UTS 39: plain, and every
// character that can stand for a Latin letter replaced by it. Two names with
// the same skeleton look alike.
func (l *Lists) fold(s string) string {
	if isASCII(s) {
		return strings.Join(strings.Fields(strings.ToLower(s)), " ")
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range norm.NFKD.String(s) {
		if unicode.Is(unicode.Mn, r) || mail.Invisible(r) {
			continue
		}
		if r >= 0x80 {
			if to, ok := l.confusable[r]; ok {
				b.WriteRune(to)
				continue
			}
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// skeleton folds a domain label, digits and letter pairs that look like
// letters included, and leaves hyphens out.
func (l *Lists) skeleton(label string) string {
	if strings.HasPrefix(label, "xn--") {
		if u, err := idna.Punycode.ToUnicode(label); err == nil {
			label = u
		}
	}
	s := l.fold(label)
	s = lookalikePairs.Replace(s)
	return s
}

var lookalikePairs = strings.NewReplacer("rn", "m", "vv", "w", "cl", "d", "0", "o", "1", "l", "5", "s", "3", "e", "-", "", "i", "l")

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// scripts names the scripts whose letters stand for each other in one word.
func mixedScript(s string) bool {
	for word := range strings.FieldsSeq(s) {
		latin, other := false, false
		for _, r := range word {
			switch {
			case unicode.Is(unicode.Latin, r):
				latin = true
			case unicode.In(r, unicode.Cyrillic, unicode.Greek, unicode.Armenian, unicode.Cherokee):
				other = true
			}
		}
		if latin && other {
			return true
		}
	}
	return false
}

// styledLetters counts the characters of symbol blocks that read as Latin
// letters: mathematical alphabets, enclosed and full-width letters.
func styledLetters(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case 0x1D400 <= r && r <= 0x1D7FF, 0x1F110 <= r && r <= 0x1F189, 0x24B6 <= r && r <= 0x24E9, 0xFF21 <= r && r <= 0xFF5A:
			n++
		}
	}
	return n
}

// mainLabel returns the label directly before a domain's public suffix.
func mainLabel(domain string) string {
	suffix, icann := publicsuffix.PublicSuffix(domain)
	if !icann && strings.IndexByte(suffix, '.') >= 0 {
		// Private suffixes are somebody's domains as well.
		parent := suffix[strings.IndexByte(suffix, '.')+1:]
		suffix, _ = publicsuffix.PublicSuffix(parent)
	}
	rest := strings.TrimSuffix(domain, "."+suffix)
	if rest == domain {
		return ""
	}
	return rest[strings.LastIndexByte(rest, '.')+1:]
}

// oneEdit reports whether a and b differ by one insertion, deletion,
// substitution or exchange of neighbours.
func oneEdit(a, b string) bool {
	if len(a) < len(b) {
		a, b = b, a
	}
	if a == b || len(a)-len(b) > 1 {
		return false
	}
	i := 0
	for i < len(b) && a[i] == b[i] {
		i++
	}
	if len(a) > len(b) {
		return a[i+1:] == b[i:]
	}
	if a[i+1:] == b[i+1:] {
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}

// hasWholeWord reports whether text holds the phrase, from the start of a word
// to the end of one.
func hasWholeWord(text, phrase string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], phrase)
		if i < 0 {
			return false
		}
		i += at
		end := i + len(phrase)
		if (i == 0 || !isWordByte(text[i-1])) && (end == len(text) || !isWordByte(text[end])) {
			return true
		}
		at = i + 1
	}
}

func isWordByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c >= 0x80
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// random reports whether a label looks drawn by a program: letters and digits
// changing places, or a run of consonants no language has.
func random(label string) bool {
	if len(label) < 7 || strings.HasPrefix(label, "xn--") {
		return false
	}
	changes, run, longest, vowels, letters := 0, 0, 0, 0, 0
	prev := 0
	for i := 0; i < len(label); i++ {
		c := label[i]
		kind := 0
		switch {
		case '0' <= c && c <= '9':
			kind = 2
			run = 0
		case c == '-':
			run = 0
			prev = 0
			continue
		default:
			kind = 1
			letters++
			if strings.IndexByte("aeiouy", c) >= 0 {
				vowels++
				run = 0
			} else {
				run++
				longest = max(longest, run)
			}
		}
		if prev != 0 && kind != prev {
			changes++
		}
		prev = kind
	}
	return changes >= 3 || longest >= 7 || letters >= 10 && vowels*7 < letters
}
