package event

import "errors"

// ErrTooManyFields is returned for an object that has more leaves, or more
// names never met before, than a parser takes.
var ErrTooManyFields = errors.New("more than 16384 fields")

// Leaf is a value in an object: its path and where in the bytes it stands,
// for a string without its quotes. An array is one leaf, and so is an empty
// object or one deeper than 64 levels.
type Leaf struct {
	Path       Path
	Start, End uint32
	Kind       Kind
	Repair     bool // an array or object with a [Broken] string in it
}

// Bytes returns the leaf's bytes in the object it was parsed from.
func (l Leaf) Bytes(doc []byte) []byte { return doc[l.Start:l.End] }

// Parser reads objects as lists of leaves whose paths it interns, and
// remembers at most some thousands beside those it was made with. It must not
// be used concurrently.
type Parser struct {
	paths   *paths
	leaves  []Leaf
	nest    nest
	seen    uint32
	repeats bool
	open    [pathDepth + 1]Path
}

// NewParser returns a parser that has met no path yet.
func NewParser() *Parser { return &Parser{paths: newPaths()} }

// Path returns the number of a dotted path, which the parser then never
// forgets. To be called before the first Parse: the same calls in the same
// order give the same numbers in every parser.
func (p *Parser) Path(dotted string) Path { return p.paths.fix(dotted) }

// Name is Path for a name at the top that may have dots in it.
func (p *Parser) Name(name string) Path { return p.paths.fixName(name) }

// Fixed returns a number that every path asked for by [Parser.Path] is less
// than, and no path learned from an object is.
func (p *Parser) Fixed() int { return p.paths.fixed }

// Under says whether path is at or below top.
func (p *Parser) Under(path, top Path) bool {
	for path > top {
		path = p.paths.nodes[path].parent
	}
	return path == top
}

// Repeats says whether a name repeated in the object parsed last.
func (p *Parser) Repeats() bool { return p.repeats }

// Parse reads one object and returns its leaves in order, valid until the
// next call. The bytes are accepted if encoding/json accepts them, else the
// error is a [SyntaxError]; or the object has [ErrTooManyFields].
func (p *Parser) Parse(doc []byte) ([]Leaf, error) {
	p.paths.forget()
	p.leaves, p.repeats = p.leaves[:0], false
	if p.seen++; p.seen == 0 {
		p.seen = 1
		for i := range p.paths.nodes {
			p.paths.nodes[i].seen = 0
		}
	}
	i := skipSpace(doc, 0)
	if i >= len(doc) || doc[i] != '{' {
		return nil, syntaxError(i, errObject)
	}
	i, err := p.object(doc, i)
	if err != nil {
		return nil, err
	}
	if i = skipSpace(doc, i); i < len(doc) {
		return nil, syntaxError(i, errTrailing)
	}
	return p.leaves, nil
}

// object reads the object at i with all that is in it, and returns the index
// behind it.
func (p *Parser) object(b []byte, i int) (int, error) {
	if i = skipSpace(b, i+1); i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	depth, limit := 0, len(p.paths.nodes)+eventPaths
	parent, last := root, root
	for {
		path, next, why := p.name(b, i, parent, last)
		if why != 0 {
			return i, syntaxError(next, why)
		}
		if i, last = next, path; p.paths.nodes[path].seen == p.seen {
			p.repeats = true
		}
		p.paths.nodes[path].seen = p.seen
		if b[i] == '{' && depth+1 < pathDepth {
			open := i
			if i = skipSpace(b, i+1); i >= len(b) || b[i] != '}' {
				depth++
				parent = path
				p.open[depth] = path
				continue
			}
			i++
			p.add(path, span{open, i, Object})
		} else if next, why = p.value(b, i, depth+1, path); why != 0 {
			return i, syntaxError(next, why)
		} else {
			i = next
		}
		if len(p.leaves) > eventPaths || len(p.paths.nodes) > limit {
			return i, ErrTooManyFields
		}
		if i+1 < len(b) && b[i] == ',' && b[i+1] == '"' {
			i++
			continue
		}
		if i, depth, why = ends(b, i, depth); why != 0 {
			return i, syntaxError(i, why)
		}
		if depth < 0 {
			return i, nil
		}
		parent = p.open[depth]
	}
}

// ends goes from behind a value over the ends of the objects it was the last
// in to the next name; left is how deep that is, less than 0 behind the last
// object.
func ends(b []byte, i, depth int) (next, left int, why reason) {
	for {
		if i = skipSpace(b, i); i >= len(b) {
			return i, depth, errEnd
		}
		switch b[i] {
		case ',':
			return skipSpace(b, i+1), depth, 0
		case '}':
			i++
			if depth--; depth < 0 {
				return i, depth, 0
			}
		default:
			return i, depth, errComma
		}
	}
}

// name reads the name at i and its colon, and returns its path and the index
// of the value.
func (p *Parser) name(b []byte, i int, parent, last Path) (path Path, next int, why reason) {
	for _, guess := range p.paths.nodes[last].next {
		if guess == none {
			break
		}
		n := &p.paths.nodes[guess]
		if end := i + len(n.quoted); n.parent == parent && end < len(b) && string(b[i:end]) == n.quoted {
			if b[end] <= ' ' {
				if end = skipSpace(b, end); end >= len(b) {
					return 0, end, errEnd
				}
			}
			return guess, end, 0
		}
	}
	if i >= len(b) {
		return 0, i, errEnd
	}
	if b[i] != '"' {
		return 0, i, errName
	}
	end, kind, why := scanString(b, i+1)
	if why != 0 {
		return 0, end, why
	}
	path = p.paths.child(parent, b[i+1:end], kind)
	before := &p.paths.nodes[last]
	before.next = [2]Path{path, before.next[0]}
	next, why = colon(b, end+1)
	return path, next, why
}

// value reads the value at i as one leaf.
func (p *Parser) value(b []byte, i, depth int, path Path) (next int, why reason) {
	if b[i] == '[' || b[i] == '{' {
		kind := Array
		if b[i] == '{' {
			kind = Object
		}
		end, why := p.nest.skip(b, i, depth)
		if why == 0 {
			p.add(path, span{i, end, kind})
			p.leaves[len(p.leaves)-1].Repair = p.nest.repair
		}
		return end, why
	}
	if b[i] == '"' {
		end, kind, why := scanString(b, i+1)
		if why != 0 {
			return end, why
		}
		p.add(path, span{i + 1, end, kind})
		return end + 1, 0
	}
	v, next, why := scanScalar(b, i)
	if why != 0 {
		return v.end, why
	}
	p.add(path, v)
	return next, 0
}

func (p *Parser) add(path Path, v span) {
	p.leaves = append(p.leaves, Leaf{Path: path, Start: uint32(v.start), End: uint32(v.end), Kind: v.kind})
}
