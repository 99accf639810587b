package decode

import (
	"strings"

	"github.com/decodersring/decoder/internal/event"
)

// Nest is the object of a source's own in which lies what ECS has no field
// for.
type Nest struct{ open, end string }

// NestAt returns the nest of a dotted path.
func NestAt(path string) Nest {
	names := strings.Split(path, ".")
	return Nest{open: `,"` + strings.Join(names, `":{"`) + `":{`, end: strings.Repeat("}", len(names))}
}

// Parts says what of a document goes where in an [Event].
type Parts struct {
	ID, Time event.Field
	Key      []byte
}

// Assemble writes a document, and in the nest what rest appends, members of an
// object or nothing, into dst[len(dst):].
func Assemble(dst []byte, doc *event.Doc, nest Nest, rest func([]byte) []byte, p Parts) Event {
	start := len(dst)
	dst = doc.AppendMembers(append(dst, '{'))
	before := len(dst)
	dst = append(dst, nest.open...)
	open := len(dst)
	if dst = rest(dst); len(dst) == open {
		dst = dst[:before]
	} else {
		dst = append(dst, nest.end...)
	}
	dst = append(dst, '}')
	json := len(dst)
	dst = append(dst, doc.Value(p.ID)...)
	id := len(dst)
	dst = append(dst, doc.Value(p.Time)...)
	at := len(dst)
	dst = append(dst, p.Key...)
	return Event{JSON: dst[start:json:json], ID: dst[json:id:id], Time: dst[id:at:at], Key: dst[at:], Buf: dst}
}
