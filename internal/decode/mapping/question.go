package mapping

import (
	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/event"
)

// Question is the fields of the name that DNS is asked for.
type Question struct{ name, registered, subdomain, suffix event.Field }

// QuestionFields names the fields of a [Question], to be compiled with a
// source's own.
func QuestionFields() []string {
	return []string{"dns.question.name", "dns.question.registered_domain", "dns.question.subdomain", "dns.question.top_level_domain"}
}

// NewQuestion returns the fields of a table compiled with [QuestionFields].
func NewQuestion(t *Table) Question {
	return Question{
		t.Field("dns.question.name"), t.Field("dns.question.registered_domain"),
		t.Field("dns.question.subdomain"), t.Field("dns.question.top_level_domain"),
	}
}

// PutQuestion takes the name that was asked for, and gives its parts their
// fields.
func (s *State) PutQuestion(q Question, domains *decode.Domains, l event.Leaf) bool {
	if !l.Kind.IsString() {
		return false
	}
	s.Doc.PutLeaf(q.name, l)
	if l.Kind != event.String {
		return true
	}
	start := len(s.Doc.Side)
	s.Doc.Side = appendLower(s.Doc.Side, l.Bytes(s.Line))
	// The parts are of the name in lower case and written behind it.
	d := domains.Split(s.Doc.Side[start:])
	s.putPart(q.registered, d.Registered)
	s.putPart(q.subdomain, d.Subdomain)
	s.putPart(q.suffix, d.Suffix)
	return true
}

func (s *State) putPart(f event.Field, part []byte) {
	if len(part) > 0 {
		start := len(s.Doc.Side)
		s.Doc.Side = append(s.Doc.Side, part...)
		s.Doc.Put(f, start, true)
	}
}
