package hygiene

import "strings"

// matcher finds which of many phrases stand in a text, in one pass: at each
// start of a word only the phrases with the same first bytes are compared.
type matcher struct {
	byHead  map[[3]byte][]int // phrases of three bytes and more that begin a word
	inside  []int             // phrases of other scripts, which know no spaces
	phrases []string
}

func newMatcher(phrases []string) *matcher {
	m := &matcher{byHead: map[[3]byte][]int{}, phrases: phrases}
	for i, p := range phrases {
		if len(p) < 3 || p[0] >= 0x80 {
			m.inside = append(m.inside, i)
			continue
		}
		h := [3]byte{p[0], p[1], p[2]}
		m.byHead[h] = append(m.byHead[h], i)
	}
	return m
}

// scan calls f with each phrase that begins at a word of the text and where it
// ends, until f returns false. A phrase may be reported more than once.
func (m *matcher) scan(text string, f func(phrase, end int) bool) {
	if m == nil {
		return
	}
	before := false // whether the byte before belongs to a word
	for i := 0; i+3 <= len(text); i++ {
		c := text[i]
		if !before && c > ' ' {
			for _, n := range m.byHead[[3]byte{c, text[i+1], text[i+2]}] {
				if p := m.phrases[n]; strings.HasPrefix(text[i:], p) && !f(n, i+len(p)) {
					return
				}
			}
		}
		before = isWordByte(c)
	}
	for _, n := range m.inside {
		if i := strings.Index(text, m.phrases[n]); i >= 0 && (m.phrases[n][0] >= 0x80 || i == 0 || !isWordByte(text[i-1])) {
			if !f(n, i+len(m.phrases[n])) {
				return
			}
		}
	}
}

// ends reports whether a word ends at the place.
func ends(text string, at int) bool { return at == len(text) || !isWordByte(text[at]) }
