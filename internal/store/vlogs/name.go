package vlogs

import "strings"

// Columns of the store's own. They begin with an underscore and are hidden
// from queries and answers.
const (
	colTime   = "_time"
	colFold   = "_fold"   // lower-case copies of values with capitals, one a line
	colHints  = "_types"  // what the values alone do not say: see hint
	colSource = "_source" // the document as it was, where the columns do not say how it was nested
)

// Limits of the library (logstorage/consts.go): what is beyond, it drops.
const (
	maxFields    = 2000
	maxNameBytes = 128
	maxRowBytes  = 2 << 20
)

// name is a field's name, kept once for all documents that have it.
type name struct {
	id       uint32 // among the names kept
	text     string
	reserved bool // means something else to the library or to this package
	tooLong  bool
	seen     uint64 // the last document that has it
}

// maxNames bounds the names that are kept: beyond, a sender invents them.
const maxNames = 20_000

// names finds the kept form of a name. Documents of one kind have the same
// names in the same order, so the name at the same place of the one before is
// tried first.
type names struct {
	known map[string]*name
	ids   uint32
	last  []*name // of the document before, overwritten as this one goes on
	at    int
	doc   uint64
}

// next begins a document.
func (n *names) next() {
	n.doc++
	n.at = 0
	if n.known == nil || len(n.known) > maxNames {
		n.known = map[string]*name{}
		n.last = n.last[:0]
	}
}

// find returns the name, and whether this document had it before.
func (n *names) find(path []byte) (_ *name, again bool) {
	var f *name
	if n.at < len(n.last) && n.last[n.at].text == string(path) {
		f = n.last[n.at]
	} else {
		if f = n.known[string(path)]; f == nil {
			f = n.add(string(path))
		}
		if n.at < len(n.last) {
			n.last[n.at] = f
		} else {
			n.last = append(n.last, f)
		}
	}
	n.at++
	again = f.seen == n.doc
	f.seen = n.doc
	return f, again
}

func (n *names) add(text string) *name {
	n.ids++
	f := &name{id: n.ids, text: text, reserved: isReserved(text), tooLong: len(text) > maxNameBytes}
	n.known[text] = f
	return f
}

func isReserved(text string) bool {
	switch text {
	case "", "_msg", colTime, "_stream", "_stream_id", colFold, colHints, colSource:
		return true
	}
	return strings.HasSuffix(text, "*") // the library's way to name many
}
