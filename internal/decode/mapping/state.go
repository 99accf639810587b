package mapping

import (
	"net/netip"

	"github.com/decodersring/decoder/internal/event"
)

// Special maps values in a source's own ways, those from [Own] on. It returns
// false when the value is not what the way takes.
type Special interface {
	Map(as As, f event.Field, l event.Leaf) bool
}

// State is the working memory of one decoding after another. It must not be
// used concurrently.
type State struct {
	Line []byte
	Doc  *event.Doc
	Rest []event.Leaf // what stays in the source's own object
	// Addresses of source.ip and destination.ip, invalid without.
	Source, Destination netip.Addr

	table    *Table
	parser   *event.Parser
	elements event.Elements
	leaves   []event.Leaf
	related  [relatedSets]List
	last     map[event.Path]int
	repaired bool
}

// NewState returns working memory for documents of the table.
func (t *Table) NewState() *State {
	return &State{table: t, parser: t.parser(), Doc: event.NewDoc(t.Layout, t.constants)}
}

// Parse reads the line, one object, and begins a document.
func (s *State) Parse(line []byte) error {
	s.Line, s.Rest, s.repaired = line, s.Rest[:0], false
	s.Source, s.Destination = netip.Addr{}, netip.Addr{}
	s.Doc.Reset(line)
	for i := range s.related {
		s.related[i].Reset()
	}
	var err error
	s.leaves, err = s.parser.Parse(line)
	return err
}

// largestSide is the most that is kept of Side from one line for the next.
const largestSide = 1 << 20

// Release lets go of the line, and of memory that only a large one needs. To
// be called before a state is put aside.
func (s *State) Release() {
	s.Line = nil
	s.elements.Reset(nil, 0)
	s.Doc.Reset(nil)
	if cap(s.Doc.Side) > largestSide {
		s.Doc.Side = nil
	}
}

// Find returns the last leaf of a path that the table knows.
func (s *State) Find(path event.Path) (event.Leaf, bool) {
	for i := range s.leaves {
		if s.leaves[i].Path == path {
			if s.parser.Repeats() {
				return s.findLast(path), true
			}
			return s.leaves[i], true
		}
	}
	return event.Leaf{}, false
}

func (s *State) findLast(path event.Path) (last event.Leaf) {
	for _, l := range s.leaves {
		if l.Path == path {
			last = l
		}
	}
	return last
}

// Apply maps all leaves of the line. Of a name that repeats the last value is
// mapped, as encoding/json would have it, and all others stay in Rest. A
// field that has a value already keeps it.
func (s *State) Apply(special Special) {
	if s.parser.Repeats() {
		s.last = make(map[event.Path]int, len(s.leaves))
		for i, l := range s.leaves {
			s.last[l.Path] = i
		}
	}
	rules := s.table.byPath
	for i := range s.leaves {
		l := &s.leaves[i]
		if l.Kind == event.Broken || l.Repair {
			s.repaired = true
		}
		if int(l.Path) < len(rules) && rules[l.Path].set && !s.superseded(i, l.Path) {
			if r := &rules[l.Path]; s.apply(r, *l, special) && !r.keep {
				continue
			}
		}
		s.Rest = append(s.Rest, *l)
	}
}

// superseded says whether a later leaf has the path of the i-th.
func (s *State) superseded(i int, path event.Path) bool {
	return s.parser.Repeats() && s.last[path] != i
}

func (s *State) apply(r *rule, l event.Leaf, special Special) bool {
	if !r.named && r.as < Own {
		if r.related == NotRelated {
			return false
		}
		if l.Kind.IsString() {
			s.RelateLeaf(r.related, l)
		} else if l.Kind == event.Array {
			s.relateAll(r.related, l)
		}
		return false
	}
	if r.named && s.Doc.Has(r.field) {
		return false
	}
	if r.as >= Own {
		if !special.Map(r.as, r.field, l) {
			return false
		}
	} else if !s.put(r.as, r.field, l) {
		return false
	}
	if r.related != NotRelated && r.named {
		s.relateField(r.related, r.field)
	}
	return true
}

// put gives a field the leaf's value in one of the ways that sources share.
func (s *State) put(as As, f event.Field, l event.Leaf) bool {
	switch as {
	case Keyword:
		if !l.Kind.IsString() {
			return false
		}
		s.Doc.PutLeaf(f, l)
		return true
	case Long:
		if !s.Integer(l) {
			return false
		}
		s.Doc.PutLeaf(f, l)
		return true
	case Text:
		if !l.Kind.IsString() && !s.Integer(l) {
			return false
		}
		s.Doc.PutText(f, l)
		return true
	case Bool:
		if l.Kind != event.True && l.Kind != event.False {
			return false
		}
		s.Doc.PutLeaf(f, l)
		return true
	case Address:
		return s.putAddress(f, l)
	case Lower:
		return s.PutLower(f, l)
	case Time:
		_, ok := s.PutTime(f, l)
		return ok
	case MAC:
		return s.putMAC(f, l)
	case Hex:
		return s.putHex(f, l)
	case Keywords:
		return s.putKeywords(f, l)
	case Epoch:
		return s.putEpoch(f, l)
	case Seconds:
		return s.putSeconds(f, l)
	case Count:
		return s.putCount(f, l)
	case Outcome:
		return s.putOutcome(f, l)
	}
	return false
}

// Integer says whether a leaf of the line is a number that fits a long.
func (s *State) Integer(l event.Leaf) bool { return IsInteger(l, s.Line) }

// IsInteger says whether a leaf of the document is a number that fits a long.
func IsInteger(l event.Leaf, doc []byte) bool {
	if l.Kind != event.Number || l.End-l.Start > 18 {
		return false
	}
	for i, c := range l.Bytes(doc) {
		if c-'0' > 9 && (i > 0 || c != '-') {
			return false
		}
	}
	return true
}

// PutConstant gives the field a constant of the table.
func (s *State) PutConstant(f event.Field, c Constant) { s.Doc.PutConstant(f, c.start, c.end) }

// PutString gives the field text that was not in the line.
func (s *State) PutString(f event.Field, text string) {
	start := len(s.Doc.Side)
	s.Doc.Side = event.AppendEscaped(s.Doc.Side, view(text))
	s.Doc.Put(f, start, true)
}

// PutJSON gives the field JSON that was not in the line.
func (s *State) PutJSON(f event.Field, json string) {
	start := len(s.Doc.Side)
	s.Doc.Side = append(s.Doc.Side, json...)
	s.Doc.Put(f, start, false)
}

// PutSub gives the field part of a leaf, counted from its start. The leaf
// must be of kind String or Escaped, and the part must not cut an escape.
func (s *State) PutSub(f event.Field, l event.Leaf, start, end int) {
	l.End = l.Start + uint32(end)
	l.Start += uint32(start)
	s.Doc.PutLeaf(f, l)
}

// Has says whether the document has the field of that name.
func (s *State) Has(name string) bool {
	f, ok := s.table.Layout.Field(name)
	return ok && s.Doc.Has(f)
}

// Elements starts to walk the array that the leaf is.
func (s *State) Elements(l event.Leaf) *event.Elements {
	s.elements.Reset(s.Line, int(l.Start))
	return &s.elements
}

// AppendRest appends what was not mapped, nested as it was in the line,
// without the braces of the outermost object.
func (s *State) AppendRest(dst []byte) []byte {
	return s.parser.AppendMembers(dst, s.Line, s.Rest)
}

// AppendLeaves appends those leaves of the line that keep says, as AppendRest
// does. A name that repeats gives an array of its values.
func (s *State) AppendLeaves(dst []byte, keep func(event.Leaf) bool) []byte {
	s.Rest = s.Rest[:0]
	for _, l := range s.leaves {
		if keep(l) {
			s.Rest = append(s.Rest, l)
		}
	}
	return s.AppendRest(dst)
}

// finishRelated fills the fields of related.*.
func (s *State) finishRelated() {
	for set := IPs; set < relatedSets; set++ {
		if l := &s.related[set]; l.Len() > 0 {
			start := len(s.Doc.Side)
			s.Doc.Side = l.AppendArray(s.Doc.Side)
			s.Doc.Put(s.table.related[set], start, false)
		}
	}
}
