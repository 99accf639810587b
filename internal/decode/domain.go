package decode

import (
	"bytes"
	"hash/maphash"

	"golang.org/x/net/publicsuffix"
)

// Domain is a name in lower case taken apart by the Public Suffix List; each
// part is of the name given, "" where there is none.
type Domain struct {
	Registered []byte // example.co.uk
	Subdomain  []byte // www
	Suffix     []byte // co.uk
}

// Domains takes names apart and remembers those it met last, since the same
// names come again and again and the list is slow to ask. The zero value is
// ready; it must not be used concurrently.
type Domains struct {
	seed  maphash.Seed
	known []knownDomain // by hash
}

// knownDomain is a name with the lengths of its suffix and registered domain.
type knownDomain struct {
	name                       [118]byte
	length, suffix, registered uint8
}

const knownDomains = 512

// Split takes a name in lower case apart. What is no domain name, and a name
// that is a public suffix itself, has no registered domain.
func (d *Domains) Split(name []byte) Domain {
	if len(name) > 0 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	if !isDomain(name) {
		return Domain{}
	}
	if d.known == nil {
		d.seed, d.known = maphash.MakeSeed(), make([]knownDomain, knownDomains)
	}
	k := &d.known[maphash.Bytes(d.seed, name)%knownDomains]
	if !bytes.Equal(k.name[:k.length], name) {
		suffix, registered := split(name)
		if len(name) > len(k.name) {
			return cut(name, suffix, registered)
		}
		copy(k.name[:], name)
		k.length, k.suffix, k.registered = uint8(len(name)), uint8(suffix), uint8(registered)
	}
	return cut(name, int(k.suffix), int(k.registered))
}

// cut makes parts of a name, given the lengths of two.
func cut(name []byte, suffix, registered int) Domain {
	d := Domain{Suffix: name[len(name)-suffix:]}
	if registered > 0 {
		d.Registered = name[len(name)-registered:]
		if rest := len(name) - registered; rest > 0 {
			d.Subdomain = name[:rest-1]
		}
	}
	return d
}

// split asks the list for the lengths of the suffix and of the registered
// domain, 0 if there is none.
func split(name []byte) (suffix, registered int) {
	s, _ := publicsuffix.PublicSuffix(string(name))
	if len(s) == len(name) {
		return len(s), 0
	}
	start := len(name) - len(s) - 1 // the dot before the suffix
	for start > 0 && name[start-1] != '.' {
		start--
	}
	return len(s), len(name) - start
}

// isDomain says whether the name is labels of letters, digits, hyphens and
// underscores, more than one, and no address.
func isDomain(name []byte) bool {
	if len(name) == 0 || len(name) > 253 {
		return false
	}
	label, dots, letters := 0, 0, false
	for _, c := range name {
		switch {
		case c == '.':
			if label == 0 {
				return false
			}
			label, letters = 0, false
			dots++
			continue
		case 'a' <= c && c <= 'z':
			letters = true
		case c-'0' <= 9, c == '-', c == '_':
		default:
			return false
		}
		if label++; label > 63 {
			return false
		}
	}
	return label > 0 && dots > 0 && letters
}
