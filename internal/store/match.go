package store

import (
	"cmp"
	"math/big"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Fields is a document as a query sees it: its leaves by their dotted names.
// Empty strings, empty arrays and nulls are no values.
type Fields interface {
	// Values returns the texts of a field: of an array one for each element,
	// of an array of objects those of all its elements. Numbers are as written.
	// list says that it is an array, which is never compared with < and >.
	Values(field string) (values []string, list bool)
	// Any reports whether a leaf has values of which ok is true.
	Any(ok func(values []string) bool) bool
}

// Matches reports whether a document matches, exactly as the stores answer: it
// is what a live search uses, and what stores are tested against. at is the
// document's @timestamp.
func (q *Query) Matches(f Fields, at time.Time) bool {
	e := q.Root()
	return e == nil || matches(e, f, at)
}

func matches(e Expr, f Fields, at time.Time) bool {
	switch e := e.(type) {
	case And:
		return !slices.ContainsFunc(e.Terms, func(t Expr) bool { return !matches(t, f, at) })
	case Or:
		return slices.ContainsFunc(e.Terms, func(t Expr) bool { return matches(t, f, at) })
	case Not:
		return !matches(e.Term, f, at)
	case Exists:
		values, _ := f.Values(e.Field)
		return e.Field == "" || e.Field == timeField || len(values) > 0
	case Compare:
		return matchCompare(e, f, at)
	case Network:
		return matchNetwork(e, f)
	case Match:
		return matchText(e, f)
	}
	return false
}

func matchText(m Match, f Fields) bool {
	one := func(v string) bool { return m.Text(v) }
	if a, ok := m.Address(); ok {
		one = func(v string) bool { b, err := netip.ParseAddr(v); return err == nil && a == b }
	}
	if m.Field == "" {
		return f.Any(func(values []string) bool { return slices.ContainsFunc(values, one) })
	}
	values, _ := f.Values(m.Field)
	return slices.ContainsFunc(values, one)
}

// Address returns the address a match looks for in a field: addresses match as
// a whole and in every way of writing them, never as the words they are made
// of. There is none without a field, with a wildcard, or for other text.
func (m Match) Address() (netip.Addr, bool) {
	if m.Field == "" || m.Whole || len(m.Pattern) != 1 || strings.Trim(m.Pattern[0], "0123456789") == "" {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(m.Pattern[0])
	return a, err == nil
}

// Text reports whether one value matches.
func (m Match) Text(v string) bool {
	pattern := m.Pattern
	if !m.Whole && !FoldsCase(v) {
		return matchWords(v, pattern)
	}
	if !m.Whole {
		v = strings.ToLower(v)
		pattern = make([]string, len(m.Pattern))
		for i, s := range m.Pattern {
			pattern[i] = strings.ToLower(s)
		}
		return matchWords(v, pattern)
	}
	last := len(pattern) - 1
	if last == 0 {
		return v == pattern[0]
	}
	if !strings.HasPrefix(v, pattern[0]) || !strings.HasSuffix(v[len(pattern[0]):], pattern[last]) {
		return false
	}
	v = v[len(pattern[0]) : len(v)-len(pattern[last])]
	_, ok := cutPieces(v, pattern[1:last])
	return ok
}

// cutPieces finds the pieces one after the other and returns what is behind
// the last.
func cutPieces(v string, pieces []string) (string, bool) {
	for _, s := range pieces {
		_, after, found := strings.Cut(v, s)
		if !found {
			return "", false
		}
		v = after
	}
	return v, true
}

// matchWords finds a pattern at word borders: every place of the first piece
// that begins at one is tried, then the pieces between at their first place,
// then the last piece wherever it ends at one.
func matchWords(v string, pattern []string) bool {
	first, last := pattern[0], pattern[len(pattern)-1]
	for from := 0; from <= len(v); {
		i := strings.Index(v[from:], first)
		if i < 0 {
			return false
		}
		at := from + i
		if startsAtBorder(v, at, first) && matchRest(v, at+len(first), pattern, last) {
			return true
		}
		if first == "" {
			return false // a leading wildcard: other places give nothing new
		}
		from = at + 1
	}
	return false
}

func matchRest(v string, at int, pattern []string, last string) bool {
	if len(pattern) == 1 {
		return endsAtBorder(v, at, last)
	}
	rest, ok := cutPieces(v[at:], pattern[1:len(pattern)-1])
	if !ok {
		return false
	}
	if last == "" {
		return true
	}
	for from := len(v) - len(rest); ; from++ {
		i := strings.Index(v[from:], last)
		if i < 0 {
			return false
		}
		from += i
		if endsAtBorder(v, from+len(last), last) {
			return true
		}
	}
}

func startsAtBorder(v string, at int, piece string) bool {
	if r, _ := utf8.DecodeRuneInString(piece); piece == "" || !IsWordRune(r) || at == 0 {
		return true
	}
	r, _ := utf8.DecodeLastRuneInString(v[:at])
	return r != utf8.RuneError && !IsWordRune(r)
}

func endsAtBorder(v string, at int, piece string) bool {
	if r, _ := utf8.DecodeLastRuneInString(piece); piece == "" || !IsWordRune(r) || at == len(v) {
		return true
	}
	r, _ := utf8.DecodeRuneInString(v[at:])
	return r != utf8.RuneError && !IsWordRune(r)
}

func matchNetwork(n Network, f Fields) bool {
	fields := []string{n.Field}
	if n.Field == "" {
		fields = AddressFields()
	}
	for _, field := range fields {
		values, _ := f.Values(field)
		for _, v := range values {
			if a, err := netip.ParseAddr(v); err == nil && n.Prefix.Contains(a.WithZone("")) {
				return true
			}
		}
	}
	return false
}

func matchCompare(c Compare, f Fields, at time.Time) bool {
	t, isTime := c.Time()
	if isTime && c.Field == timeField {
		return c.Op.holds(at.Compare(t))
	}
	values, list := f.Values(c.Field)
	return !list && slices.ContainsFunc(values, func(v string) bool {
		if isTime {
			u, err := time.Parse(time.RFC3339Nano, v)
			return err == nil && c.Op.holds(u.Compare(t))
		}
		n, ok := compareNumbers(v, c.Value)
		return ok && c.Op.holds(n)
	})
}

// holds reports whether the comparison is true of what cmp.Compare returned.
func (o Op) holds(c int) bool {
	switch o {
	case Greater:
		return c > 0
	case AtLeast:
		return c >= 0
	case Less:
		return c < 0
	case AtMost:
		return c <= 0
	}
	return false
}

// compareNumbers orders two JSON numbers, whole ones exactly.
func compareNumbers(a, b string) (int, bool) {
	if !IsNumber(a) || !IsNumber(b) {
		return 0, false
	}
	x, okX := new(big.Int).SetString(a, 10)
	y, okY := new(big.Int).SetString(b, 10)
	if okX && okY {
		return x.Cmp(y), true
	}
	fa, errA := strconv.ParseFloat(a, 64)
	fb, errB := strconv.ParseFloat(b, 64)
	return cmp.Compare(fa, fb), errA == nil && errB == nil
}
