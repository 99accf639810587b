package detect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Event is an event as a detector sees it: the values of the fields that the
// detector named. It is valid until Detect returns.
type Event struct {
	r     *reader
	first int // of the detector's fields among all
}

// Text returns the text of the i-th of the detector's fields, nil without it;
// of what is no string the JSON, of a string with escapes what it says.
func (e Event) Text(i int) []byte {
	l := e.r.value(e.first + i)
	raw := l.Bytes(e.r.doc)
	if l.Kind == event.Escaped || l.Kind == event.Broken {
		return event.AppendText(nil, raw)
	}
	if l.Kind == 0 {
		return nil
	}
	return raw
}

// String returns Text as a string.
func (e Event) String(i int) string { return string(e.Text(i)) }

// Int returns the i-th field as an integer, 0 where it is none.
func (e Event) Int(i int) int64 {
	n, err := strconv.ParseInt(string(e.Text(i)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// Strings returns the elements of the i-th field that are strings, or the one
// string that it is.
func (e Event) Strings(i int) (out []string) {
	l := e.r.value(e.first + i)
	if l.Kind.IsString() {
		return []string{e.String(i)}
	}
	if l.Kind != event.Array {
		return nil
	}
	e.r.elements.Reset(e.r.doc, int(l.Start))
	for v, ok := e.r.elements.Next(); ok; v, ok = e.r.elements.Next() {
		if v.Kind.IsString() {
			out = append(out, string(event.AppendText(nil, v.Bytes(e.r.doc))))
		}
	}
	return out
}

// reader reads events for all detectors at once.
type reader struct {
	parser   *event.Parser
	doc      []byte
	leaves   []event.Leaf
	fields   []event.Path // of each field; two detectors may want the same
	values   []event.Leaf // by path
	elements event.Elements
	names    []string // of the objects copied
	copied   []event.Path
	kept     []event.Leaf
}

// newReader returns a reader of the fields, and of the objects that an alert
// takes over whole.
func newReader(fields, copied []string) *reader {
	r := &reader{parser: event.NewParser()}
	for _, f := range fields {
		r.fields = append(r.fields, r.parser.Path(f))
	}
	r.names = copied
	for _, c := range copied {
		r.copied = append(r.copied, r.parser.Path(c))
	}
	r.values = make([]event.Leaf, r.parser.Fixed())
	return r
}

// value returns the leaf of a field, of kind 0 without it.
func (r *reader) value(field int) event.Leaf { return r.values[r.fields[field]] }

func (r *reader) read(doc []byte) error {
	clear(r.values)
	r.doc = doc
	var err error
	if r.leaves, err = r.parser.Parse(doc); err != nil {
		return err
	}
	for _, l := range r.leaves {
		if int(l.Path) < len(r.values) {
			r.values[l.Path] = l
		}
	}
	return nil
}

// release lets go of the event's bytes.
func (r *reader) release() {
	r.doc = nil
	r.elements.Reset(nil, 0)
}

// objectRule is the object of an event that a finding may have of its own.
const objectRule = "rule"

// appendCopied appends the objects that an alert takes over, but for the one
// named, as members.
func (r *reader) appendCopied(dst []byte, but string) []byte {
	r.kept = r.kept[:0]
	for _, l := range r.leaves {
		for i, c := range r.copied {
			if r.names[i] != but && r.parser.Under(l.Path, c) {
				r.kept = append(r.kept, l)
				break
			}
		}
	}
	return r.parser.AppendMembers(dst, r.doc, r.kept)
}

// object returns one of the objects that an alert takes over, empty without it.
func (r *reader) object(name string) (map[string]any, error) {
	r.kept = r.kept[:0]
	path := r.copied[slices.Index(r.names, name)]
	for _, l := range r.leaves {
		if r.parser.Under(l.Path, path) {
			r.kept = append(r.kept, l)
		}
	}
	text := append(r.parser.AppendMembers([]byte{'{'}, r.doc, r.kept), '}')
	var outer map[string]json.RawMessage
	object := map[string]any{}
	err := json.Unmarshal(text, &outer)
	if inner, there := outer[name]; err == nil && there {
		d := json.NewDecoder(bytes.NewReader(inner))
		d.UseNumber()
		err = d.Decode(&object)
	}
	if err != nil {
		return nil, fault.NewPermanent(codeEventInvalid, fmt.Errorf("reading the object %s of an event: %w", name, err))
	}
	return object, nil
}
