package suricata

import "github.com/decodersring/decoder/internal/event"

// mapAttachments makes an attachment of each file name.
func (s *state) mapAttachments(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Array {
		return false
	}
	start := len(s.Doc.Side)
	s.Doc.Side = append(s.Doc.Side, '[')
	e := s.Elements(l)
	for v, ok := e.Next(); ok; v, ok = e.Next() {
		if !v.Kind.IsString() {
			s.Doc.Side = s.Doc.Side[:start]
			return false
		}
		if len(s.Doc.Side) > start+1 {
			s.Doc.Side = append(s.Doc.Side, ',')
		}
		s.Doc.Side = append(s.Doc.Side, `{"file":{"name":"`...)
		s.Doc.Side = append(event.AppendRepaired(s.Doc.Side, v.Bytes(s.Line)), `"}}`...)
	}
	if len(s.Doc.Side) == start+1 {
		s.Doc.Side = s.Doc.Side[:start]
		return false
	}
	s.Doc.Side = append(s.Doc.Side, ']')
	s.Doc.Put(f, start, false)
	return true
}
