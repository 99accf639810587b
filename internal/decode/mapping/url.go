package mapping

import (
	"bytes"

	"github.com/decodersring/decoder/internal/event"
)

// URL is the fields of a URL's parts.
type URL struct{ path, query, fragment, extension, scheme event.Field }

// URLFields names the fields of a [URL], to be compiled with a source's own.
func URLFields() []string {
	return []string{"url.path", "url.query", "url.fragment", "url.extension", "url.scheme"}
}

// NewURL returns the fields of a table compiled with [URLFields].
func NewURL(t *Table) URL {
	return URL{t.Field("url.path"), t.Field("url.query"), t.Field("url.fragment"), t.Field("url.extension"), t.Field("url.scheme")}
}

// PutURL gives the field the target of a request, a path with its query or a
// whole URL as proxies get it, and its parts their fields. The bytes it is cut
// at never are within an escape.
func (s *State) PutURL(u URL, f event.Field, l event.Leaf) bool {
	if !l.Kind.IsString() {
		return false
	}
	s.Doc.PutLeaf(f, l)
	if l.Kind == event.Broken {
		return true
	}
	raw := l.Bytes(s.Line)
	start := 0
	if n := bytes.Index(raw, []byte("://")); n > 0 && n < 10 && raw[0] != '/' {
		s.PutSub(u.scheme, l, 0, n)
		slash := bytes.IndexByte(raw[n+3:], '/')
		if slash < 0 {
			return true
		}
		start = n + 3 + slash
	}
	if len(raw) == start || raw[start] != '/' {
		return true
	}
	end := len(raw)
	if n := bytes.IndexByte(raw, '#'); n >= start {
		s.PutSub(u.fragment, l, n+1, end)
		end = n
	}
	if n := bytes.IndexByte(raw[start:end], '?'); n >= 0 {
		s.PutSub(u.query, l, start+n+1, end)
		end = start + n
	}
	s.PutSub(u.path, l, start, end)
	if from := extension(raw[start:end]); from >= 0 {
		s.PutSub(u.extension, l, start+from, end)
	}
	return true
}

// extension returns where the extension of the last part of a path begins,
// less than 0 if it has none of at most ten letters and digits.
func extension(path []byte) int {
	for i := len(path) - 1; i > 0 && len(path)-i <= 11; i-- {
		switch c := path[i]; {
		case c == '.':
			if i == len(path)-1 || path[i-1] == '/' || path[i-1] == '\\' {
				return -1
			}
			return i + 1
		case c-'0' > 9 && (c|0x20)-'a' > 25:
			return -1
		}
	}
	return -1
}
