package event

import (
	"hash/maphash"
	"strings"
)

// Path is a path from the top of an object to one of its values, as a number
// that a [Parser] gave it, always greater than that of the path above it. A
// path learned from an object keeps its number until the next Parse.
type Path int32

const (
	root Path = 0
	none Path = -1

	// learnedPaths is how many paths a parser remembers beside its own, and
	// eventPaths how many new ones, and how many leaves, one object may bring.
	learnedPaths = 8192
	eventPaths   = 16384
	// pathDepth is how many names a path has at most; deeper objects are
	// leaves.
	pathDepth = 64
)

// node is one name below another. next is the two paths that came after this
// one when it was last met, the newer first: events of one source have their
// names in the same order, so a comparison with the expected bytes mostly
// stands for finding the end of a name, its colon and its path.
type node struct {
	parent Path
	next   [2]Path
	depth  int32
	seen   uint32 // the object it was last met in
	quoted string // the name as JSON with its colon: "name":
}

// paths interns the names of objects as a tree.
type paths struct {
	nodes []node
	table []Path // open addressing; 0 is free, since nobody looks for the root
	seed  maphash.Seed
	fixed int // nodes that are never forgotten
	name  []byte
}

func newPaths() *paths {
	p := &paths{seed: maphash.MakeSeed(), nodes: []node{{parent: none, next: [2]Path{none, none}}}}
	p.rehash(0)
	return p
}

// fix returns the path of dotted names, never to be forgotten.
func (p *paths) fix(dotted string) Path {
	at := root
	for name := range strings.SplitSeq(dotted, ".") {
		at = p.child(at, []byte(name), String)
	}
	p.fixed = len(p.nodes)
	return at
}

// fixName is fix for one name, dots and all.
func (p *paths) fixName(name string) Path {
	at := p.child(root, []byte(name), String)
	p.fixed = len(p.nodes)
	return at
}

// child returns the path of the name below a path; raw is the name between
// its quotes.
func (p *paths) child(parent Path, raw []byte, kind Kind) Path {
	if kind != String {
		p.name = AppendText(p.name[:0], raw)
		text := len(p.name)
		p.name = AppendEscaped(p.name, p.name)
		raw = p.name[text:]
	}
	i := p.slot(parent, raw)
	for ; p.table[i] != 0; i = (i + 1) & (len(p.table) - 1) {
		n := &p.nodes[p.table[i]]
		if n.parent == parent && len(n.quoted) == len(raw)+3 && n.quoted[1:len(n.quoted)-2] == string(raw) {
			return p.table[i]
		}
	}
	id := Path(len(p.nodes))
	p.nodes = append(p.nodes, node{
		parent: parent, next: [2]Path{none, none}, depth: p.nodes[parent].depth + 1,
		quoted: `"` + string(raw) + `":`,
	})
	if p.table[i] = id; 2*len(p.nodes) > len(p.table) {
		p.rehash(2 * len(p.table))
	}
	return id
}

func (p *paths) slot(parent Path, raw []byte) int {
	h := maphash.Bytes(p.seed, raw) ^ uint64(parent)*0x9e3779b97f4a7c15
	return int(h>>32^h) & (len(p.table) - 1)
}

// rehash makes room for size entries and enters all nodes anew.
func (p *paths) rehash(size int) {
	n := 64
	for n < size {
		n *= 2
	}
	p.table = make([]Path, n)
	for id := 1; id < len(p.nodes); id++ {
		q := p.nodes[id].quoted
		i := p.slot(p.nodes[id].parent, []byte(q[1:len(q)-2]))
		for p.table[i] != 0 {
			i = (i + 1) & (n - 1)
		}
		p.table[i] = Path(id)
	}
}

// forget drops what was learned once it is too much, so that hostile names
// cost time and no memory.
func (p *paths) forget() {
	if len(p.nodes)-p.fixed <= learnedPaths {
		return
	}
	p.nodes = append([]node(nil), p.nodes[:p.fixed]...)
	for i := range p.nodes {
		for n, next := range p.nodes[i].next {
			if int(next) >= p.fixed {
				p.nodes[i].next[n] = none
			}
		}
	}
	p.rehash(2 * p.fixed)
}
