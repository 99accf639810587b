package vlogs

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/store"
)

// filter translates a query to the library's language, LogsQL. All that came
// from the query is quoted in it.
func filter(q *store.Query) string {
	e := q.Root()
	if e == nil {
		return "*"
	}
	var b strings.Builder
	appendFilter(&b, e)
	return b.String()
}

func appendFilter(b *strings.Builder, e store.Expr) {
	switch e := e.(type) {
	case store.And:
		appendAll(b, e.Terms, " ")
	case store.Or:
		if f, ok := oneOfFilter(e.Terms); ok {
			b.WriteString(f)
			return
		}
		appendAll(b, e.Terms, " or ")
	case store.Not:
		b.WriteString("!(")
		appendFilter(b, e.Term)
		b.WriteByte(')')
	case store.Exists:
		if e.Field == "" || e.Field == "@timestamp" {
			b.WriteByte('*')
			return
		}
		b.WriteString(strconv.Quote(e.Field) + ":*")
	case store.Compare:
		b.WriteString(compareFilter(e))
	case store.Network:
		b.WriteString(networkFilter(e))
	case store.Match:
		b.WriteString(matchFilter(e))
	}
}

func appendAll(b *strings.Builder, terms []store.Expr, between string) {
	b.WriteByte('(')
	for i, t := range terms {
		if i > 0 {
			b.WriteString(between)
		}
		appendFilter(b, t)
	}
	b.WriteByte(')')
}

// anyOf joins filters of which one must match.
func anyOf(filters ...string) string {
	if len(filters) == 1 {
		return filters[0]
	}
	return "(" + strings.Join(filters, " or ") + ")"
}

// on applies a filter to a field, or to all when it is "".
func on(field, filter string) string {
	if field == "" {
		return "*:" + filter
	}
	return strconv.Quote(field) + ":" + filter
}

func compareFilter(c store.Compare) string {
	t, isTime := c.Time()
	if isTime && c.Field == "@timestamp" {
		return timeFilter(c.Op, t)
	}
	if isTime { // times in other fields are text, ordered as they are written
		return on(c.Field, string(c.Op)+strconv.Quote(c.Value))
	}
	return on(c.Field, string(c.Op)+c.Value)
}

func timeFilter(op store.Op, t time.Time) string {
	stamp := t.UTC().Format("2006-01-02T15:04:05.000000000Z")
	if y := t.UTC().Year(); y < 1678 || y > 2261 { // no time a row can have
		if (op == store.Less || op == store.AtMost) == (y > 2261) {
			return "*"
		}
		return "!(*)"
	}
	return "_time:" + string(op) + stamp
}

// matchFilter looks for text, first where the library's bloom filters leave out
// most blocks. They know words as they are written, so words are looked for in
// lower case, in the values and in the column that has lower-case copies of
// those with capitals; for one field, the candidates are then compared without
// regard to case.
func matchFilter(m store.Match) string {
	if a, ok := m.Address(); ok {
		return addressFilter(m.Field, a, m.Pattern[0])
	}
	if m.Whole {
		return wholeFilter(m)
	}
	lower := make([]string, len(m.Pattern))
	for i, s := range m.Pattern {
		lower[i] = strings.ToLower(s)
	}
	filters := []string{on(m.Field, wordsFilter(m.Pattern, false))}
	if !slices.Equal(lower, m.Pattern) {
		filters = append(filters, on(m.Field, wordsFilter(lower, false)))
	}
	text := strings.Join(lower, "")
	hasCase := strings.ToUpper(text) != text
	if m.Field != "" && hasCase {
		filters = append(filters, "("+on(colFold, wordsFilter(lower, false))+" "+on(m.Field, wordsFilter(lower, true))+")")
	}
	if escaped, differs := escapePattern(lower); differs { // as it stands in an array
		filters = append(filters, on(m.Field, wordsFilter(escaped, m.Field != "" && hasCase)))
	}
	return anyOf(filters...)
}

func escapePattern(pattern []string) (escaped []string, differs bool) {
	for _, s := range pattern {
		e := string(event.AppendEscaped(nil, []byte(s)))
		differs = differs || e != s
		escaped = append(escaped, e)
	}
	return escaped, differs
}

// wordsFilter finds a pattern at word borders.
func wordsFilter(pattern []string, anyCase bool) string {
	first, last := pattern[0], pattern[len(pattern)-1]
	switch {
	case len(pattern) == 1 && anyCase:
		return "i(" + strconv.Quote(first) + ")"
	case len(pattern) == 1:
		return strconv.Quote(first)
	case len(pattern) == 2 && last == "" && anyCase:
		return "i(" + strconv.Quote(first) + "*)"
	case len(pattern) == 2 && last == "":
		return strconv.Quote(first) + "*"
	case len(pattern) == 3 && first == "" && last == "" && !anyCase:
		return "*" + strconv.Quote(pattern[1]) + "*"
	}
	return "~" + strconv.Quote(wordsRegexp(pattern, anyCase))
}

const (
	borderBefore = `(?:^|[^\pL\pNd_])`
	borderAfter  = `(?:$|[^\pL\pNd_])`
)

func wordsRegexp(pattern []string, anyCase bool) string {
	var b strings.Builder
	b.WriteString("(?s)")
	first, last := pattern[0], pattern[len(pattern)-1]
	if r, _ := utf8.DecodeRuneInString(first); first != "" && store.IsWordRune(r) {
		b.WriteString(borderBefore)
	}
	for i, s := range pattern {
		if i > 0 {
			b.WriteString(".*")
		}
		if anyCase && s != "" { // only here: a class without case takes long to compile
			b.WriteString("(?i:" + regexp.QuoteMeta(s) + ")")
		} else {
			b.WriteString(regexp.QuoteMeta(s))
		}
	}
	if r, _ := utf8.DecodeLastRuneInString(last); last != "" && store.IsWordRune(r) {
		b.WriteString(borderAfter)
	}
	return b.String()
}

// wholeFilter compares the whole value, or a whole element of an array.
func wholeFilter(m store.Match) string {
	escaped, _ := escapePattern(m.Pattern)
	if len(m.Pattern) == 1 {
		return anyOf(on(m.Field, "="+strconv.Quote(m.Pattern[0])), on(m.Field, elementFilter(m.Pattern[0], escaped[0])))
	}
	var value, element []string
	for i := range m.Pattern {
		value = append(value, regexp.QuoteMeta(m.Pattern[i]))
		element = append(element, regexp.QuoteMeta(escaped[i]))
	}
	return anyOf(
		on(m.Field, "~"+strconv.Quote("(?s)^"+strings.Join(value, ".*")+"$")),
		on(m.Field, "~"+strconv.Quote(`^\[(?:.*,)?(?:"`+strings.Join(element, `(?:[^"\\]|\\.)*`)+`"|`+strings.Join(element, `[^"\\,\]]*`)+`)[,\]]`)))
}

// oneOfFilter is for many values of one field, as the ids of an alert's events:
// the library looks for all of them at once.
func oneOfFilter(terms []store.Expr) (string, bool) {
	var values []string
	field := ""
	for _, t := range terms {
		m, ok := t.(store.Match)
		if !ok || !m.Whole || len(m.Pattern) != 1 || m.Field == "" || field != "" && m.Field != field || looksTyped(m.Pattern[0]) {
			return "", false
		}
		field = m.Field
		values = append(values, strconv.Quote(m.Pattern[0]))
	}
	list := "(" + strings.Join(values, ",") + ")"
	return anyOf(on(field, "in"+list), on(field, "json_array_contains_any"+list)), true
}

// elementFilter finds an element of an array of texts or numbers.
func elementFilter(text, escaped string) string {
	if looksTyped(text) {
		return "~" + strconv.Quote(`^\[(?:.*,)?(?:`+regexp.QuoteMeta(text)+`|"`+regexp.QuoteMeta(escaped)+`")[,\]]`)
	}
	return "json_array_contains_any(" + strconv.Quote(text) + ")"
}

// addressFilter finds an address, however it was written in a single value.
func addressFilter(field string, a netip.Addr, text string) string {
	filters := []string{on(field, "="+strconv.Quote(text)), on(field, "json_array_contains_any("+strconv.Quote(text)+","+strconv.Quote(a.String())+")")}
	if a.Is6() && a.Zone() == "" {
		filters = append(filters, on(field, "ipv6_range("+strconv.Quote(a.String())+","+strconv.Quote(a.String())+")"))
	}
	return anyOf(filters...)
}

func networkFilter(n store.Network) string {
	fields := []string{n.Field}
	if n.Field == "" {
		fields = store.AddressFields()
	}
	kind := "ipv4_range("
	if n.Prefix.Addr().Is6() {
		kind = "ipv6_range("
	}
	var filters []string
	for _, f := range fields {
		filters = append(filters, on(f, kind+strconv.Quote(n.Prefix.String())+")"))
		if re := elementRegexp(n.Prefix); re != "" {
			filters = append(filters, "("+on(f, `="["*`)+" "+on(f, "~"+strconv.Quote(re))+")")
		}
	}
	return anyOf(filters...)
}
