package vlogs

import "github.com/decodersring/decoder/internal/event"

// elements walks arrays that the scanner has accepted. It keeps its buffers
// and must not be used again before each has returned.
type elements struct {
	walk event.Elements
	text []byte
}

// each calls fn for each element: the text of a string, and of anything else
// its JSON. The bytes are valid until fn returns.
func (e *elements) each(array []byte, fn func(value []byte, kind event.Kind)) {
	e.walk.Reset(array, 0)
	for {
		l, ok := e.walk.Next()
		if !ok {
			return
		}
		v, kind := l.Bytes(array), l.Kind
		switch {
		case kind == event.Escaped || kind == event.Broken:
			e.text = event.AppendText(e.text[:0], v)
			v, kind = e.text, event.String
		case l.Repair:
			e.text = event.AppendRepaired(e.text[:0], v)
			v = e.text
		}
		fn(v, kind)
	}
}
