package vlogs

import (
	"fmt"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

// array makes the column of an array. The elements of one without arrays and
// objects are written anew, each text in the one form it has, so that filters
// can look for elements in their JSON.
func (b *rowBuilder) array(n *name, value []byte) error {
	start := len(b.arena)
	b.arena = append(b.arena, '[')
	count, flat := 0, true
	b.inner.each(value, func(v []byte, kind event.Kind) {
		count++
		switch kind {
		case event.Array:
			flat = false
			b.foldElements(v, 0)
		case event.Object:
			flat = false
		}
		b.arena = b.element(b.arena, v, kind)
	})
	written := append(b.arena, ']')
	b.arena = written[:start]
	switch {
	case count == 0:
		b.hint(hintArray, n.text)
		return nil
	case flat:
		b.column(n, b.keep(written[start:]))
		return nil
	}
	b.column(n, b.keep(value))
	return b.objects(n, value)
}

// element appends an element to the JSON of an array.
func (b *rowBuilder) element(dst, v []byte, kind event.Kind) []byte {
	if dst[len(dst)-1] != '[' {
		dst = append(dst, ',')
	}
	if kind == event.String {
		b.foldLine(v)
		return event.AppendString(dst, v)
	}
	return append(dst, v...)
}

// foldElements notes the lower-case forms of texts in an array in an array.
func (b *rowBuilder) foldElements(array []byte, depth int) {
	const deepest = 8
	new(elements).each(array, func(v []byte, kind event.Kind) {
		switch {
		case kind == event.String:
			b.foldLine(v)
		case kind == event.Array && depth < deepest:
			b.foldElements(v, depth+1)
		}
	})
}

// objects adds a column for each name that objects in the array have, with all
// values under it. What is nested deeper than that is found as words of the
// array's own column.
func (b *rowBuilder) objects(parent *name, array []byte) error {
	b.lists = b.lists[:0]
	var err error
	b.inner.each(array, func(v []byte, kind event.Kind) {
		if kind == event.Object && err == nil {
			err = b.leaves.Flatten(v, b.member)
		}
	})
	if err != nil {
		return fault.NewPermanent(store.CodeNotJSON, err)
	}
	for i := range b.lists {
		l := &b.lists[i]
		if len(l.json) == 1 || len(parent.text)+1+len(l.name) > maxNameBytes {
			continue // nothing in it, or found as words only
		}
		n, again := b.names.find(fmt.Appendf(nil, "%s.%s", parent.text, l.name))
		if again || n.reserved {
			b.irregular = true
			continue
		}
		b.column(n, b.keep(append(l.json, ']')))
	}
	return nil
}

// member adds a value to the list of its name.
func (b *rowBuilder) member(path, v []byte, kind event.Kind) error {
	switch {
	case kind == event.Object, kind == event.Null, kind == event.String && len(v) == 0:
		return nil
	}
	l := b.list(path)
	if kind != event.Array {
		l.json = b.element(l.json, v, kind)
		return nil
	}
	new(elements).each(v, func(v []byte, kind event.Kind) {
		if kind != event.Array && kind != event.Object {
			l.json = b.element(l.json, v, kind)
		}
	})
	return nil
}

// list returns the list of that name, for which it uses the buffer of one of a
// document before.
func (b *rowBuilder) list(name []byte) *list {
	for i := range b.lists {
		if b.lists[i].name == string(name) {
			return &b.lists[i]
		}
	}
	if len(b.lists) < cap(b.lists) {
		b.lists = b.lists[:len(b.lists)+1]
	} else {
		b.lists = append(b.lists, list{})
	}
	l := &b.lists[len(b.lists)-1]
	if l.name != string(name) {
		l.name = string(name)
	}
	l.json = append(l.json[:0], '[')
	return l
}
