package store

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of a query: what a person types is far below, what is above is a
// mistake or an attack.
const (
	MaxQueryBytes = 16 << 10
	MaxQueryTerms = 1000
	MaxQueryDepth = 50
)

// QueryError says what is wrong with a query and where.
type QueryError struct {
	Column  int // of the character at fault, from 1
	Message string
}

func (e *QueryError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// Parse reads a query as people type it; docs/reference/query.md has the
// language. Text of nothing but spaces matches every document. Every error is
// a [*QueryError].
func Parse(text string) (*Query, error) {
	p := &parser{text: text}
	if len(text) > MaxQueryBytes {
		return nil, &QueryError{Column: utf8.RuneCountInString(text[:MaxQueryBytes]) + 1,
			Message: fmt.Sprintf("the query is longer than %d bytes", MaxQueryBytes)}
	}
	if i := invalidUTF8(text); i >= 0 {
		return nil, p.errorAt(i, "not valid UTF-8")
	}
	p.space()
	if p.end() {
		return &Query{}, nil
	}
	root, err := p.or("")
	if err != nil {
		return nil, err
	}
	if !p.end() { // or() stops only at the end and at a parenthesis
		return nil, p.errorAt(p.pos, `")" without a "(" before it`)
	}
	return &Query{root: root}, nil
}

func invalidUTF8(s string) int {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// parser reads by recursive descent: or, and, term, each with the field whose
// values it reads, "" outside of field:( ).
type parser struct {
	text         string
	pos          int
	terms, depth int
}

func (p *parser) errorAt(pos int, format string, args ...any) error {
	return &QueryError{Column: utf8.RuneCountInString(p.text[:pos]) + 1, Message: fmt.Sprintf(format, args...)}
}

func (p *parser) end() bool { return p.pos >= len(p.text) }

// peek returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	if p.end() {
		return 0
	}
	return p.text[p.pos]
}

func (p *parser) space() {
	for !p.end() {
		r, n := utf8.DecodeRuneInString(p.text[p.pos:])
		if !unicode.IsSpace(r) {
			return
		}
		p.pos += n
	}
}

// keyword returns the operator at the present place in upper case, or "".
func (p *parser) keyword() string {
	word := p.text[p.pos:bareEnd(p.text, p.pos)]
	for _, k := range [...]string{"AND", "OR", "NOT"} {
		if strings.EqualFold(word, k) {
			return k
		}
	}
	return ""
}

func (p *parser) or(field string) (Expr, error) {
	var terms []Expr
	for {
		t, err := p.and(field)
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
		if p.keyword() != "OR" {
			return disjunction(terms), nil
		}
		p.pos += len("OR")
		p.space()
	}
}

func (p *parser) and(field string) (Expr, error) {
	var terms []Expr
	for {
		t, err := p.term(field)
		if err != nil {
			return nil, err
		}
		terms = append(terms, t)
		p.space()
		switch {
		case p.end(), p.peek() == ')', p.keyword() == "OR":
			return conjunction(terms), nil
		case p.keyword() == "AND":
			p.pos += len("AND")
			p.space()
		}
	}
}

func (p *parser) term(field string) (Expr, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > MaxQueryDepth {
		return nil, p.errorAt(p.pos, "more than %d levels deep", MaxQueryDepth)
	}
	start := p.pos
	switch k := p.keyword(); {
	case k == "NOT":
		p.pos += len(k)
		p.space()
		return p.negated(field)
	case k != "":
		return nil, p.errorAt(start, "expected a term before %s; quote it to search for the word", k)
	}
	switch p.peek() {
	case 0:
		return nil, p.errorAt(start, "expected a term at the end of the query")
	case ')':
		return nil, p.errorAt(start, `expected a term before ")"`)
	case '(':
		return p.group(field)
	case '-':
		p.pos++
		if r, _ := utf8.DecodeRuneInString(p.text[p.pos:]); p.end() || unicode.IsSpace(r) {
			return nil, p.errorAt(start, `expected a term right after "-"; quote it to search for the sign`)
		}
		return p.negated(field)
	}
	if p.terms++; p.terms > MaxQueryTerms {
		return nil, p.errorAt(start, "more than %d terms", MaxQueryTerms)
	}
	if field != "" {
		if name, _, ok := p.fieldName(); ok {
			return nil, p.errorAt(start, "field %q inside the values of field %q", name, field)
		}
		return p.value(field)
	}
	name, next, ok := p.fieldName()
	if !ok {
		return p.value("")
	}
	if err := p.checkField(start, name); err != nil {
		return nil, err
	}
	p.pos = next
	if p.peek() == '(' {
		p.terms--
		return p.group(name)
	}
	return p.value(name)
}

func (p *parser) negated(field string) (Expr, error) {
	t, err := p.term(field)
	if err != nil {
		return nil, err
	}
	return negation(t), nil
}

func (p *parser) group(field string) (Expr, error) {
	open := p.pos
	p.pos++
	p.space()
	e, err := p.or(field)
	if err != nil {
		return nil, err
	}
	if p.peek() != ')' {
		return nil, p.errorAt(p.pos, `expected ")" for the "(" in column %d`, utf8.RuneCountInString(p.text[:open])+1)
	}
	p.pos++
	return e, nil
}

// fieldName returns the field's name and the place behind its colon, when what
// stands here is a field. Addresses, URLs, times of day and C:\ have colons and
// are none.
func (p *parser) fieldName() (name string, next int, ok bool) {
	if p.peek() == '"' {
		text, end, err := p.quoted(p.pos)
		if err != nil || end >= len(p.text) || p.text[end] != ':' {
			return "", 0, false
		}
		return text, end + 1, true
	}
	word := p.text[p.pos:bareEnd(p.text, p.pos)]
	name, rest, found := strings.Cut(word, ":")
	if !found || isAddress(word) || strings.HasPrefix(rest, "//") || strings.HasPrefix(rest, `\`) ||
		name != "" && strings.Trim(name, "0123456789") == "" {
		return "", 0, false
	}
	return name, p.pos + len(name) + 1, true
}

func isAddress(word string) bool {
	if _, err := netip.ParseAddr(word); err == nil {
		return true
	}
	if _, err := netip.ParsePrefix(word); err == nil {
		return true
	}
	_, err := net.ParseMAC(word)
	return err == nil
}

func (p *parser) checkField(start int, name string) error {
	switch {
	case name == "":
		return p.errorAt(start, `expected a field's name before ":"`)
	case p.text[start] == '"': // quoted: whatever the document has
		return nil
	}
	for i, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_@.-/", r) {
			return p.errorAt(start+i, `%q in a field's name; quote the value if its ":" is meant, or the name`, r)
		}
	}
	return nil
}

// bareEnd returns where the unquoted run that begins at pos ends.
func bareEnd(s string, pos int) int {
	i := strings.IndexFunc(s[pos:], func(r rune) bool {
		return r == '"' || r == '(' || r == ')' || unicode.IsSpace(r)
	})
	if i < 0 {
		return len(s)
	}
	return pos + i
}

// quoted returns the text between the quote at pos and the next, and the place
// behind it. A backslash escapes a quote and a backslash and else is itself.
func (p *parser) quoted(pos int) (text string, end int, err error) {
	var b strings.Builder
	for i := pos + 1; i < len(p.text); i++ {
		switch c := p.text[i]; {
		case c == '"':
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(p.text) && (p.text[i+1] == '"' || p.text[i+1] == '\\'):
			i++
			b.WriteByte(p.text[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, p.errorAt(pos, "expected a closing quote for this one")
}
