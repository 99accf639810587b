package store

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Query is a parsed query. Its zero value matches every document. A Query is
// never changed once made, so it may be used concurrently.
type Query struct{ root Expr }

// NewQuery makes a query of an expression; nil matches every document.
func NewQuery(e Expr) *Query { return &Query{root: e} }

// Root returns the query's expression; nil matches every document.
func (q *Query) Root() Expr {
	if q == nil {
		return nil
	}
	return q.root
}

// All returns the query that matches what every given one matches.
func All(qs ...*Query) *Query {
	var terms []Expr
	for _, q := range qs {
		if e := q.Root(); e != nil {
			terms = append(terms, e)
		}
	}
	if len(terms) == 0 {
		return &Query{}
	}
	return &Query{root: conjunction(terms)}
}

// Is returns the query for documents whose field has exactly that value.
func Is(field, value string) *Query {
	return &Query{root: Match{Field: field, Pattern: []string{value}, Whole: true}}
}

// Names reports whether the query names the field.
func (q *Query) Names(field string) bool { return names(q.Root(), field) }

func names(e Expr, field string) bool {
	within := func(t Expr) bool { return names(t, field) }
	switch e := e.(type) {
	case And:
		return slices.ContainsFunc(e.Terms, within)
	case Or:
		return slices.ContainsFunc(e.Terms, within)
	case Not:
		return within(e.Term)
	case Exists:
		return e.Field == field
	case Compare:
		return e.Field == field
	case Match:
		return e.Field == field
	case Network:
		return e.Field == field
	}
	return false
}

// Expr is a node of a query: [And], [Or], [Not], [Match], [Exists], [Compare]
// or [Network]. A store translates these seven and nothing else.
type Expr interface{ expr() }

// And matches when every term does; it has two or more, none of them an And.
type And struct{ Terms []Expr }

// Or matches when one of its terms does; it has two or more, none of them an
// Or.
type Or struct{ Terms []Expr }

// Not matches when its term does not.
type Not struct{ Term Expr }

// Match looks for text. Pattern is the text cut at its wildcards: ["foo"] is
// foo, ["foo", ""] is foo*, ["", "foo", ""] is *foo*. An empty Field is any
// field. A field with several values matches when one of them does.
//
// Without Whole the text is found at word borders anywhere in the value and
// letter case does not matter: a piece's outer end that is a letter, digit or
// underscore must not touch another one in the value, except where a wildcard
// stands. With Whole the value equals the text, letter for letter.
type Match struct {
	Field   string
	Pattern []string
	Whole   bool
}

// Exists matches documents that have the field; with an empty Field, all.
type Exists struct{ Field string }

// Op is a comparison.
type Op string

// The comparisons.
const (
	Greater   Op = ">"
	AtLeast   Op = ">="
	Less      Op = "<"
	AtMost    Op = "<="
	timeField    = "@timestamp"
)

// Compare orders a field's value against a number or a time. Value is a JSON
// number, or a time in RFC 3339.
type Compare struct {
	Field string
	Op    Op
	Value string
}

// Time returns the compared time, and false when a number is compared.
func (c Compare) Time() (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, c.Value)
	return t, err == nil
}

// caseRun is the length from which text without a space is taken for encoded
// data, in which letter case counts.
const caseRun = 256

// FoldsCase reports whether letter case does not matter in a value. It matters
// in values of more than 256 bytes without a space: base64 and its like.
func FoldsCase(value string) bool {
	return len(value) <= caseRun || strings.IndexByte(value, ' ') >= 0
}

// Network matches when the field holds an address of the network; with an
// empty Field, when one of [AddressFields] does. The prefix has no host bits.
type Network struct {
	Field  string
	Prefix netip.Prefix
}

func (And) expr()     {}
func (Or) expr()      {}
func (Not) expr()     {}
func (Match) expr()   {}
func (Exists) expr()  {}
func (Compare) expr() {}
func (Network) expr() {}

// AddressFields are the fields in which a network without a field is looked
// for: those of ECS 8.17 with the type ip that events of this program have.
func AddressFields() []string {
	return []string{
		"client.ip", "client.nat.ip", "destination.ip", "destination.nat.ip",
		"dns.resolved_ip", "host.ip", "observer.ip", "related.ip",
		"server.ip", "server.nat.ip", "source.ip", "source.nat.ip",
		"threat.indicator.ip",
	}
}

// conjunction and disjunction keep the tree in its one normal form.
func conjunction(terms []Expr) Expr {
	var flat []Expr
	for _, t := range terms {
		if a, ok := t.(And); ok {
			flat = append(flat, a.Terms...)
		} else {
			flat = append(flat, t)
		}
	}
	if len(flat) == 1 {
		return flat[0]
	}
	return And{flat}
}

func disjunction(terms []Expr) Expr {
	var flat []Expr
	for _, t := range terms {
		if o, ok := t.(Or); ok {
			flat = append(flat, o.Terms...)
		} else {
			flat = append(flat, t)
		}
	}
	if len(flat) == 1 {
		return flat[0]
	}
	return Or{flat}
}

func negation(e Expr) Expr {
	if n, ok := e.(Not); ok {
		return n.Term
	}
	return Not{e}
}
