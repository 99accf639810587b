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

// Unwrap takes the object out of an object that has one member, an object too.
// ok is false for anything else.
func Unwrap(doc []byte) (name, object []byte, ok bool) {
	i := skipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '{' {
		return nil, nil, false
	}
	if i = skipSpace(doc, i+1); i >= len(doc) || doc[i] != '"' {
		return nil, nil, false
	}
	end, kind, why := scanString(doc, i+1)
	if why != 0 || kind != String {
		return nil, nil, false
	}
	name = doc[i+1 : end]
	if i, why = colon(doc, end+1); why != 0 || doc[i] != '{' {
		return nil, nil, false
	}
	// Most objects have more members: look for the end before validating all.
	last := len(doc) - 1
	for last > i && (doc[last] == ' ' || doc[last] == '\n' || doc[last] == '\t' || doc[last] == '\r') {
		last--
	}
	if doc[last] != '}' {
		return nil, nil, false
	}
	var n nest
	end, why = n.skip(doc, i, 1)
	if why != 0 || skipSpace(doc, end) != last {
		return nil, nil, false
	}
	return name, doc[i:end], true
}
