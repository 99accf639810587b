package event

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// Kind is what a JSON value is, and for a string what its bytes need before
// they can be used.
type Kind uint8

// The kinds of value.
const (
	Null Kind = iota + 1
	False
	True
	Number  // as it was written; never through a float
	String  // the bytes are the text: no escapes, valid UTF-8
	Escaped // a valid JSON string with escapes in it
	Broken  // a string with invalid UTF-8 or half a surrogate pair in it
	Array   // the whole array, brackets included
	Object  // the whole object, braces included
)

// IsString says whether the value is a string of whatever form.
func (k Kind) IsString() bool { return k == String || k == Escaped || k == Broken }

// MaxDepth is how deep objects and arrays may nest; the same limit as that of
// encoding/json.
const MaxDepth = 10000

// SyntaxError says where and why bytes are not one JSON value.
type SyntaxError struct {
	Offset int
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("byte %d: %s", e.Offset, e.Reason)
}

// reason is why bytes are not JSON; 0 stands for no error.
type reason uint8

const (
	errEnd reason = iota + 1
	errValue
	errLiteral
	errNumber
	errControl
	errEscape
	errName
	errColon
	errComma
	errDepth
	errTrailing
	errObject
)

func (r reason) String() string {
	return [...]string{
		errEnd:      "unexpected end",
		errValue:    "no value starts like this",
		errLiteral:  "a literal that is neither true, false nor null",
		errNumber:   "a malformed number",
		errControl:  "a control character in a string",
		errEscape:   "an unknown escape in a string",
		errName:     "a member's name must be a string",
		errColon:    "a colon must follow a member's name",
		errComma:    "a comma or the end of the object or array must follow a value",
		errDepth:    "nested too deep",
		errTrailing: "something follows the value",
		errObject:   "not an object",
	}[r]
}

func syntaxError(offset int, r reason) error { return &SyntaxError{offset, r.String()} }

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stops marks, in the highest bit of each byte of w, the bytes at which a
// plain string stops being plain: quote, backslash, control character, or
// beyond ASCII. Only the lowest mark is exact, which is the one that is used.
func stops(w uint64) uint64 {
	q, s := w^ones*'"', w^ones*'\\'
	return ((q-ones)&^q | (s-ones)&^s | (w-ones*' ')&^w | w) & highs
}

// scanString scans a string from the byte after its opening quote to its
// closing quote, whose index it returns. With a reason, end is where it broke.
func scanString(b []byte, i int) (end int, kind Kind, why reason) {
	start := i
	kind = String
	high := false
	for {
		for i+8 <= len(b) {
			m := stops(binary.LittleEndian.Uint64(b[i:]))
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
			break
		}
		if i >= len(b) {
			return len(b), 0, errEnd
		}
		switch c := b[i]; {
		case c == '"':
			if high && kind != Broken && !utf8.Valid(b[start:i]) {
				kind = Broken
			}
			return i, kind, 0
		case c == '\\':
			n, whole := scanEscape(b[i:])
			if n <= 0 {
				return i - n, 0, errEscape
			}
			if !whole {
				kind = Broken
			} else if kind == String {
				kind = Escaped
			}
			i += n
		case c < ' ':
			return i, 0, errControl
		case c >= utf8.RuneSelf:
			high = true
			i++
		default: // the last bytes, fewer than a word
			i++
		}
	}
}

// scanEscape returns the length of the escape that b starts with, of both
// halves for a surrogate pair. whole is false for half a pair alone. A length
// of zero or less is minus the index of what is wrong.
func scanEscape(b []byte) (n int, whole bool) {
	if len(b) < 2 {
		return -len(b), false
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, true
	case 'u':
	default:
		return -1, false
	}
	r, bad := hex4(b, 2)
	if bad >= 0 {
		return -bad, false
	}
	switch {
	case r < 0xd800 || r > 0xdfff:
		return 6, true
	case r > 0xdbff || len(b) < 8 || b[6] != '\\' || b[7] != 'u':
		return 6, false
	}
	if low, bad := hex4(b, 8); bad >= 0 || low < 0xdc00 || low > 0xdfff {
		return 6, false
	}
	return 12, true
}

// hex4 reads four hexadecimal digits at i; bad is the index of what is none,
// or -1.
func hex4(b []byte, i int) (r rune, bad int) {
	for n := i; n < i+4; n++ {
		if n >= len(b) {
			return 0, n
		}
		c := b[n]
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, n
		}
		r = r<<4 | rune(c)
	}
	return r, -1
}

// scanNumber scans the number that starts at i and returns the index behind
// it (RFC 8259, section 6).
func scanNumber(b []byte, i int) (end int, why reason) {
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i >= len(b):
		return i, errEnd
	case b[i] == '0':
		i++
	case '1' <= b[i] && b[i] <= '9':
		i = digits(b, i)
	default:
		return i, errNumber
	}
	if i < len(b) && b[i] == '.' {
		i++
		n := digits(b, i)
		if n == i {
			return i, errNumber
		}
		i = n
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := digits(b, i)
		if n == i {
			return i, errNumber
		}
		i = n
	}
	return i, 0
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

func scanLiteral(b []byte, i int) (end int, kind Kind, why reason) {
	var word string
	switch b[i] {
	case 't':
		word, kind = "true", True
	case 'f':
		word, kind = "false", False
	case 'n':
		word, kind = "null", Null
	default:
		return i, 0, errValue
	}
	if len(b)-i < len(word) || string(b[i:i+len(word)]) != word {
		return i, 0, errLiteral
	}
	return i + len(word), kind, 0
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// span is a scanned value: for a string the bytes between its quotes, for all
// else the whole.
type span struct {
	start, end int
	kind       Kind
}

// scanScalar scans the string, number or literal at i; next is the index
// behind it.
func scanScalar(b []byte, i int) (v span, next int, why reason) {
	v.start = i
	switch c := b[i]; {
	case c == '"':
		v.start++
		v.end, v.kind, why = scanString(b, i+1)
		return v, v.end + 1, why
	case c == '-' || c-'0' <= 9:
		v.kind = Number
		v.end, why = scanNumber(b, i)
	default:
		v.end, v.kind, why = scanLiteral(b, i)
	}
	return v, v.end, why
}

// IsNumber says whether b is a JSON number and nothing else.
func IsNumber(b []byte) bool {
	end, why := scanNumber(b, 0)
	return why == 0 && end == len(b)
}
