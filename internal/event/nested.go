package event

// AppendMembers appends the leaves, in the order Parse gave them, as the
// members of nested objects, without the braces of the outermost. Each value
// is as it stood, but for invalid UTF-8, which is repaired. A name that
// repeats gives one member with an array of all its values in their order.
func (p *Parser) AppendMembers(dst, doc []byte, leaves []Leaf) []byte {
	if len(leaves) == 0 {
		return dst
	}
	if p.repeats {
		return p.appendMerged(dst, doc, leaves)
	}
	nodes := p.paths.nodes
	depth := 0 // of the object that is open
	p.open[0] = root
	for i := range leaves {
		l := &leaves[i]
		parent := nodes[l.Path].parent
		if i > 0 && parent == p.open[depth] {
			dst = append(dst, ',')
		} else {
			dst, depth = p.descend(dst, parent, depth, i == 0)
		}
		dst = append(dst, nodes[l.Path].quoted...)
		// Escaped and plain strings stand in the document with their quotes.
		if l.Kind == String || l.Kind == Escaped {
			dst = append(dst, doc[l.Start-1:l.End+1]...)
		} else {
			dst = appendValue(dst, doc, *l)
		}
	}
	for ; depth > 0; depth-- {
		dst = append(dst, '}')
	}
	return dst
}

// descend closes objects until what is open holds parent, and opens those
// between, parent's last.
func (p *Parser) descend(dst []byte, parent Path, depth int, first bool) ([]byte, int) {
	nodes := p.paths.nodes
	want := int(nodes[parent].depth)
	var chain [pathDepth + 1]Path
	for at, d := parent, want; d >= 0; d-- {
		chain[d] = at
		at = nodes[at].parent
	}
	common := 0
	for common < depth && common < want && chain[common+1] == p.open[common+1] { //nolint:gosec // want is a path's depth, at most pathDepth
		common++
	}
	for ; depth > common; depth-- {
		dst = append(dst, '}')
	}
	if !first {
		dst = append(dst, ',')
	}
	for depth < want {
		depth++
		p.open[depth] = chain[depth]
		dst = append(append(dst, nodes[chain[depth]].quoted...), '{')
	}
	return dst, depth
}

func appendValue(dst, doc []byte, l Leaf) []byte {
	raw := doc[l.Start:l.End]
	switch l.Kind {
	case String, Escaped:
		return append(append(append(dst, '"'), raw...), '"')
	case Broken:
		return append(AppendRepaired(append(dst, '"'), raw), '"')
	}
	if l.Repair {
		return AppendRepaired(dst, raw)
	}
	return append(dst, raw...)
}

// merged is a name with all that stood under it.
type merged struct {
	path     Path
	values   []Leaf
	children []*merged
}

// appendMerged is AppendMembers for an object in which names repeat.
func (p *Parser) appendMerged(dst, doc []byte, leaves []Leaf) []byte {
	all := map[Path]*merged{root: {}}
	var at func(path Path) *merged
	at = func(path Path) *merged {
		m, ok := all[path]
		if !ok {
			m = &merged{path: path}
			all[path] = m
			above := at(p.paths.nodes[path].parent)
			above.children = append(above.children, m)
		}
		return m
	}
	for _, l := range leaves {
		m := at(l.Path)
		m.values = append(m.values, l)
	}
	return p.appendChildren(dst, doc, all[root])
}

func (p *Parser) appendChildren(dst, doc []byte, m *merged) []byte {
	for i, c := range m.children {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, p.paths.nodes[c.path].quoted...)
		several := len(c.values) > 1 || len(c.values) == 1 && c.children != nil
		if several {
			dst = append(dst, '[')
		}
		for n, l := range c.values {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = appendValue(dst, doc, l)
		}
		if c.children != nil {
			if len(c.values) > 0 {
				dst = append(dst, ',')
			}
			dst = append(p.appendChildren(append(dst, '{'), doc, c), '}')
		}
		if several {
			dst = append(dst, ']')
		}
	}
	return dst
}
