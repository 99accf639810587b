package maillink

import (
	"bytes"
	"errors"
	"slices"

	"github.com/decodersring/decoder/internal/event"
)

// glance finds out, without an allocation, whether an event has a host or a
// hash that is watched: of nearly all events that is all that is ever asked.
// It must not be used concurrently.
type glance struct {
	parser *event.Parser
	hosts  []event.Path
	hashes []event.Path
	key    []byte
}

func newGlance() *glance {
	g := &glance{parser: event.NewParser()}
	for _, f := range [...]string{"dns.question.name", "tls.client.server_name", "url.domain"} {
		g.hosts = append(g.hosts, g.parser.Path(f))
	}
	for _, f := range [...]string{"file.hash.sha256", "file.hash.sha1", "file.hash.md5"} {
		g.hashes = append(g.hashes, g.parser.Path(f))
	}
	return g
}

// concerns reports whether the event must be read. What is no event need not.
func (g *glance) concerns(doc []byte, watched func(key []byte) bool) bool {
	leaves, err := g.parser.Parse(doc)
	if err != nil {
		return errors.Is(err, event.ErrTooManyFields)
	}
	for _, l := range leaves {
		if int(l.Path) >= g.parser.Fixed() || !l.Kind.IsString() {
			continue
		}
		g.key = append(g.key[:0], prefixHash...)
		if slices.Contains(g.hosts, l.Path) {
			g.key = append(g.key[:0], prefixHost...)
		} else if !slices.Contains(g.hashes, l.Path) {
			continue
		}
		at := len(g.key)
		g.key = event.AppendText(g.key, l.Bytes(doc))
		if watched(normal(g.key, at)) {
			return true
		}
	}
	return false
}

// normal brings a key, whose value begins at the index, to the form in which
// it is watched.
func normal(key []byte, at int) []byte {
	if string(key[:at]) == prefixHost {
		key = bytes.TrimSuffix(key, []byte("."))
	}
	for i, c := range key[at:] {
		if c >= 0x80 {
			return append(key[:at:at], bytes.ToLower(key[at:])...)
		}
		if 'A' <= c && c <= 'Z' {
			key[at+i] = c + 'a' - 'A'
		}
	}
	return key
}
