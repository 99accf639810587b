package vlogs

import (
	"bytes"
	"errors"
	"fmt"
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

	fields []field // module and dataset first, then as they come
	arena  []byte  // the values' bytes, of this document and those before it
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

// slots before the first column.
const (
	slotModule = iota
	slotDataset
	slots
)

// reset forgets all rows that were built: their values must not be used any
// more.
func (b *rowBuilder) reset() { b.arena = b.arena[:0] }

// build returns the columns of a document. They and their values are valid
// until the next build and reset. The error is the document's own fault.
func (b *rowBuilder) build(doc *store.Doc) ([]field, error) {
	b.doc, b.hasID, b.irregular = doc, false, false
	b.fields = append(b.fields[:0],
		field{Name: "event.module"}, field{Name: "event.dataset"})
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
		b.column("event.id", doc.ID)
	}
	if len(b.fold) > 0 {
		b.column(colFold, b.keep(b.fold))
	}
	if len(b.hints) > 0 {
		b.column(colHints, b.keep(b.hints))
	}
	if b.irregular || b.flat.Ambiguous() {
		b.column(colSource, b.keep(doc.JSON))
	}
	return b.fields, b.check()
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

func (b *rowBuilder) column(name, value string) {
	b.fields = append(b.fields, field{Name: name, Value: value})
}

func (b *rowBuilder) leaf(path, value []byte, kind event.Kind) error {
	n, again := b.names.find(path)
	switch {
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
	case n.text == "event.module" && kind == event.String && len(value) > 0 && !looksTyped(view(value)):
		b.fields[slotModule].Value = b.text(value)
		return nil
	case n.text == "event.dataset" && kind == event.String && len(value) > 0 && !looksTyped(view(value)):
		b.fields[slotDataset].Value = b.text(value)
		return nil
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
		b.column(n.text, b.keep(value))
	case event.String:
		if len(value) == 0 {
			b.hint(hintEmpty, n.text)
			break
		}
		if looksTyped(view(value)) {
			b.hint(hintString, n.text)
		}
		b.column(n.text, b.text(value))
	default:
		b.column(n.text, b.keep(value))
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
