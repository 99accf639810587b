package event

import "bytes"

// flattenDepth is how deep [Flattener] goes down into objects; what lies
// deeper is given whole, as one value of kind [Object].
const flattenDepth = 64

// Flattener walks JSON documents and gives their leaves one by one. It keeps
// its buffers, so walking allocates nothing once they have grown. The zero
// value is ready; it must not be used concurrently.
type Flattener struct {
	path, text []byte
	nest       nest
	ambiguous  bool
}

// Ambiguous reports whether a name in the last document was empty or had a dot
// of its own, so that the paths do not tell how the document was nested.
func (f *Flattener) Ambiguous() bool { return f.ambiguous }

// Flatten calls fn for each leaf of the object doc in the order of the
// document. path is the names from the top joined by dots. value is the text
// of a string (kind String, escapes resolved), and of anything else its JSON
// as it stands: numbers verbatim, an array whole, an object only when it is
// empty or deeper than 64 levels. A name that repeats is given each time.
// Both slices are valid until fn returns. fn may stop the walk with an error,
// which Flatten returns; a document that is no object or not JSON (as
// encoding/json judges it) gives a [SyntaxError], leaves before it having been
// given.
func (f *Flattener) Flatten(doc []byte, fn func(path, value []byte, kind Kind) error) error {
	i := skipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '{' {
		return syntaxError(i, errObject)
	}
	f.path = f.path[:0]
	f.ambiguous = false
	i, err := f.object(doc, i, 1, fn)
	if err != nil {
		return err
	}
	if i = skipSpace(doc, i); i < len(doc) {
		return syntaxError(i, errTrailing)
	}
	return nil
}

// object walks the object that starts at i and returns the index behind it.
func (f *Flattener) object(b []byte, i, depth int, fn func(path, value []byte, kind Kind) error) (int, error) {
	open := i
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		if depth > 1 {
			return i + 1, fn(f.path, b[open:i+1], Object)
		}
		return i + 1, nil
	}
	outer := len(f.path)
	for {
		if i >= len(b) {
			return i, syntaxError(i, errEnd)
		}
		if b[i] != '"' {
			return i, syntaxError(i, errName)
		}
		end, kind, why := scanString(b, i+1)
		if why != 0 {
			return i, syntaxError(end, why)
		}
		f.push(b[i+1:end], kind, depth)
		if i, why = colon(b, end+1); why != 0 {
			return i, syntaxError(i, why)
		}
		var err error
		if i, err = f.value(b, i, depth, fn); err != nil {
			return i, err
		}
		f.path = f.path[:outer]
		if i = skipSpace(b, i); i >= len(b) {
			return i, syntaxError(i, errEnd)
		}
		switch b[i] {
		case '}':
			return i + 1, nil
		case ',':
			i = skipSpace(b, i+1)
		default:
			return i, syntaxError(i, errComma)
		}
	}
}

func (f *Flattener) push(name []byte, kind Kind, depth int) {
	if depth > 1 {
		f.path = append(f.path, '.')
	}
	start := len(f.path)
	if kind == String {
		f.path = append(f.path, name...)
	} else {
		f.path = AppendText(f.path, name)
	}
	if name := f.path[start:]; len(name) == 0 || bytes.IndexByte(name, '.') >= 0 {
		f.ambiguous = true
	}
}

func (f *Flattener) value(b []byte, i, depth int, fn func(path, value []byte, kind Kind) error) (int, error) {
	switch c := b[i]; {
	case c == '{' && depth < flattenDepth:
		return f.object(b, i, depth+1, fn)
	case c == '{' || c == '[':
		end, why := f.nest.skip(b, i, depth)
		if why != 0 {
			return i, syntaxError(end, why)
		}
		v := b[i:end]
		if f.nest.repair {
			f.text = AppendRepaired(f.text[:0], v)
			v = f.text
		}
		kind := Array
		if c == '{' {
			kind = Object
		}
		return end, fn(f.path, v, kind)
	}
	v, next, why := scanScalar(b, i)
	if why != 0 {
		return i, syntaxError(v.end, why)
	}
	text := b[v.start:v.end]
	if v.kind == Escaped || v.kind == Broken {
		f.text = AppendText(f.text[:0], text)
		text, v.kind = f.text, String
	}
	return next, fn(f.path, text, v.kind)
}
