package mapping

import (
	"bytes"

	"github.com/decodersring/decoder/internal/event"
)

// PutEmails gives the field the addresses out of a header's value, or of each
// of an array. It returns false, so that the value stays, where a name stood beside
// an address.
func (s *State) PutEmails(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Array && !l.Kind.IsString() {
		return false
	}
	start := len(s.Doc.Side)
	s.Doc.Side = append(s.Doc.Side, '[')
	whole := true
	if l.Kind.IsString() {
		whole = s.appendEmail(l, start)
	} else {
		e := s.Elements(l)
		for v, ok := e.Next(); ok; v, ok = e.Next() {
			if !v.Kind.IsString() || !s.appendEmail(v, start) {
				whole = false
			}
		}
	}
	if len(s.Doc.Side) == start+1 {
		s.Doc.Side = s.Doc.Side[:start]
		return false
	}
	s.Doc.Side = append(s.Doc.Side, ']')
	s.Doc.Put(f, start, false)
	return whole
}

// appendEmail appends the address in a header's value, what stands in angle
// brackets or else all of it, and says whether it was all of it.
func (s *State) appendEmail(l event.Leaf, start int) bool {
	raw := l.Bytes(s.Line)
	whole := true
	if open := bytes.LastIndexByte(raw, '<'); open >= 0 {
		if end := bytes.IndexByte(raw[open:], '>'); end > 0 {
			raw, whole = raw[open+1:open+end], false
		}
	}
	if len(raw) == 0 {
		return false
	}
	if len(s.Doc.Side) > start+1 {
		s.Doc.Side = append(s.Doc.Side, ',')
	}
	s.Doc.Side = append(s.Doc.Side, '"')
	s.Doc.Side = append(event.AppendRepaired(s.Doc.Side, raw), '"')
	return whole
}
