package mail

import (
	"bytes"
	"encoding/base64"
	"strings"
)

// base64Alphabet marks the bytes that carry data; all else in a base64 body
// is skipped, as RFC 2045 section 6.8 asks.
var base64Alphabet = func() (t [256]bool) {
	for c := range 256 {
		b := byte(c)
		t[c] = 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z' || '0' <= b && b <= '9' || b == '+' || b == '/'
	}
	return t
}()

// decodeTransfer undoes a part's Content-Transfer-Encoding. The result may be
// the input itself. It never grows: every encoding is longer than its data.
func decodeTransfer(b []byte, encoding string, report func(string)) []byte {
	encoding, _, _ = strings.Cut(encoding, ";")
	switch strings.ToLower(strings.Trim(encoding, " \t\"'")) {
	case "base64":
		return decodeBase64(b, report)
	case "quoted-printable":
		return decodeQuotedPrintable(b)
	case "x-uuencode", "uuencode", "x-uue", "uue":
		return decodeUU(b)
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit":
		return b
	default:
		report(DefectEncoding)
		return b
	}
}

// decodeBase64 takes padding anywhere: senders concatenate encoded blocks.
func decodeBase64(b []byte, report func(string)) []byte {
	if out, ok := strictBase64(b); ok {
		return out
	}
	clean := make([]byte, 0, len(b))
	odd := false
	for i := range b {
		switch c := b[i]; {
		case base64Alphabet[c]:
			clean = append(clean, c)
		case c == '=':
			if r := len(clean) % 4; r != 0 && restHasData(b[i+1:]) {
				for range 4 - r {
					clean = append(clean, 'A')
				}
			}
		case c > ' ':
			odd = true
		}
	}
	if len(clean)%4 == 1 {
		clean, odd = clean[:len(clean)-1], true
	}
	if odd {
		report(DefectBase64)
	}
	n, _ := base64.RawStdEncoding.Decode(clean, clean)
	return clean[:n]
}

// strictBase64 decodes what is nothing but lines of base64, padded at its end
// or not: nearly all there is.
func strictBase64(b []byte) ([]byte, bool) {
	clean := make([]byte, 0, len(b))
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		clean = append(clean, line...)
	}
	clean = bytes.TrimRight(clean, "= \t")
	n, err := base64.RawStdEncoding.Decode(clean, clean)
	return clean[:n], err == nil
}

// restHasData looks a few bytes ahead: padding is nearly always the end.
func restHasData(b []byte) bool {
	for _, c := range b[:min(len(b), 8)] {
		if base64Alphabet[c] {
			return true
		}
	}
	return false
}

// decodeQuotedPrintable keeps what is malformed as it stands.
func decodeQuotedPrintable(b []byte) []byte {
	if bytes.IndexByte(b, '=') < 0 {
		return b
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		i := bytes.IndexByte(b, '=')
		if i < 0 {
			return append(out, b...)
		}
		out = append(out, b[:i]...)
		b = b[i:]
		if len(b) >= 3 && hexValue(b[1]) >= 0 && hexValue(b[2]) >= 0 {
			out = append(out, byte(hexValue(b[1])<<4|hexValue(b[2])))
			b = b[3:]
			continue
		}
		if n := softBreak(b); n > 0 {
			b = b[n:]
			continue
		}
		out = append(out, '=')
		b = b[1:]
	}
	return out
}

// softBreak returns the length of "=", blanks and a line end, or 0.
func softBreak(b []byte) int {
	i := 1
	for i < len(b) && i < 80 && (b[i] == ' ' || b[i] == '\t') {
		i++
	}
	switch {
	case i == len(b):
		return i
	case b[i] == '\n':
		return i + 1
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return i + 2
	}
	return 0
}

func decodeUU(b []byte) []byte {
	i := bytes.Index(b, []byte("begin "))
	if i < 0 {
		return b
	}
	_, b = cutLine(b[i:])
	var out []byte
	for len(b) > 0 {
		var line []byte
		line, b = cutLine(b)
		if len(line) == 0 || line[0] == '`' || bytes.Equal(line, []byte("end")) {
			break
		}
		want := int(line[0]-' ') & 63
		line = line[1:]
		for want > 0 && len(line) > 0 {
			var q [4]byte
			for j := range q {
				if j < len(line) {
					q[j] = (line[j] - ' ') & 63
				}
			}
			three := [3]byte{q[0]<<2 | q[1]>>4, q[1]<<4 | q[2]>>2, q[2]<<6 | q[3]}
			out = append(out, three[:min(3, want)]...)
			want -= 3
			line = line[min(4, len(line)):]
		}
	}
	return out
}
