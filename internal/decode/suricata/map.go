package suricata

import (
	"bytes"

	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// Map maps a value in one of Suricata's own ways.
func (s *state) Map(as mapping.As, f event.Field, l event.Leaf) bool {
	switch as {
	case asProtocol:
		return s.mapProtocol(f, l)
	case asSpan:
		if !s.typ.span {
			return false
		}
		_, ok := s.PutTime(f, l)
		return ok
	case asBytesToServer:
		return s.counter(&s.flow.toServer, l)
	case asBytesToClient:
		return s.counter(&s.flow.toClient, l)
	case asPacketsToServer:
		return s.counter(&s.flow.packetsToServer, l)
	case asPacketsToClient:
		return s.counter(&s.flow.packetsToClient, l)
	case asURL:
		return s.PutURL(s.d.urlFields, f, l)
	case asHTTPVersion:
		return s.mapHTTPVersion(f, l)
	case asVLAN:
		return s.mapVLAN(f, l)
	case asAction:
		s.mapAction(l)
		return false
	}
	if as >= asQuestion && as <= asQueries {
		return s.mapDNS(as, f, l)
	}
	if as >= asTLSVersion && as <= asValidity {
		return s.mapTLS(as, f, l)
	}
	return s.mapRest(as, f, l)
}

func (s *state) mapRest(as mapping.As, f event.Field, l event.Leaf) bool {
	switch as {
	case asFile:
		return s.PutFile(s.d.fileFields, l)
	case asEmail, asEmails:
		return s.PutEmails(f, l)
	case asAttachments:
		return s.mapAttachments(f, l)
	case asCVE:
		return s.mapCVE(f, l)
	case asFirstText:
		_, ok := s.first(f, l)
		return ok
	case asOnlyMAC:
		return s.mapOnlyMAC(f, l)
	case asKerberos:
		return s.mapKerberos(f, l)
	case asStatus:
		return s.mapStatus(f, l)
	}
	return false
}

// counter remembers a counter if it is one.
func (s *state) counter(at *event.Leaf, l event.Leaf) bool {
	if !s.Integer(l) {
		return false
	}
	*at = l
	return true
}

func (s *state) mapProtocol(f event.Field, l event.Leaf) bool {
	switch v := l.Bytes(s.Line); {
	case l.Kind != event.String, string(v) == "failed", string(v) == "unknown", len(v) == 0:
		return false
	}
	return s.PutLower(f, l)
}

func (s *state) mapAction(l event.Leaf) {
	if l.Kind != event.String {
		return
	}
	switch string(l.Bytes(s.Line)) {
	case "allowed":
		s.PutConstant(s.d.fields.typ, s.typ.allowed)
	case "blocked":
		s.PutConstant(s.d.fields.typ, s.typ.blocked)
	}
}

// mapVLAN takes the ids of one or two tags; more stay where they are.
func (s *state) mapVLAN(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Array {
		return false
	}
	var ids [2]event.Leaf
	n := 0
	e := s.Elements(l)
	for v, ok := e.Next(); ok; v, ok = e.Next() {
		if n == len(ids) || v.Kind != event.Number || v.End-v.Start > 4 {
			return false
		}
		ids[n] = v
		n++
	}
	if n == 0 {
		return false
	}
	s.Doc.PutText(f, ids[0])
	if n == 2 {
		s.Doc.PutText(s.d.fields.innerVLAN, ids[1])
	}
	return true
}

// first gives the field the first string of an array, or a string.
func (s *state) first(f event.Field, l event.Leaf) (only, ok bool) {
	if l.Kind.IsString() {
		s.Doc.PutLeaf(f, l)
		return true, true
	}
	if l.Kind != event.Array {
		return false, false
	}
	e := s.Elements(l)
	v, ok := e.Next()
	if !ok || !v.Kind.IsString() {
		return false, false
	}
	s.Doc.PutLeaf(f, v)
	_, more := e.Next()
	return !more, true
}

// mapOnlyMAC takes the only MAC address of an array; of several none says
// more than the others.
func (s *state) mapOnlyMAC(f event.Field, l event.Leaf) bool {
	only, ok := s.first(f, l)
	mac := s.Doc.Value(f)
	if !ok {
		return false
	}
	if !only || len(mac) != 17 || bytes.ContainsFunc(mac, func(r rune) bool { return !isMAC(r) }) {
		s.Doc.Drop(f)
		return false
	}
	start := len(s.Doc.Side)
	for _, c := range mac {
		switch {
		case c == ':':
			c = '-'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 'A'
		}
		s.Doc.Side = append(s.Doc.Side, c)
	}
	s.Doc.Put(f, start, true)
	return true
}

func isMAC(r rune) bool {
	return r == ':' || '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F'
}

// mapCVE writes the first of the CVE_2021_44228 of rule metadata as an id.
func (s *state) mapCVE(f event.Field, l event.Leaf) bool {
	if _, ok := s.first(f, l); !ok {
		return false
	}
	v := s.Doc.Value(f)
	if !bytes.HasPrefix(v, []byte("CVE_")) && !bytes.HasPrefix(v, []byte("CVE-")) {
		s.Doc.Drop(f)
		return false
	}
	start := len(s.Doc.Side)
	for _, c := range v {
		if c == '_' {
			c = '-'
		}
		s.Doc.Side = append(s.Doc.Side, c)
	}
	s.Doc.Put(f, start, true)
	return true
}

func (s *state) mapKerberos(f event.Field, l event.Leaf) bool {
	switch string(l.Bytes(s.Line)) {
	case "KRB_ERROR":
		s.PutConstant(f, s.d.fields.failure)
	case "KRB_AS_REP", "KRB_TGS_REP", "KRB_AP_REP":
		s.PutConstant(f, s.d.fields.success)
	default:
		return false
	}
	return true
}

// mapStatus takes the NTSTATUS of an SMB answer.
func (s *state) mapStatus(f event.Field, l event.Leaf) bool {
	v := l.Bytes(s.Line)
	switch {
	case string(v) == "STATUS_SUCCESS":
		s.PutConstant(f, s.d.fields.success)
	case bytes.HasPrefix(v, []byte("STATUS_ACCESS_DENIED")), bytes.HasPrefix(v, []byte("STATUS_LOGON_FAILURE")):
		s.PutConstant(f, s.d.fields.failure)
	default:
		return false
	}
	return true
}
