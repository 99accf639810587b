package event

// Elements walks the elements of an array that the scanner accepted. The zero
// value is an array at its end; it must not be used concurrently.
type Elements struct {
	doc  []byte
	at   int
	nest nest
}

// Reset starts at the first element of the array that begins at the index of
// doc.
func (e *Elements) Reset(doc []byte, start int) {
	e.doc, e.at = doc, skipSpace(doc, start+1)
}

// Next returns the next element, its place counted in doc and its Path unset.
func (e *Elements) Next() (Leaf, bool) {
	b := e.doc
	if e.at >= len(b) || b[e.at] == ']' {
		return Leaf{}, false
	}
	v, next := span{start: e.at, kind: Array}, 0
	if c := b[e.at]; c == '[' || c == '{' {
		if c == '{' {
			v.kind = Object
		}
		next, _ = e.nest.skip(b, e.at, 0)
		v.end = next
	} else {
		e.nest.repair = false
		v, next, _ = scanScalar(b, e.at)
	}
	if e.at = skipSpace(b, next); e.at < len(b) && b[e.at] == ',' {
		e.at = skipSpace(b, e.at+1)
	}
	return Leaf{Start: uint32(v.start), End: uint32(v.end), Kind: v.kind, Repair: e.nest.repair}, true
}
