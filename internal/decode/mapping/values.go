package mapping

import (
	"bytes"
	"net/netip"
	"unsafe"

	"github.com/decodersring/decoder/internal/event"
)

// text is b as a string without a copy, for library functions that only look
// at it; it must not outlive the call.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// view is s as bytes without a copy, not to be written to.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// ParseAddr reads an IP address without a zone.
func ParseAddr(b []byte) (netip.Addr, bool) {
	if a, ok := parseIPv4(b); ok {
		return a, true
	}
	if len(b) > 45 || bytes.IndexByte(b, ':') < 0 {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text(b))
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a, true
}

// parseIPv4 reads dotted decimals without leading zeros.
func parseIPv4(b []byte) (netip.Addr, bool) {
	var a [4]byte
	part, n, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case c-'0' <= 9:
			if digits > 0 && n == 0 {
				return netip.Addr{}, false
			}
			n = n*10 + int(c-'0')
			if digits++; n > 255 {
				return netip.Addr{}, false
			}
		case c == '.' && digits > 0 && part < 3:
			a[part] = byte(n)
			part++
			n, digits = 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 {
		return netip.Addr{}, false
	}
	a[3] = byte(n)
	return netip.AddrFrom4(a), true
}

func (s *State) putAddress(f event.Field, l event.Leaf) bool {
	if l.Kind != event.String {
		return false
	}
	raw := l.Bytes(s.Line)
	a, ok := ParseAddr(raw)
	if !ok {
		return false
	}
	if a.Is4() {
		s.Doc.PutLeaf(f, l)
	} else {
		start := len(s.Doc.Side)
		s.Doc.Side = a.AppendTo(s.Doc.Side)
		s.Doc.Put(f, start, true)
	}
	switch f {
	case s.table.source:
		s.Source = a
	case s.table.dest:
		s.Destination = a
	}
	return true
}

// PutLower gives the field a string in lower case: its ASCII
// letters, and none of a string with escapes, lest an escape change its meaning.
func (s *State) PutLower(f event.Field, l event.Leaf) bool {
	if l.Kind != event.String {
		return false
	}
	start := len(s.Doc.Side)
	s.Doc.Side = appendLower(s.Doc.Side, l.Bytes(s.Line))
	s.Doc.Put(f, start, true)
	return true
}

func appendLower(dst, b []byte) []byte {
	for _, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// isHex says whether b is pairs of hexadecimal digits with sep between them.
func isHex(b []byte, sep byte) bool {
	for i, c := range b {
		if i%3 == 2 {
			if c != sep {
				return false
			}
		} else if c-'0' > 9 && c|0x20-'a' > 5 {
			return false
		}
	}
	return len(b)%3 == 2
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'f' {
		c -= 'a' - 'A'
	}
	return c
}

func (s *State) putMAC(f event.Field, l event.Leaf) bool {
	raw := l.Bytes(s.Line)
	if l.Kind != event.String || len(raw) != 17 || !isHex(raw, ':') {
		return false
	}
	start := len(s.Doc.Side)
	for i, c := range raw {
		if i%3 == 2 {
			c = '-'
		}
		s.Doc.Side = append(s.Doc.Side, upper(c))
	}
	s.Doc.Put(f, start, true)
	return true
}

func (s *State) putHex(f event.Field, l event.Leaf) bool {
	raw := l.Bytes(s.Line)
	if l.Kind != event.String || !isHex(raw, ':') {
		return false
	}
	start := len(s.Doc.Side)
	for i, c := range raw {
		if i%3 != 2 {
			s.Doc.Side = append(s.Doc.Side, upper(c))
		}
	}
	s.Doc.Put(f, start, true)
	return true
}

func (s *State) putCount(f event.Field, l event.Leaf) bool {
	if l.Kind == event.String && event.IsNumber(l.Bytes(s.Line)) {
		l.Kind = event.Number
	}
	if !s.Integer(l) {
		return false
	}
	s.Doc.PutLeaf(f, l)
	return true
}

// putKeywords gives the field an array of strings.
func (s *State) putKeywords(f event.Field, l event.Leaf) bool {
	if l.Kind.IsString() {
		start := len(s.Doc.Side)
		s.Doc.Side = append(s.Doc.Side, '[', '"')
		s.Doc.Side = event.AppendRepaired(s.Doc.Side, l.Bytes(s.Line))
		s.Doc.Side = append(s.Doc.Side, '"', ']')
		s.Doc.Put(f, start, false)
		return true
	}
	if l.Kind != event.Array || bytes.Equal(l.Bytes(s.Line), []byte("[]")) {
		return false
	}
	e := s.Elements(l)
	for v, ok := e.Next(); ok; v, ok = e.Next() {
		if !v.Kind.IsString() {
			return false
		}
	}
	s.Doc.PutLeaf(f, l)
	return true
}

// PutSum gives the field the sum of two others, if at least one is there.
func (s *State) PutSum(f, a, b event.Field) {
	if !s.Doc.Has(a) && !s.Doc.Has(b) {
		return
	}
	s.PutInt(f, number(s.Doc.Value(a))+number(s.Doc.Value(b)))
}

// number is the value of an integer of at most 18 digits.
func number(b []byte) (n int64) {
	negative := len(b) > 0 && b[0] == '-'
	for _, c := range b {
		if c-'0' <= 9 {
			n = n*10 + int64(c-'0')
		}
	}
	if negative {
		n = -n
	}
	return n
}
