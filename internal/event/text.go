package event

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendText appends the text of a string's bytes as they stand between its
// quotes: escapes resolved, and U+FFFD for each byte of invalid UTF-8 and each
// half of a surrogate pair, as encoding/json has it. raw must have been
// accepted by the scanner.
func AppendText(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		switch {
		case c == '\\':
			var n int
			dst, n = appendEscape(dst, raw[i:])
			i += n
		case c < utf8.RuneSelf:
			n := i + 1
			for n < len(raw) && raw[n] != '\\' && raw[n] < utf8.RuneSelf {
				n++
			}
			dst = append(dst, raw[i:n]...)
			i = n
		default:
			r, n := utf8.DecodeRune(raw[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}

// appendEscape appends what the escape at the start of raw stands for and
// returns the escape's length.
func appendEscape(dst, raw []byte) ([]byte, int) {
	n, whole := scanEscape(raw)
	switch c := raw[1]; c {
	case 'b':
		return append(dst, '\b'), n
	case 'f':
		return append(dst, '\f'), n
	case 'n':
		return append(dst, '\n'), n
	case 'r':
		return append(dst, '\r'), n
	case 't':
		return append(dst, '\t'), n
	case 'u':
	default:
		return append(dst, c), n
	}
	r, _ := hex4(raw, 2)
	if n == 12 {
		low, _ := hex4(raw, 8)
		r = utf16.DecodeRune(r, low)
	}
	if !whole {
		r = utf8.RuneError
	}
	return utf8.AppendRune(dst, r), n
}

const hexDigits = "0123456789abcdef"

// AppendString appends text as a JSON string with its quotes. Invalid UTF-8
// becomes U+FFFD. One text has one form.
func AppendString(dst, text []byte) []byte {
	return append(AppendEscaped(append(dst, '"'), text), '"')
}

// AppendEscaped is [AppendString] without the quotes.
func AppendEscaped(dst, text []byte) []byte {
	start := 0
	for i := 0; i < len(text); {
		if i+8 <= len(text) {
			m := stops(binary.LittleEndian.Uint64(text[i:]))
			if m == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(m) >> 3
		}
		c := text[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, text[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = appendControl(append(dst, text[start:i]...), c)
		i++
		start = i
	}
	return append(dst, text[start:]...)
}

func appendControl(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
}

// AppendRepaired appends JSON that the scanner accepted, with U+FFFD for
// invalid UTF-8 and for halves of surrogate pairs: what comes out is valid
// UTF-8 and means the same to every reader.
func AppendRepaired(dst, json []byte) []byte {
	for i := 0; i < len(json); {
		switch c := json[i]; {
		case c == '\\':
			n, whole := scanEscape(json[i:])
			if whole {
				dst = append(dst, json[i:i+n]...)
			} else {
				dst = append(dst, "\ufffd"...)
			}
			i += n
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, n := utf8.DecodeRune(json[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
		}
	}
	return dst
}
