package suricata

import (
	"bytes"

	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

func (s *state) mapTLS(as mapping.As, f event.Field, l event.Leaf) bool {
	switch as {
	case asTLSVersion:
		return s.mapTLSVersion(f, l)
	case asDN:
		return s.mapDN(f, l)
	default:
		return s.mapValidity(f, l)
	}
}

// mapTLSVersion takes Suricata's names of versions: TLSv1, TLS 1.2, SSLv3.
func (s *state) mapTLSVersion(f event.Field, l event.Leaf) bool {
	var version, protocol string
	switch string(l.Bytes(s.Line)) {
	case "TLSv1":
		version, protocol = "1.0", "tls"
	case "TLS 1.1", "TLS 1.2", "TLS 1.3":
		s.PutSub(f, l, len("TLS "), len("TLS 1.x"))
		s.PutString(s.d.fields.tlsProtocol, "tls")
		return true
	case "SSLv2":
		version, protocol = "2", "ssl"
	case "SSLv3":
		version, protocol = "3", "ssl"
	default:
		return false
	}
	s.PutString(f, version)
	s.PutString(s.d.fields.tlsProtocol, protocol)
	return true
}

// mapDN takes a distinguished name as OpenSSL prints it, "C=US, O=Example,
// Inc., CN=a": the field gets it whole, x509 its parts.
func (s *state) mapDN(f event.Field, l event.Leaf) bool {
	if !l.Kind.IsString() {
		return false
	}
	fields := &s.d.fields
	s.Doc.PutLeaf(f, l)
	for _, c := range [...]*certificate{&fields.server, &fields.client} {
		switch f {
		case c.subject:
			s.Doc.PutLeaf(c.subjectDN, l)
			s.putParts(c.subjectParts, l)
		case c.issuer:
			s.Doc.PutLeaf(c.issuerDN, l)
			s.putParts(c.issuerParts, l)
		}
	}
	return true
}

// putParts gives each field the values of its attribute.
func (s *state) putParts(parts []event.Field, l event.Leaf) {
	if l.Kind == event.Broken {
		return
	}
	raw := l.Bytes(s.Line)
	prefixes, _ := dnAttributes()
	for i, f := range parts {
		start := len(s.Doc.Side)
		for at := 0; at < len(raw); {
			end := attributeEnd(raw, at)
			if v, prefix := raw[at:end], prefixes[i]; len(v) > len(prefix) && string(v[:len(prefix)]) == prefix {
				sep := byte('[')
				if len(s.Doc.Side) > start {
					sep = ','
				}
				s.Doc.Side = append(s.Doc.Side, sep, '"')
				s.Doc.Side = append(append(s.Doc.Side, v[len(prefix):]...), '"')
			}
			at = end + len(", ")
		}
		if len(s.Doc.Side) > start {
			s.Doc.Side = append(s.Doc.Side, ']')
			s.Doc.Put(f, start, false)
		}
	}
}

// attributeEnd returns where the attribute that begins at the index ends:
// before a comma, a space and the next attribute's short name and equals sign,
// since values have commas too.
func attributeEnd(raw []byte, at int) int {
	for i := at; ; {
		n := bytes.Index(raw[i:], []byte(", "))
		if n < 0 {
			return len(raw)
		}
		next := i + n + 2
		letters := next
		for letters < len(raw) && letters-next < 24 && (raw[letters]|0x20-'a' <= 25 || raw[letters]-'0' <= 9 || raw[letters] == '.') {
			letters++
		}
		if letters > next && letters < len(raw) && raw[letters] == '=' {
			return i + n
		}
		i = next
	}
}

func (s *state) mapValidity(f event.Field, l event.Leaf) bool {
	if _, ok := s.PutTime(f, l); !ok {
		return false
	}
	fields := &s.d.fields
	for _, c := range [...]*certificate{&fields.server, &fields.client} {
		switch f {
		case c.notBefore:
			s.PutTime(c.x509NotBefore, l)
		case c.notAfter:
			s.PutTime(c.x509NotAfter, l)
		}
	}
	return true
}
