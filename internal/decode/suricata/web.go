package suricata

import (
	"bytes"

	"github.com/decodersring/decoder/internal/event"
)

// mapURL takes the target of a request: a path with its query, or a whole URL
// as proxies get it. The bytes it is cut at never are within an escape.
func (s *state) mapURL(f event.Field, l event.Leaf) bool {
	if !l.Kind.IsString() {
		return false
	}
	s.Doc.PutLeaf(f, l)
	if l.Kind == event.Broken {
		return true
	}
	fields := &s.d.fields
	raw := l.Bytes(s.Line)
	start := 0
	if n := bytes.Index(raw, []byte("://")); n > 0 && n < 10 && raw[0] != '/' {
		s.PutSub(fields.urlScheme, l, 0, n)
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
		s.PutSub(fields.urlFragment, l, n+1, end)
		end = n
	}
	if n := bytes.IndexByte(raw[start:end], '?'); n >= 0 {
		s.PutSub(fields.urlQuery, l, start+n+1, end)
		end = start + n
	}
	s.PutSub(fields.urlPath, l, start, end)
	if from := extension(raw[start:end]); from >= 0 {
		s.PutSub(fields.urlExtension, l, start+from, end)
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

func (s *state) mapHTTPVersion(f event.Field, l event.Leaf) bool {
	v := l.Bytes(s.Line)
	if l.Kind != event.String || !bytes.HasPrefix(v, []byte("HTTP/")) || len(v) > 8 {
		return false
	}
	s.PutSub(f, l, len("HTTP/"), len(v))
	return true
}

// mapFile takes a file's name, or its path in whatever style.
func (s *state) mapFile(f event.Field, l event.Leaf) bool {
	if !l.Kind.IsString() {
		return false
	}
	raw := l.Bytes(s.Line)
	if l.Kind == event.Broken {
		s.Doc.PutLeaf(f, l)
		return true
	}
	fields := &s.d.fields
	start := bytes.LastIndexByte(raw, '/') + 1
	// A backslash stands escaped, as two of them.
	if n := bytes.LastIndex(raw, []byte(`\\`)); n+2 > start && n >= 0 {
		start = n + 2
	}
	if start > 0 {
		s.Doc.PutLeaf(fields.filePath, l)
	}
	if start == len(raw) {
		return start > 0 || putEmpty(s, f, l)
	}
	s.PutSub(f, l, start, len(raw))
	if from := extension(raw[start:]); from >= 0 {
		s.PutSub(fields.fileExtension, l, start+from, len(raw))
	}
	return true
}

func putEmpty(s *state, f event.Field, l event.Leaf) bool {
	s.Doc.PutLeaf(f, l)
	return true
}
