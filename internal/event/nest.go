package event

// nest validates a value of any depth without recursion. It remembers for
// each level whether it is an object, one bit a level. The zero value is
// ready; it may be used again but not concurrently.
type nest struct {
	bits [MaxDepth/64 + 1]uint64
	// repair says that a string on the way was [Broken].
	repair bool
}

func (n *nest) set(depth int, object bool) {
	if object {
		n.bits[depth>>6] |= 1 << (depth & 63)
	} else {
		n.bits[depth>>6] &^= 1 << (depth & 63)
	}
}

func (n *nest) object(depth int) bool { return n.bits[depth>>6]>>(depth&63)&1 == 1 }

// skip scans the object or array that starts at i, itself nested in outer
// others, and returns the index behind it.
func (n *nest) skip(b []byte, i, outer int) (end int, why reason) {
	depth := 0
	opened := true // an object or array was just opened at i
	n.repair = false
	for {
		if opened {
			if depth++; outer+depth > MaxDepth {
				return i, errDepth
			}
			n.set(depth, b[i] == '{')
			if i = skipSpace(b, i+1); i >= len(b) {
				return i, errEnd
			}
		}
		if !opened || b[i] != '}' && b[i] != ']' || n.object(depth) != (b[i] == '}') {
			if i, opened, why = n.member(b, i, depth); why != 0 {
				return i, why
			}
			if opened {
				continue
			}
		}
		if i, depth, why = n.close(b, i, depth); why != 0 || depth == 0 {
			return i, why
		}
		opened = false
	}
}

// member scans a name, if the level is an object's, and a value or the
// opening of one.
func (n *nest) member(b []byte, i, depth int) (next int, opened bool, why reason) {
	if n.object(depth) {
		if b[i] != '"' {
			return i, false, errName
		}
		var kind Kind
		if i, kind, why = scanString(b, i+1); why != 0 {
			return i, false, why
		}
		n.repair = n.repair || kind == Broken
		if i, why = colon(b, i+1); why != 0 {
			return i, false, why
		}
	}
	if b[i] == '{' || b[i] == '[' {
		return i, true, 0
	}
	v, next, why := scanScalar(b, i)
	n.repair = n.repair || v.kind == Broken
	if why != 0 {
		next = v.end
	}
	return next, false, why
}

// close goes behind a value: over the ends of what it was the last of, and
// over the comma before the next.
func (n *nest) close(b []byte, i, depth int) (next, left int, why reason) {
	for {
		if i = skipSpace(b, i); i >= len(b) {
			return i, depth, errEnd
		}
		switch c := b[i]; {
		case c == ',':
			if i = skipSpace(b, i+1); i >= len(b) {
				return i, depth, errEnd
			}
			return i, depth, 0
		case c == '}' && n.object(depth), c == ']' && !n.object(depth):
			i++
			if depth--; depth == 0 {
				return i, 0, 0
			}
		default:
			return i, depth, errComma
		}
	}
}

// colon goes over the colon behind a name to the first byte of the value.
func colon(b []byte, i int) (next int, why reason) {
	if i = skipSpace(b, i); i >= len(b) {
		return i, errEnd
	}
	if b[i] != ':' {
		return i, errColon
	}
	if i = skipSpace(b, i+1); i >= len(b) {
		return i, errEnd
	}
	return i, 0
}
