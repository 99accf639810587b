package vlogs

import (
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/event"
)

// leaf is a column of one document; raw is JSON as it stands.
type leaf struct {
	name, value string
	raw         bool
}

// nester makes documents of columns, the opposite of rowBuilder. It keeps its
// buffers and must not be used concurrently.
type nester struct {
	leaves  []leaf
	strings map[string]bool // names of strings that do not look like it
	parents []string        // arrays of objects: what stands below them is derived
}

// document appends the document of a row to dst. The columns are in any order;
// @timestamp is that of the row.
func (n *nester) document(dst []byte, columns []leaf, at time.Time) []byte {
	n.leaves = n.leaves[:0]
	n.parents = n.parents[:0]
	clear(n.strings)
	if n.strings == nil {
		n.strings = map[string]bool{}
	}
	layout := time.RFC3339Nano
	for _, c := range columns {
		switch c.name {
		case colSource:
			return append(dst, c.value...)
		case colHints:
			layout = n.hints(c.value, layout)
		}
	}
	for _, c := range columns {
		if c.value == "" || strings.HasPrefix(c.name, "_") && isReserved(c.name) {
			continue
		}
		c.raw = looksTyped(c.value) && !n.strings[c.name]
		if c.raw && c.value[0] == '[' && strings.IndexByte(c.value, '{') > 0 {
			n.parents = append(n.parents, c.name)
		}
		n.leaves = append(n.leaves, c)
	}
	n.leaves = append(n.leaves, leaf{name: "@timestamp", value: at.UTC().Format(layout)})
	slices.SortFunc(n.leaves, func(a, b leaf) int { return strings.Compare(a.name, b.name) })
	return n.nest(dst)
}

// hints adds the leaves that are in no column, and returns the layout of the
// time.
func (n *nester) hints(text, layout string) string {
	eachHint(text, func(kind byte, name string) {
		switch kind {
		case hintString:
			n.strings[name] = true
		case hintEmpty:
			n.leaves = append(n.leaves, leaf{name: name})
		case hintNull:
			n.leaves = append(n.leaves, leaf{name: name, value: "null", raw: true})
		case hintArray:
			n.leaves = append(n.leaves, leaf{name: name, value: "[]", raw: true})
		case hintObject:
			n.leaves = append(n.leaves, leaf{name: name, value: "{}", raw: true})
		case hintDigits:
			if d := int(name[0] - '0'); d >= 0 && d < len(timeLayouts) {
				layout = timeLayouts[d]
			}
		}
	})
	return layout
}

// nest writes the leaves, sorted by name, as one object. Sorted, all that lies
// in one object stands together.
func (n *nester) nest(dst []byte) []byte {
	dst = append(dst, '{')
	open := "" // the path of the objects that are open, with a dot behind each
	for _, l := range n.leaves {
		if n.derived(l.name) {
			continue
		}
		path := l.name[:strings.LastIndexByte(l.name, '.')+1]
		shared := commonObjects(open, path)
		for range strings.Count(open[shared:], ".") {
			dst = append(dst, '}')
		}
		for name := range strings.SplitSeq(strings.TrimSuffix(path[shared:], "."), ".") {
			if name != "" {
				dst = append(appendName(dst, name), '{')
			}
		}
		open = path
		dst = appendName(dst, l.name[len(path):])
		if l.raw {
			dst = append(dst, l.value...)
		} else {
			dst = event.AppendString(dst, []byte(l.value))
		}
	}
	for range strings.Count(open, ".") {
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

func (n *nester) derived(name string) bool {
	return slices.ContainsFunc(n.parents, func(p string) bool {
		return len(name) > len(p) && name[len(p)] == '.' && strings.HasPrefix(name, p)
	})
}

// commonObjects returns the length of the path that both have in common, up to
// and with a dot.
func commonObjects(a, b string) int {
	n := 0
	for i := 0; i < len(a) && i < len(b) && a[i] == b[i]; i++ {
		if a[i] == '.' {
			n = i + 1
		}
	}
	return n
}

func appendName(dst []byte, name string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(event.AppendString(dst, []byte(name)), ':')
}
