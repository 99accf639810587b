package suricata

import (
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// The members of an answer and of a question that ECS has fields for, in the
// order in which ECS's are written.
const (
	answerData event.Path = iota + 1
	answerName
	answerTTL
	answerType
)

func newAnswerParser() *event.Parser {
	p := event.NewParser()
	for i, name := range []string{"rdata", "rrname", "ttl", "rrtype"} {
		if p.Path(name) != answerData+event.Path(i) {
			panic("suricata: paths of an answer are not numbered in order")
		}
	}
	return p
}

func (s *state) mapDNS(as mapping.As, f event.Field, l event.Leaf) bool {
	switch as {
	case asQuestion:
		return s.PutQuestion(s.d.questionFields, &s.domains, l)
	case asDNSType:
		return s.mapDNSType(f, l)
	case asOpcode:
		return s.mapOpcode(f, l)
	case asDNSFlags:
		return s.mapFlags(f, l)
	case asAnswers:
		return s.mapAnswers(f, l)
	default:
		return s.mapQueries(f, l)
	}
}

// mapDNSType gives version 3's words the values of ECS.
func (s *state) mapDNSType(f event.Field, l event.Leaf) bool {
	switch string(l.Bytes(s.Line)) {
	case "query", "answer":
		s.Doc.PutLeaf(f, l)
	case "request":
		s.PutString(f, "query")
	case "response":
		s.PutString(f, "answer")
	default:
		return false
	}
	return true
}

func (s *state) mapOpcode(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Number {
		return false
	}
	var name string
	switch string(l.Bytes(s.Line)) {
	case "0":
		name = "QUERY"
	case "1":
		name = "IQUERY"
	case "2":
		name = "STATUS"
	case "4":
		name = "NOTIFY"
	case "5":
		name = "UPDATE"
	case "6":
		name = "DSO"
	default:
		return false
	}
	s.PutString(f, name)
	return true
}

// mapFlags takes the header's flags as four hexadecimal digits (RFC 1035,
// 4.1.1 and RFC 4035, 3.1.6).
func (s *state) mapFlags(f event.Field, l event.Leaf) bool {
	raw := l.Bytes(s.Line)
	if l.Kind != event.String || len(raw) == 0 || len(raw) > 4 {
		return false
	}
	bits := 0
	for _, c := range raw {
		switch {
		case c-'0' <= 9:
			bits = bits<<4 | int(c-'0')
		case c|0x20-'a' <= 5:
			bits = bits<<4 | int(c|0x20-'a'+10)
		default:
			return false
		}
	}
	start := len(s.Doc.Side)
	for _, flag := range [...]struct {
		bit  int
		name string
	}{{0x400, `"AA"`}, {0x200, `"TC"`}, {0x100, `"RD"`}, {0x80, `"RA"`}, {0x20, `"AD"`}, {0x10, `"CD"`}} {
		if bits&flag.bit == 0 {
			continue
		}
		sep := byte('[')
		if len(s.Doc.Side) > start {
			sep = ','
		}
		s.Doc.Side = append(append(s.Doc.Side, sep), flag.name...)
	}
	if len(s.Doc.Side) == start {
		return false
	}
	s.Doc.Side = append(s.Doc.Side, ']')
	s.Doc.Put(f, start, false)
	return true
}

// mapAnswers takes an array of answers. It returns false, so that the array
// stays too, where an answer says more than ECS has fields for.
func (s *state) mapAnswers(f event.Field, l event.Leaf) bool {
	if l.Kind != event.Array || l.Repair {
		return false
	}
	start := len(s.Doc.Side)
	s.Doc.Side = append(s.Doc.Side, '[')
	all := true
	e := s.Elements(l)
	for v, ok := e.Next(); ok; v, ok = e.Next() {
		if len(s.Doc.Side) > start+1 {
			s.Doc.Side = append(s.Doc.Side, ',')
		}
		whole, ok := s.appendAnswer(v)
		if !ok {
			s.Doc.Side = s.Doc.Side[:start]
			return false
		}
		all = all && whole
	}
	if len(s.Doc.Side) == start+1 {
		s.Doc.Side = s.Doc.Side[:start]
		return false
	}
	s.Doc.Side = append(s.Doc.Side, ']')
	s.Doc.Put(f, start, false)
	return all
}

// appendAnswer appends an answer in the form of ECS. whole says that nothing
// of it was left out.
func (s *state) appendAnswer(v event.Leaf) (whole, ok bool) {
	if v.Kind != event.Object {
		return false, false
	}
	answer := v.Bytes(s.Line)
	leaves, err := s.inner.Parse(answer)
	if err != nil {
		return false, false
	}
	var members [answerType + 1]event.Leaf
	whole = !s.inner.Repeats()
	for _, l := range leaves {
		if l.Path > answerType || l.Path == answerTTL && !mapping.IsInteger(l, answer) || l.Path != answerTTL && !l.Kind.IsString() {
			whole = false
			continue
		}
		members[l.Path] = l
	}
	s.Doc.Side = append(s.Doc.Side, '{')
	sep := ""
	for p, name := range [...]string{answerData: `"data":`, answerName: `"name":`, answerTTL: `"ttl":`, answerType: `"type":`} {
		l := members[p]
		if l.Kind == 0 {
			continue
		}
		s.Doc.Side = append(append(s.Doc.Side, sep...), name...)
		sep = ","
		if l.Kind.IsString() {
			s.Doc.Side = append(append(append(s.Doc.Side, '"'), l.Bytes(answer)...), '"')
		} else {
			s.Doc.Side = append(s.Doc.Side, l.Bytes(answer)...)
		}
	}
	s.Doc.Side = append(s.Doc.Side, '}')
	if t := members[answerType].Bytes(answer); members[answerData].Kind == event.String && (string(t) == "A" || string(t) == "AAAA") {
		s.resolved(members[answerData].Bytes(answer))
	}
	return whole, true
}

// resolved adds an address that the name resolved to.
func (s *state) resolved(address []byte) {
	if s.AddAddress(&s.addresses, address) {
		s.Relate(mapping.IPs, address)
	}
}

// mapQueries takes the question of an array of questions, version 3's or that
// of an alert. It returns false, so that the array stays, unless it is one
// question of name and type alone.
func (s *state) mapQueries(_ event.Field, l event.Leaf) bool {
	if l.Kind != event.Array {
		return false
	}
	e := s.Elements(l)
	v, ok := e.Next()
	if !ok || v.Kind != event.Object {
		return false
	}
	_, more := e.Next()
	leaves, err := s.inner.Parse(v.Bytes(s.Line))
	if err != nil {
		return false
	}
	whole := !more && !s.inner.Repeats()
	for _, q := range leaves {
		q.Start += v.Start
		q.End += v.Start
		switch {
		case q.Path == answerName && q.Kind.IsString():
			s.PutQuestion(s.d.questionFields, &s.domains, q)
			s.RelateLeaf(mapping.Hosts, q)
		case q.Path == answerType && q.Kind.IsString() && !s.Doc.Has(s.d.fields.questionType):
			s.Doc.PutLeaf(s.d.fields.questionType, q)
		default:
			whole = false
		}
	}
	return whole
}

// finishDNS gathers the addresses of the answers.
func (s *state) finishDNS() {
	if s.Doc.Has(s.d.fields.question) {
		s.singleAnswer()
	}
	if s.addresses.Len() > 0 {
		start := len(s.Doc.Side)
		s.Doc.Side = s.addresses.AppendArray(s.Doc.Side)
		s.Doc.Put(s.d.fields.resolved, start, false)
	}
}

// singleAnswer makes an array of the one answer that version 1 writes.
func (s *state) singleAnswer() {
	f := &s.d.fields
	data, ok := s.Find(s.d.paths.rdata)
	if !ok || !data.Kind.IsString() || data.Kind == event.Broken || s.Doc.Has(f.answers) {
		return
	}
	kind := s.Doc.Value(f.questionType)
	start := len(s.Doc.Side)
	s.Doc.Side = append(append(append(s.Doc.Side, `[{"data":"`...), data.Bytes(s.Line)...), '"')
	if name := s.Doc.Value(f.question); name != nil {
		s.Doc.Side = append(append(append(s.Doc.Side, `,"name":"`...), name...), '"')
	}
	if ttl, ok := s.Find(s.d.paths.ttl); ok && s.Integer(ttl) {
		s.Doc.Side = append(append(s.Doc.Side, `,"ttl":`...), ttl.Bytes(s.Line)...)
	}
	if kind != nil {
		s.Doc.Side = append(append(append(s.Doc.Side, `,"type":"`...), kind...), '"')
	}
	s.Doc.Side = append(s.Doc.Side, '}', ']')
	s.Doc.Put(f.answers, start, false)
	if string(kind) == "A" || string(kind) == "AAAA" {
		s.resolved(data.Bytes(s.Line))
	}
}
