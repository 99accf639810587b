package vlogs

import (
	"encoding/hex"
	"strings"

	"github.com/decodersring/decoder/internal/store"
)

// The columns hold text; what JSON type it was is seen by what it looks like:
// a number, true, false, an array or object by its first byte, else a string.
// Hints note what is not as it looks, one word each: a letter and the field's
// name in upper-case hexadecimal. Queries for words are in lower case, so they
// never find a hint. Documents of one kind mostly have the same hints, which
// then take no space.
const (
	hintString = 'S' // a string that looks like something else
	hintEmpty  = 'E' // an empty string
	hintNull   = 'N'
	hintArray  = 'A' // an empty array
	hintObject = 'O' // an empty object
	hintDigits = 'T' // @timestamp has this fixed number of digits of a second
)

const upperHex = "0123456789ABCDEF"

func (b *rowBuilder) hint(kind byte, name string) {
	if len(b.hints) > 0 {
		b.hints = append(b.hints, ' ')
	}
	b.hints = append(b.hints, kind)
	for i := range len(name) {
		b.hints = append(b.hints, upperHex[name[i]>>4], upperHex[name[i]&15])
	}
}

// eachHint calls fn for each hint.
func eachHint(hints string, fn func(kind byte, name string)) {
	for word := range strings.SplitSeq(hints, " ") {
		if word == "" {
			continue
		}
		if name, err := hex.DecodeString(word[1:]); err == nil {
			fn(word[0], string(name))
		}
	}
}

// looksTyped reports whether a text read back without a hint would be taken
// for something other than a string.
func looksTyped(v string) bool {
	if len(v) == 0 {
		return false
	}
	switch c := v[0]; {
	case c == '[' || c == '{':
		return true
	case c == 't' || c == 'f':
		return v == "true" || v == "false"
	case c == '-' || c >= '0' && c <= '9':
		return store.IsNumber(v)
	}
	return false
}
