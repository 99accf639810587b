package event

import (
	"errors"
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
	names  []string
	text   []byte // all that fields are opened with, and slack
	widest int    // the longest of it
	byName map[string]Field
}

// fieldDepth is how many objects a field may lie in.
const fieldDepth = 7

// field is one name with the objects it lies in, shaped for the writer's loop:
// no pointers, one cache line or two.
type field struct {
	// above is the numbers of the objects, the outermost in the lowest byte:
	// how many two fields share is how many bytes are equal from there.
	above uint64
	depth uint8
	// open[n] is where in the layout's text stands what to write when the
	// first n objects are open already: "b":{"c":" with the quote that only a
	// string needs.
	open [fieldDepth + 1]piece
}

type piece struct {
	start  uint32
	length uint16
}

// NewLayout compiles dotted names. A name that is at once a field and an
// object with fields is an error, and so are more than 255 objects and names of
// more than eight parts.
func NewLayout(names []string) (*Layout, error) {
	// Sorted by the names between the dots: "a-b" is not between "a" and "a.c".
	sorted := slices.SortedFunc(slices.Values(names), func(a, b string) int {
		return slices.Compare(strings.Split(a, "."), strings.Split(b, "."))
	})
	l := &Layout{names: slices.Compact(sorted)}
	l.byName = make(map[string]Field, len(l.names))
	objects := map[string]int{}
	for _, name := range l.names {
		f, err := l.compile(name, objects)
		if err != nil {
			return nil, fmt.Errorf("laying out fields: %w", err)
		}
		l.byName[name] = Field(len(l.fields))
		l.fields = append(l.fields, f)
	}
	l.text = append(l.text, make([]byte, chunk)...)
	return l, nil
}

func (l *Layout) compile(name string, objects map[string]int) (f field, err error) {
	parts := strings.Split(name, ".")
	if len(parts) > fieldDepth+1 {
		return f, fmt.Errorf("%s has too many parts", name)
	}
	f.depth = uint8(len(parts) - 1)
	for n := range parts {
		if n > 0 {
			object := strings.Join(parts[:n], ".")
			if _, taken := l.byName[object]; taken {
				return f, fmt.Errorf("%s is a field and holds %s", object, name)
			}
			if _, ok := objects[object]; !ok {
				objects[object] = len(objects) + 1
			}
			if objects[object] > 255 {
				return f, errors.New("too many objects")
			}
			f.above |= uint64(objects[object]) << (8 * (n - 1))
		}
		start := len(l.text)
		for i, part := range parts[n:] {
			if i > 0 {
				l.text = append(l.text, '{')
			}
			l.text = append(AppendString(l.text, []byte(part)), ':')
		}
		l.text = append(l.text, '"')
		l.widest = max(l.widest, len(l.text)-start)
		f.open[n] = piece{uint32(start), uint16(len(l.text) - start)}
	}
	return f, nil
}

// Field returns the field of a dotted name the layout was made with.
func (l *Layout) Field(name string) (Field, bool) {
	f, ok := l.byName[name]
	return f, ok
}

// Name returns the dotted name of a field.
func (l *Layout) Name(f Field) string { return l.names[f] }

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
	quotes     uint8 // 1 for a string, whose quotes are not among its bytes
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
	v := value{start: l.Start, end: l.End, buf: bufInput}
	if l.Kind.IsString() {
		v.quotes = 1
	}
	d.put(f, v)
}

// PutText gives the field a string or number of the input as a string.
func (d *Doc) PutText(f Field, l Leaf) {
	d.PutLeaf(f, l)
	d.values[f].quotes = 1
}

// PutConstant gives the field JSON that stands between two indexes of the
// constants.
func (d *Doc) PutConstant(f Field, start, end int) {
	d.put(f, value{start: uint32(start), end: uint32(end), buf: bufConstants})
}

// Put gives the field what was appended to Side since it had the length
// start: JSON, or when quoted is true the inside of a JSON string.
func (d *Doc) Put(f Field, start int, quoted bool) {
	v := value{start: uint32(start), end: uint32(len(d.Side)), buf: bufSide}
	if quoted {
		v.quotes = 1
	}
	d.put(f, v)
}

// AppendMembers appends the document's fields, sorted, as the members of one
// nested object, without the braces of the outermost.
func (d *Doc) AppendMembers(dst []byte) []byte {
	from := [...][]byte{bufInput: d.from[bufInput], bufConstants: d.from[bufConstants], bufSide: d.Side}
	text, fields, values := d.layout.text, d.layout.fields, d.values
	var above uint64
	depth, comma := 0, 0
	n := len(dst)
	dst = dst[:cap(dst)]
	for w, word := range d.set {
		for ; word != 0; word &= word - 1 {
			at := w<<6 | bits.TrailingZeros64(word)
			f, v := &fields[at], values[at]
			common := min(bits.TrailingZeros64(f.above^above)>>3, depth, int(f.depth))
			if need := fieldDepth + int(v.end-v.start) + 2*chunk + d.layout.widest; n+need > len(dst) {
				dst = room(dst, n, need)
			}
			for ; depth > common; depth-- {
				dst[n] = '}'
				n++
			}
			above, depth = f.above, int(f.depth)
			dst[n] = ','
			n += comma
			comma = 1
			open := f.open[common&fieldDepth]
			start := int(open.start)
			n = put(dst, n, text, start, start+int(open.length)) - 1 + int(v.quotes)
			n = put(dst, n, from[v.buf], int(v.start), int(v.end))
			dst[n] = '"'
			n += int(v.quotes)
		}
	}
	dst = dst[:n]
	for ; depth > 0; depth-- {
		dst = append(dst, '}')
	}
	return dst
}
