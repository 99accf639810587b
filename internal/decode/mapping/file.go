package mapping

import (
	"bytes"

	"github.com/decodersring/decoder/internal/event"
)

// File is the fields of a file's name.
type File struct{ name, path, extension event.Field }

// FileFields names the fields of a [File], to be compiled with a source's own.
func FileFields() []string { return []string{"file.name", "file.path", "file.extension"} }

// NewFile returns the fields of a table compiled with [FileFields].
func NewFile(t *Table) File {
	return File{t.Field("file.name"), t.Field("file.path"), t.Field("file.extension")}
}

// PutFile takes a file's name, or its path in whatever style, and gives the
// parts their fields.
func (s *State) PutFile(file File, l event.Leaf) bool {
	if !l.Kind.IsString() {
		return false
	}
	raw := l.Bytes(s.Line)
	if l.Kind == event.Broken {
		s.Doc.PutLeaf(file.name, l)
		return true
	}
	start := bytes.LastIndexByte(raw, '/') + 1
	// A backslash stands escaped, as two of them.
	if n := bytes.LastIndex(raw, []byte(`\\`)); n+2 > start && n >= 0 {
		start = n + 2
	}
	if start > 0 {
		s.Doc.PutLeaf(file.path, l)
	}
	if start == len(raw) {
		if start == 0 {
			s.Doc.PutLeaf(file.name, l)
		}
		return true
	}
	s.PutSub(file.name, l, start, len(raw))
	if from := extension(raw[start:]); from >= 0 {
		s.PutSub(file.extension, l, start+from, len(raw))
	}
	return true
}
