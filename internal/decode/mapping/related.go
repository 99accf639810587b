package mapping

import "github.com/decodersring/decoder/internal/event"

const (
	listMost    = 256
	listLongest = 1024
)

// List is a set of strings as a JSON array, in the order they were added. It
// takes at most 256 strings, none of more than 1024 bytes. The zero value is
// empty.
type List struct {
	text  []byte
	spans []span
}

type span struct{ start, end int }

// Reset empties the list.
func (l *List) Reset() { l.text, l.spans = l.text[:0], l.spans[:0] }

// Add takes the inside of a JSON string.
func (l *List) Add(text []byte) {
	if len(text) == 0 || len(text) > listLongest || len(l.spans) == listMost {
		return
	}
	for _, s := range l.spans {
		if string(l.text[s.start:s.end]) == string(text) {
			return
		}
	}
	if len(l.spans) > 0 {
		l.text = append(l.text, ',')
	}
	l.text = append(l.text, '"')
	start := len(l.text)
	l.text = append(l.text, text...)
	l.spans = append(l.spans, span{start, len(l.text)})
	l.text = append(l.text, '"')
}

// AppendArray appends the list as JSON.
func (l *List) AppendArray(dst []byte) []byte {
	return append(append(append(dst, '['), l.text...), ']')
}

// Len is the number of strings.
func (l *List) Len() int { return len(l.spans) }

// Relate adds the inside of a JSON string to a set of related values.
func (s *State) Relate(set Related, text []byte) {
	if set == IPs {
		s.AddAddress(&s.related[IPs], text)
		return
	}
	s.related[set].Add(text)
}

// AddAddress adds an address as netip writes it, and reports whether the text
// is one.
func (s *State) AddAddress(to *List, text []byte) bool {
	a, ok := ParseAddr(text)
	if !ok {
		return false
	}
	start := len(s.Doc.Side)
	s.Doc.Side = a.AppendTo(s.Doc.Side)
	to.Add(s.Doc.Side[start:])
	s.Doc.Side = s.Doc.Side[:start]
	return true
}

// RelateLeaf adds a string of the line.
func (s *State) RelateLeaf(set Related, l event.Leaf) {
	raw := l.Bytes(s.Line)
	if l.Kind != event.Broken {
		s.Relate(set, raw)
		return
	}
	start := len(s.Doc.Side)
	s.Doc.Side = event.AppendRepaired(s.Doc.Side, raw)
	s.related[set].Add(s.Doc.Side[start:])
	s.Doc.Side = s.Doc.Side[:start]
}

// relateAll adds the strings of an array of the line.
func (s *State) relateAll(set Related, array event.Leaf) {
	e := s.Elements(array)
	for l, ok := e.Next(); ok; l, ok = e.Next() {
		if l.Kind.IsString() {
			s.RelateLeaf(set, l)
		}
	}
}

// relateField adds a field's value, or each of its values.
func (s *State) relateField(set Related, f event.Field) {
	v := s.Doc.Value(f)
	if len(v) == 0 || v[0] != '[' || set == IPs {
		if set == IPs && len(v) > 0 && v[0] != '[' {
			s.related[IPs].Add(v) // an address in its shortest form already
			return
		}
		s.related[set].Add(v)
		return
	}
	s.elements.Reset(v, 0)
	for l, ok := s.elements.Next(); ok; l, ok = s.elements.Next() {
		s.related[set].Add(l.Bytes(v))
	}
}
