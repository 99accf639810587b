package store

import (
	"net/netip"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// value reads what stands behind "field:", or a word or phrase without field.
func (p *parser) value(field string) (Expr, error) {
	start := p.pos
	op := p.operator()
	if op != "" && field == "" {
		return nil, p.errorAt(start, "%q compares a field, as in field:%s10; quote it to search for the sign", op, op)
	}
	valueAt := p.pos
	pattern, bare, err := p.pattern()
	if err != nil {
		return nil, err
	}
	if pattern == nil {
		return nil, p.errorAt(valueAt, "expected a value after %q", p.text[start-1:valueAt])
	}
	switch {
	case op != "" && op != "=":
		return p.comparison(valueAt, field, Op(op), pattern)
	case len(pattern) > 1 && strings.Join(pattern, "") == "": // nothing but wildcards
		return Exists{Field: field}, nil
	case field == timeField:
		return nil, p.errorAt(valueAt, "%s is compared: expected >, >=, < or <=", timeField)
	case op == "=":
		return Match{Field: field, Pattern: pattern, Whole: true}, nil
	case bare && len(pattern) == 1:
		if n, err := netip.ParsePrefix(pattern[0]); err == nil {
			return Network{Field: field, Prefix: n.Masked()}, nil
		}
		if address, length, ok := badPrefix(pattern[0]); ok {
			return nil, p.errorAt(valueAt+len(pattern[0])-len(length), "the prefix of a network of %s has 0 to %d bits; quote the whole to search for the text", address, address.BitLen())
		}
	}
	return Match{Field: field, Pattern: pattern}, nil
}

// badPrefix tells a network whose prefix is too long from other text with a
// slash in it.
func badPrefix(text string) (a netip.Addr, length string, ok bool) {
	address, length, _ := strings.Cut(text, "/")
	a, err := netip.ParseAddr(address)
	return a, length, err == nil && length != "" && strings.Trim(length, "0123456789") == ""
}

func (p *parser) operator() string {
	for _, op := range [...]string{">=", "<=", ">", "<", "="} {
		if strings.HasPrefix(p.text[p.pos:], op) {
			p.pos += len(op)
			return op
		}
	}
	return ""
}

// pattern reads text with wildcards, quoted, bare, or both where they meet at
// a wildcard. It is nil when there is none; bare says that nothing was quoted.
func (p *parser) pattern() (pattern []string, bare bool, err error) {
	start := p.pos
	bare = true
	add := func(pieces ...string) { // the first continues the last there is
		if pattern == nil {
			pattern = []string{""}
		}
		pattern[len(pattern)-1] += pieces[0]
		pattern = append(pattern, pieces[1:]...)
	}
	for !p.end() && p.peek() != ')' {
		if p.peek() == '(' {
			if p.pos == start {
				break
			}
			return nil, false, p.errorAt(p.pos, `"(" inside a word: quote the whole to search for it, or put a space before it`)
		}
		if p.peek() != '"' {
			end := bareEnd(p.text, p.pos)
			if end == p.pos {
				break
			}
			if p.pos > start && p.peek() != '*' {
				return nil, false, p.errorAt(p.pos, "expected a space after the closing quote")
			}
			add(strings.Split(p.text[p.pos:end], "*")...)
			p.pos = end
			continue
		}
		if p.pos > start && p.text[p.pos-1] != '*' {
			return nil, false, p.errorAt(p.pos, "quote inside a word: quote the whole, or put a space before it")
		}
		text, end, err := p.quoted(p.pos)
		if err != nil {
			return nil, false, err
		}
		if text == "" {
			return nil, false, p.errorAt(p.pos, "expected text between the quotes; NOT field:* finds documents without a field")
		}
		add(text)
		bare = false
		p.pos = end
	}
	return squeeze(pattern), bare, nil
}

// squeeze makes one wildcard of several in a row.
func squeeze(pattern []string) []string {
	if len(pattern) < 3 {
		return pattern
	}
	out := pattern[:1]
	for i, s := range pattern[1:] {
		if s != "" || i+2 == len(pattern) {
			out = append(out, s)
		}
	}
	return out
}

func (p *parser) comparison(at int, field string, op Op, pattern []string) (Expr, error) {
	if len(pattern) == 1 {
		if field != timeField && IsNumber(pattern[0]) {
			return Compare{Field: field, Op: op, Value: pattern[0]}, nil
		}
		if t, ok := parseTime(pattern[0]); ok {
			return Compare{Field: field, Op: op, Value: t.Format(time.RFC3339Nano)}, nil
		}
	}
	if field == timeField {
		return nil, p.errorAt(at, "expected a time after %q, as in 2026-01-31 or 2026-01-31T10:00:00Z", op)
	}
	return nil, p.errorAt(at, "expected a number or a time after %q", op)
}

// IsNumber reports whether s is a number as JSON writes it.
func IsNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	rest := strings.TrimLeft(s, "0123456789")
	whole := s[:len(s)-len(rest)]
	if whole == "" || len(whole) > 1 && whole[0] == '0' {
		return false
	}
	if f, ok := strings.CutPrefix(rest, "."); ok {
		rest = strings.TrimLeft(f, "0123456789")
		if len(rest) == len(f) {
			return false
		}
	}
	if rest == "" {
		return true
	}
	if rest[0] != 'e' && rest[0] != 'E' {
		return false
	}
	rest = rest[1:]
	if rest != "" && (rest[0] == '+' || rest[0] == '-') {
		rest = rest[1:]
	}
	return rest != "" && strings.TrimLeft(rest, "0123456789") == ""
}

// parseTime reads a time; one without a zone is UTC.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range [...]string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02",
	} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), t.UTC().Year() >= 0 && t.UTC().Year() <= 9999
		}
	}
	return time.Time{}, false
}

// IsWordRune reports whether r is part of a word: a letter, digit or
// underscore.
func IsWordRune(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}
