package event

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Field is a field of a [Layout], as a number.
type Field int

// Layout is the set of fields that documents of one kind may have, compiled
// for writing: sorted, so that the fields of one object are neighbours. It
// never changes and may be shared.
type Layout struct {
	fields []field
	byName map[string]Field
}

// field is one name with the objects it lies in. open[n] is what to write
// when the first n of them are open already: "b":{"c":
type field struct {
	name  string
	above []int // the objects it lies in, each a number
	open  []string
}

// NewLayout compiles dotted names. A name that is at once a field and an
// object with fields is an error.
func NewLayout(names []string) (*Layout, error) {
	// Sorted by the names between the dots: "a-b" is not between "a" and "a.c".
	sorted := slices.SortedFunc(slices.Values(names), func(a, b string) int {
		return slices.Compare(strings.Split(a, "."), strings.Split(b, "."))
	})
	sorted = slices.Compact(sorted)
	l := &Layout{byName: make(map[string]Field, len(sorted))}
	objects := map[string]int{}
	for _, name := range sorted {
		f := field{name: name}
		parts := strings.Split(name, ".")
		for n := range parts {
			if n > 0 {
				object := strings.Join(parts[:n], ".")
				if _, taken := l.byName[object]; taken {
					return nil, fmt.Errorf("laying out fields: %s is a field and holds %s", object, name)
				}
				if _, ok := objects[object]; !ok {
					objects[object] = len(objects)
				}
				f.above = append(f.above, objects[object])
			}
			open := ""
			for i, part := range parts[n:] {
				if i > 0 {
					open += "{"
				}
				open += string(AppendString(nil, []byte(part))) + ":"
			}
			f.open = append(f.open, open)
		}
		l.byName[name] = Field(len(l.fields))
		l.fields = append(l.fields, f)
	}
	return l, nil
}

// Field returns the field of a dotted name the layout was made with.
func (l *Layout) Field(name string) (Field, bool) {
	f, ok := l.byName[name]
	return f, ok
}

// Name returns the dotted name of a field.
func (l *Layout) Name(f Field) string { return l.fields[f].name }

// Doc is a document being made: which fields of its layout it has, and where
// the bytes of each lie. Documents are meant to be used again; none may be
// used concurrently.
type Doc struct {
	// Side holds the bytes of values that stand neither in the input nor
	// among the constants. A value is appended to it, then given to Put.
	Side []byte

	layout *Layout
	set    []uint64
	values []value
	from   [2][]byte // the input, the constants
}

type value struct {
	start, end uint32
	buf        uint8
	quoted     bool
}

const (
	bufInput = iota
	bufConstants
	bufSide
)

// NewDoc returns an empty document of the layout. Constants are bytes that
// [Doc.PutConstant] refers to.
func NewDoc(l *Layout, constants []byte) *Doc {
	return &Doc{
		layout: l, set: make([]uint64, (len(l.fields)+63)/64), values: make([]value, len(l.fields)),
		from: [2][]byte{bufConstants: constants},
	}
}

// Reset empties the document and says which bytes its leaves will be of.
func (d *Doc) Reset(input []byte) {
	clear(d.set)
	d.Side = d.Side[:0]
	d.from[bufInput] = input
}

// Has says whether the document has the field.
func (d *Doc) Has(f Field) bool { return d.set[f>>6]>>(f&63)&1 == 1 }

// Drop takes the field out of the document.
func (d *Doc) Drop(f Field) { d.set[f>>6] &^= 1 << (f & 63) }

// Value returns the bytes of a field, nil if the document has it not: of a
// string what is between the quotes, with its escapes.
func (d *Doc) Value(f Field) []byte {
	if !d.Has(f) {
		return nil
	}
	return d.bytes(d.values[f])
}

func (d *Doc) bytes(v value) []byte {
	if v.buf == bufSide {
		return d.Side[v.start:v.end]
	}
	return d.from[v.buf][v.start:v.end]
}

func (d *Doc) put(f Field, v value) {
	d.set[f>>6] |= 1 << (f & 63)
	d.values[f] = v
}

// PutLeaf gives the field a leaf of the input, as it stands there.
func (d *Doc) PutLeaf(f Field, l Leaf) {
	if l.Kind == Broken || l.Repair {
		start := len(d.Side)
		d.Side = AppendRepaired(d.Side, d.from[bufInput][l.Start:l.End])
		d.Put(f, start, l.Kind == Broken)
		return
	}
	d.put(f, value{start: l.Start, end: l.End, buf: bufInput, quoted: l.Kind.IsString()})
}

// PutText gives the field a string or number of the input as a string.
func (d *Doc) PutText(f Field, l Leaf) {
	d.PutLeaf(f, l)
	d.values[f].quoted = true
}

// PutConstant gives the field JSON that stands between two indexes of the
// constants.
func (d *Doc) PutConstant(f Field, start, end int) {
	d.put(f, value{start: uint32(start), end: uint32(end), buf: bufConstants})
}

// Put gives the field what was appended to Side since it had the length
// start: JSON, or when quoted is true the inside of a JSON string.
func (d *Doc) Put(f Field, start int, quoted bool) {
	d.put(f, value{start: uint32(start), end: uint32(len(d.Side)), buf: bufSide, quoted: quoted})
}

// AppendMembers appends the document's fields, sorted, as the members of one
// nested object, without the braces of the outermost.
func (d *Doc) AppendMembers(dst []byte) []byte {
	var above []int
	first := true
	for w, word := range d.set {
		for ; word != 0; word &= word - 1 {
			at := w<<6 | bits.TrailingZeros64(word)
			f := &d.layout.fields[at]
			common := 0
			for common < len(above) && common < len(f.above) && above[common] == f.above[common] {
				common++
			}
			for n := len(above); n > common; n-- {
				dst = append(dst, '}')
			}
			if !first {
				dst = append(dst, ',')
			}
			first = false
			above = f.above
			dst = append(dst, f.open[common]...)
			v := d.values[at]
			if v.quoted {
				dst = append(append(append(dst, '"'), d.bytes(v)...), '"')
			} else {
				dst = append(dst, d.bytes(v)...)
			}
		}
	}
	for range above {
		dst = append(dst, '}')
	}
	return dst
}
