package zeek

import (
	"bytes"

	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// mapService takes one name; "ssl,http" says more than the field can.
func (s *state) mapService(f event.Field, l event.Leaf) bool {
	if bytes.IndexByte(l.Bytes(s.Line), ',') >= 0 {
		return false
	}
	return s.PutLower(f, l)
}

// mapTLSVersion takes Zeek's names of versions: TLSv12, SSLv3, DTLSv12.
func (s *state) mapTLSVersion(f event.Field, l event.Leaf) bool {
	version, protocol := "", s.c.tls
	switch string(l.Bytes(s.Line)) {
	case "SSLv2":
		version, protocol = "2", s.c.ssl
	case "SSLv3":
		version, protocol = "3", s.c.ssl
	case "TLSv10":
		version = "1.0"
	case "TLSv11":
		version = "1.1"
	case "TLSv12":
		version = "1.2"
	case "TLSv13":
		version = "1.3"
	default:
		return false
	}
	s.PutString(f, version)
	s.PutConstant(s.c.tlsProtocol, protocol)
	return true
}

func (s *state) mapFirst(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Array {
		return false
	}
	e := s.Elements(l)
	v, ok := e.Next()
	if !ok || !v.Kind.IsString() {
		return false
	}
	s.Doc.PutLeaf(f, v)
	return true
}

// mapAnswers takes the data of answers, all of which must be strings, and the
// TTLs that stand beside them.
func (s *state) mapAnswers(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Array || l.Repair {
		return false
	}
	ttls, haveTTLs := s.Find(s.c.ttls)
	if haveTTLs = haveTTLs && ttls.Kind == event.Array; haveTTLs {
		s.numbers.Reset(s.Line, int(ttls.Start))
	}
	start := len(s.Doc.Side)
	s.Doc.Side = append(s.Doc.Side, '[')
	e := s.Elements(l)
	for v, ok := e.Next(); ok; v, ok = e.Next() {
		if !v.Kind.IsString() {
			s.Doc.Side = s.Doc.Side[:start]
			s.addresses.Reset()
			return false
		}
		if len(s.Doc.Side) > start+1 {
			s.Doc.Side = append(s.Doc.Side, ',')
		}
		s.Doc.Side = append(s.Doc.Side, `{"data":"`...)
		s.Doc.Side = append(append(s.Doc.Side, v.Bytes(s.Line)...), '"')
		if haveTTLs {
			s.appendTTL()
		}
		s.Doc.Side = append(s.Doc.Side, '}')
		s.resolved(v.Bytes(s.Line))
	}
	if len(s.Doc.Side) == start+1 {
		s.Doc.Side = s.Doc.Side[:start]
		return false
	}
	s.Doc.Side = append(s.Doc.Side, ']')
	s.Doc.Put(f, start, false)
	return true
}

// appendTTL appends the next of TTLs, whole seconds that Zeek writes with
// decimals.
func (s *state) appendTTL() {
	v, ok := s.numbers.Next()
	if !ok || v.Kind != event.Number {
		return
	}
	whole, fraction, _ := bytes.Cut(v.Bytes(s.Line), []byte("."))
	v.End = v.Start + uint32(len(whole))
	if len(bytes.Trim(fraction, "0")) == 0 && mapping.IsInteger(v, s.Line) {
		s.Doc.Side = append(append(s.Doc.Side, `,"ttl":`...), whole...)
	}
}

func (s *state) resolved(answer []byte) {
	if s.AddAddress(&s.addresses, answer) {
		s.Relate(mapping.IPs, answer)
	}
}

// finishDNS gathers the addresses of the answers and the flags, and says
// whether there was an answer.
func (s *state) finishDNS() {
	c := s.c
	if s.addresses.Len() > 0 {
		start := len(s.Doc.Side)
		s.Doc.Side = s.addresses.AppendArray(s.Doc.Side)
		s.Doc.Put(c.resolved, start, false)
	}
	start := len(s.Doc.Side)
	for i, name := range flagNames() {
		if l, ok := s.Find(c.flagPaths[i]); ok && l.Kind == event.True {
			sep := byte('[')
			if len(s.Doc.Side) > start {
				sep = ','
			}
			s.Doc.Side = append(append(append(s.Doc.Side, sep, '"'), name...), '"')
		}
	}
	if len(s.Doc.Side) > start {
		s.Doc.Side = append(s.Doc.Side, ']')
		s.Doc.Put(c.flags, start, false)
	}
	if s.Has("dns.response_code") || s.Has("dns.answers") {
		s.PutConstant(c.dnsType, c.answer)
	} else {
		s.PutConstant(c.dnsType, c.query)
	}
}
