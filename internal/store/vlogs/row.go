package vlogs

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

// rowBuilder makes the columns of a document. Each leaf becomes one, named by
// its path; an array is one column with its JSON, so that its elements are
// found by the words in it. An array of objects is one too, and beside it
// stand columns with what its objects have under one name, which are only
// searched and not given back.
//
// A builder keeps its buffers, so that building allocates nothing once they
// have grown. It must not be used concurrently.
type rowBuilder struct {
	flat, leaves event.Flattener
	inner        elements
	names        names

	fields []field             // in the order of the document
	shape  []uint32            // the names' ids
	sorted map[uint64][]uint16 // by shape: where each column goes, by name
	out    []field
	stream [2]string // module and dataset
	arena  []byte    // the values' bytes, of this document and those before it
	fold   []byte
	hints  []byte
	lists  []list

	doc       *store.Doc
	hasID     bool
	irregular bool // the columns do not say what the document was
}

// list collects what the objects of an array have under one name.
type list struct {
	name string
	json []byte
}

// field is a column of a row.
type field = logstorage.Field

// reset forgets all rows that were built: their values must not be used any
// more.
func (b *rowBuilder) reset() { b.arena = b.arena[:0] }

// build returns the columns of a document by name: the library has to sort
// them, and copies what is the same as in the row before. They are valid until
// the next build, their values until the next reset. The error is the
// document's own fault.
func (b *rowBuilder) build(doc *store.Doc) ([]field, error) {
	b.doc, b.hasID, b.irregular = doc, false, false
	b.fields, b.shape, b.stream = b.fields[:0], b.shape[:0], [2]string{}
	b.fold, b.hints = b.fold[:0], b.hints[:0]
	b.names.next()
	if err := b.flat.Flatten(doc.JSON, b.leaf); err != nil {
		if _, ok := errors.AsType[*event.SyntaxError](err); ok {
			return nil, fault.NewPermanent(store.CodeNotJSON, err)
		}
		return nil, err
	}
	if !b.hasID {
		if looksTyped(doc.ID) {
			b.hint(hintString, "event.id")
		}
		b.column(b.own("event.id"), doc.ID)
	}
	if len(b.fold) > 0 {
		b.column(b.own(colFold), b.keep(b.fold))
	}
	if len(b.hints) > 0 {
		b.column(b.own(colHints), b.keep(b.hints))
	}
	if b.irregular || b.flat.Ambiguous() {
		b.column(b.own(colSource), b.keep(doc.JSON))
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	return b.sort(), nil
}

// own is the name of a column that is not one of the document's leaves.
func (b *rowBuilder) own(text string) *name {
	if n := b.names.known[text]; n != nil {
		return n
	}
	return b.names.add(text)
}

const maxShapes = 1000

// sort puts the columns in the order of their names, which is worked out once
// for all documents with the same names.
func (b *rowBuilder) sort() []field {
	shape := uint64(14695981039346656037) // FNV-1a, over whole ids
	for _, id := range b.shape {
		shape = (shape ^ uint64(id)) * 1099511628211
	}
	order := b.sorted[shape]
	if len(order) != len(b.fields) {
		order = make([]uint16, len(b.fields))
		for i := range order {
			order[i] = uint16(i)
		}
		slices.SortFunc(order, func(i, j uint16) int { return strings.Compare(b.fields[i].Name, b.fields[j].Name) })
		if len(b.sorted) > maxShapes || b.sorted == nil {
			b.sorted = map[uint64][]uint16{}
		}
		b.sorted[shape] = order
	}
	b.out = b.out[:0]
	for _, i := range order {
		b.out = append(b.out, b.fields[i])
	}
	return b.out
}

// check refuses what the library would drop with no more than a line in its
// log.
func (b *rowBuilder) check() error {
	if len(b.fields) > maxFields {
		return fault.NewPermanent(store.CodeTooMany, fmt.Errorf("%d fields, more than %d", len(b.fields), maxFields))
	}
	if len(b.doc.JSON) < maxRowBytes/8 { // far from it, whatever is copied
		return nil
	}
	if n := logstorage.EstimatedJSONRowLen(b.fields); n > maxRowBytes {
		return fault.NewPermanent(store.CodeTooLarge, fmt.Errorf("%d bytes with what is kept for searching, more than %d", n, maxRowBytes))
	}
	return nil
}

// keep copies bytes to where they stay until reset.
func (b *rowBuilder) keep(v []byte) string {
	if len(v) == 0 {
		return ""
	}
	start := len(b.arena)
	b.arena = append(b.arena, v...)
	// The arena only grows until reset, and when it moves the old one stays for
	// those who point to it: the bytes do not change while the row is used.
	return unsafe.String(&b.arena[start], len(v))
}

// view is v as a string, for functions that do not keep it.
func view(v []byte) string { return unsafe.String(unsafe.SliceData(v), len(v)) }

func (b *rowBuilder) column(n *name, value string) {
	b.fields = append(b.fields, field{Name: n.text, Value: value})
	b.shape = append(b.shape, n.id)
}

func (b *rowBuilder) leaf(path, value []byte, kind event.Kind) error {
	n, again := b.names.find(path)
	switch {
	case b.names.at > maxFields: // before it costs more
		return fault.NewPermanent(store.CodeTooMany, fmt.Errorf("more than %d fields", maxFields))
	case n.tooLong:
		return fault.NewPermanent(store.CodeName, fmt.Errorf("a field's name has %d bytes, more than %d: %.40q…", len(path), maxNameBytes, path))
	case again || n.reserved:
		b.irregular = true
		b.words(value, kind)
		return nil
	case n.text == "@timestamp":
		b.timestamp(value, kind)
		return nil
	case n.text == "event" && kind != event.Object, strings.HasPrefix(n.text, "@timestamp."):
		b.irregular = true // has no room for what is added
	case n.text == "event.id":
		b.hasID = true
		if kind != event.String || string(value) != b.doc.ID {
			return fault.NewPermanent(store.CodeID, fmt.Errorf("event.id is %.60q in the document and %.60q beside it", value, b.doc.ID))
		}
	}
	switch kind {
	case event.Null:
		b.hint(hintNull, n.text)
	case event.Array:
		return b.array(n, value)
	case event.Object:
		if len(value) == 2 || len(bytes.TrimSpace(value[1:len(value)-1])) == 0 {
			b.hint(hintObject, n.text)
			break
		}
		b.column(n, b.keep(value))
	case event.String:
		if len(value) == 0 {
			b.hint(hintEmpty, n.text)
			break
		}
		if looksTyped(view(value)) {
			b.hint(hintString, n.text)
		}
		text := b.text(value)
		b.column(n, text)
		switch n.text {
		case streamFields[0]:
			b.stream[0] = text
		case streamFields[1]:
			b.stream[1] = text
		}
	default:
		b.column(n, b.keep(value))
	}
	return nil
}

// text keeps a string's value, and notes its lower-case form where it differs.
func (b *rowBuilder) text(v []byte) string {
	b.foldLine(v)
	return b.keep(v)
}

func (b *rowBuilder) foldLine(v []byte) {
	if hasCapitals(v) && store.FoldsCase(view(v)) {
		b.line(v)
	}
}

func (b *rowBuilder) line(v []byte) {
	if len(b.fold) > 0 {
		b.fold = append(b.fold, '\n')
	}
	b.fold = appendLower(b.fold, v)
}

// words makes a value that has no column of its own searchable in any field.
func (b *rowBuilder) words(v []byte, kind event.Kind) {
	switch kind {
	case event.Null, event.Object:
	case event.Array:
		b.foldElements(v, 0)
	default:
		b.line(v)
	}
}

// hasCapitals says whether lower case may differ. Beyond ASCII it may.
func hasCapitals(v []byte) bool {
	for _, c := range v {
		if c >= 'A' && c <= 'Z' || c >= utf8.RuneSelf {
			return true
		}
	}
	return false
}

func appendLower(dst, v []byte) []byte {
	for i, c := range v {
		if c >= utf8.RuneSelf {
			return append(dst, bytes.ToLower(v[i:])...)
		}
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// timestamp keeps how @timestamp was written, unless it was in the shortest
// way; the time itself is the row's.
func (b *rowBuilder) timestamp(v []byte, kind event.Kind) {
	var buf [len(time.RFC3339Nano) + 8]byte
	t := b.doc.Time.UTC()
	if kind == event.String {
		if bytes.Equal(v, t.AppendFormat(buf[:0], time.RFC3339Nano)) {
			return
		}
		for digits, layout := range timeLayouts {
			if len(v) == len(layout) && bytes.Equal(v, t.AppendFormat(buf[:0], layout)) {
				b.hint(hintDigits, string(rune('0'+digits)))
				return
			}
		}
	}
	b.irregular = true // not the time it came with, or written in another way
}

// timeLayouts are RFC 3339 in UTC with a fixed number of digits of a second.
var timeLayouts = [10]string{
	"2006-01-02T15:04:05Z", "2006-01-02T15:04:05.0Z", "2006-01-02T15:04:05.00Z", "2006-01-02T15:04:05.000Z",
	"2006-01-02T15:04:05.0000Z", "2006-01-02T15:04:05.00000Z", "2006-01-02T15:04:05.000000Z",
	"2006-01-02T15:04:05.0000000Z", "2006-01-02T15:04:05.00000000Z", "2006-01-02T15:04:05.000000000Z",
}
