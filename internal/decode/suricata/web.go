package suricata

import (
	"bytes"

	"github.com/decodersring/decoder/internal/event"
)

func (s *state) mapHTTPVersion(f event.Field, l event.Leaf) bool {
	v := l.Bytes(s.Line)
	if l.Kind != event.String || !bytes.HasPrefix(v, []byte("HTTP/")) || len(v) > 8 {
		return false
	}
	s.PutSub(f, l, len("HTTP/"), len(v))
	return true
}
