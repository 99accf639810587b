// Package mapping turns a source's objects into ECS documents by a table of
// data: which path becomes which field, and how. It knows the ways in which
// values are changed that any source may need, and no source.
package mapping

import (
	"fmt"
	"slices"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// Rule says what becomes of the value at one path.
type Rule struct {
	From string // dotted path in the source's object
	To   string // ECS field; "" where As or Related is all that is done
	As   As
	// Related adds the value to one of related.ip, .hosts, .hash, .user.
	Related Related
	// Keep leaves the value in the source's own object too, since the field
	// does not say all of it.
	Keep bool
}

// As is how a value becomes a field's. A value that is none of what the way
// takes is not mapped and stays in the source's own object, so a field always
// has a value of its type.
type As uint8

// The ways all sources share. Those of one source begin at Own.
const (
	Keyword  As = iota // a string, as it is
	Text               // a string or an integer, as a string
	Long               // an integer, as it is
	Bool               // true or false
	Lower              // a string, in lower case
	Address            // an IP address, in its shortest form (RFC 5952)
	Time               // a time, in RFC 3339 and UTC
	MAC                // a MAC address, as AA-BB-CC-DD-EE-FF
	Hex                // bytes in hexadecimal with colons, without and in upper case
	Keywords           // a string or an array of strings, as an array
	Epoch              // seconds since 1970, as a number or a string of it, or a time, in RFC 3339 and UTC
	Seconds            // seconds as a number, in nanoseconds
	Count              // a whole number, or a string of digits, as a number
	Outcome            // true or false, as success or failure
	Nothing            // adds to Related alone
	Own                // the first of the source's own
)

// Related is a field of ECS related.*.
type Related uint8

// The sets of related values.
const (
	NotRelated Related = iota
	IPs
	Hosts
	Hashes
	Users
	relatedSets
)

// Table is a compiled mapping. It never changes and may be shared.
type Table struct {
	Layout *event.Layout

	rules     []Rule
	flat      bool
	byPath    []rule
	constants []byte
	related   [relatedSets]event.Field
	success   Constant
	failure   Constant
	source    event.Field
	dest      event.Field
}

// rule is a Rule compiled; as is 0 for a path that has none.
type rule struct {
	set     bool
	as      As
	related Related
	keep    bool
	named   bool // has a field
	field   event.Field
}

// Compile makes a table of rules. Fields lists what the source fills beside
// its rules' targets. A field that ECS does not have, and a way that does not
// give the field's type, are errors.
func Compile(rules []Rule, fields []string) (*Table, error) { return compile(rules, fields, false) }

// CompileFlat is Compile for a source whose objects are flat: From is one
// name, and a dot in it just that.
func CompileFlat(rules []Rule, fields []string) (*Table, error) { return compile(rules, fields, true) }

func compile(rules []Rule, fields []string, flat bool) (*Table, error) {
	names := append(slices.Clone(fields),
		"@timestamp", "related.ip", "related.hosts", "related.hash", "related.user", "source.ip", "destination.ip", "tags")
	for _, r := range rules {
		if r.To == "" {
			continue
		}
		if err := fits(r); err != nil {
			return nil, err
		}
		names = append(names, r.To)
	}
	for _, n := range names {
		if ecs.Lookup(n) == ecs.Unknown {
			return nil, fmt.Errorf("compiling a mapping: %s is no field of ECS", n)
		}
	}
	layout, err := event.NewLayout(names)
	if err != nil {
		return nil, fmt.Errorf("compiling a mapping: %w", err)
	}
	t := &Table{Layout: layout, rules: rules, flat: flat}
	for set := IPs; set < relatedSets; set++ {
		t.related[set] = t.Field(set.String())
	}
	t.success, t.failure = t.Constant(`"success"`), t.Constant(`"failure"`)
	t.source, t.dest = t.Field("source.ip"), t.Field("destination.ip")
	p := t.parser()
	t.byPath = make([]rule, p.Fixed())
	for _, r := range rules {
		at := &t.byPath[t.path(p, r.From)]
		if at.set {
			return nil, fmt.Errorf("compiling a mapping: two rules for %s", r.From)
		}
		*at = rule{set: true, as: r.As, related: r.Related, keep: r.Keep, named: r.To != ""}
		if r.To != "" {
			at.field = t.Field(r.To)
		}
	}
	return t, nil
}

// fits checks that what a rule gives is of its field's type.
func fits(r Rule) error {
	f, ok := ecs.Find(r.To)
	if !ok {
		return nil // reported with all other names
	}
	want := map[As]ecs.Type{Long: ecs.Long, Bool: ecs.Boolean, Address: ecs.IP, Time: ecs.Date, Epoch: ecs.Date, Seconds: ecs.Long, Count: ecs.Long}[r.As]
	if want == "" {
		want = ecs.Keyword
	}
	text := f.Type == ecs.Text && want == ecs.Keyword
	if r.As < Own && (f.Type != want && !text || f.Array != (r.As == Keywords)) {
		return fmt.Errorf("compiling a mapping: %s to %s gives %s where ECS has %s (array %v)", r.From, r.To, want, f.Type, f.Array)
	}
	return nil
}

// parser returns a parser in which the rules' paths have the numbers of the
// table.
func (t *Table) parser() *event.Parser {
	p := event.NewParser()
	for _, r := range t.rules {
		t.path(p, r.From)
	}
	return p
}

func (t *Table) path(p *event.Parser, from string) event.Path {
	if t.flat {
		return p.Name(from)
	}
	return p.Path(from)
}

// Path returns the number that the path of a rule has in every state.
func (t *Table) Path(from string) event.Path { return t.path(t.parser(), from) }

// Field returns the field of that name; a name the table was not compiled
// with is a mistake in the program.
func (t *Table) Field(name string) event.Field {
	f, ok := t.Layout.Field(name)
	if !ok {
		panic("mapping: no field " + name)
	}
	return f
}

// Constant is JSON that documents of one table share.
type Constant struct{ start, end int }

// Constant adds JSON to what documents can refer to. Not to be called once
// states have been made.
func (t *Table) Constant(json string) Constant {
	start := len(t.constants)
	t.constants = append(t.constants, json...)
	return Constant{start, len(t.constants)}
}

// String describes a way that sources share, "" for a source's own.
func (a As) String() string {
	if a >= Own {
		return ""
	}
	return [...]string{
		Keyword:  "as it is",
		Text:     "as a string",
		Long:     "as it is",
		Bool:     "as it is",
		Lower:    "in lower case",
		Address:  "in its shortest form",
		Time:     "in RFC 3339 and UTC",
		MAC:      "as AA-BB-CC-DD-EE-FF",
		Hex:      "without colons, in upper case",
		Keywords: "as an array",
		Epoch:    "in RFC 3339 and UTC",
		Seconds:  "in nanoseconds",
		Count:    "as a number",
		Outcome:  "success or failure",
		Nothing:  "stays",
	}[a]
}

// String returns the field of a set of related values.
func (r Related) String() string {
	return [...]string{"", "related.ip", "related.hosts", "related.hash", "related.user"}[r]
}

// StringArray is strings as a JSON array.
func StringArray(values []string) string {
	out := []byte{'['}
	for i, v := range values {
		if i > 0 {
			out = append(out, ',')
		}
		out = event.AppendString(out, []byte(v))
	}
	return string(append(out, ']'))
}
