package mail

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html/charset"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
)

// lookupCharset returns the encoding of a label, nil for UTF-8 and ASCII, and
// whether the label is known.
func lookupCharset(label string) (encoding.Encoding, bool) {
	label = strings.ToLower(strings.Trim(label, " \t\"'"))
	switch label {
	case "", "utf-8", "utf8", "us-ascii", "ascii", "unknown-8bit", "default", "7bit", "8bit":
		return nil, true
	}
	e, name := charset.Lookup(label)
	if e == nil {
		return nil, false
	}
	if name == "utf-8" || name == "replacement" {
		return nil, name == "utf-8"
	}
	return e, true
}

// decodeText returns b as UTF-8. What is no text of the charset, or has an
// unknown one, is read as UTF-8 if it is valid, else as windows-1252, as mail
// readers do.
func decodeText(b []byte, label string) (text []byte, known bool) {
	e, known := lookupCharset(label)
	if e != nil {
		if out, err := e.NewDecoder().Bytes(b); err == nil {
			return out, true
		}
	}
	if utf8.Valid(b) {
		return b, known
	}
	out, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil {
		return bytes.ToValidUTF8(b, []byte("\uFFFD")), known
	}
	return out, known
}

// valid replaces what is no UTF-8 in s. Nearly all is, and that is seen much
// sooner than it is looked through.
func valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// decodeWords decodes the encoded words (RFC 2047) of an unfolded field body.
// Adjacent words of one charset are joined before they are decoded, because
// senders split characters between them. Broken words stay as they are.
func decodeWords(s string, report func(string)) string {
	if !strings.Contains(s, "=?") {
		if utf8.ValidString(s) {
			return s
		}
		t, _ := decodeText([]byte(s), "")
		return string(t)
	}
	var out strings.Builder
	var pending []byte
	pendingCharset := ""
	flush := func() {
		if pendingCharset == "" {
			return
		}
		t, known := decodeText(pending, pendingCharset)
		if !known {
			report(DefectCharset)
		}
		out.Write(t)
		pending, pendingCharset = nil, ""
	}
	for s != "" {
		i := strings.Index(s, "=?")
		if i < 0 {
			flush()
			writeRaw(&out, s)
			break
		}
		w, ok := cutWord(s[i:])
		if !ok {
			flush()
			writeRaw(&out, s[:i+2])
			s = s[i+2:]
			report(DefectEncodedWord)
			continue
		}
		if gap := s[:i]; strings.TrimSpace(gap) != "" || pendingCharset == "" {
			flush()
			writeRaw(&out, gap)
		}
		if pendingCharset != "" && !strings.EqualFold(pendingCharset, w.charset) {
			flush()
		}
		pendingCharset = w.charset
		pending = append(pending, w.data...)
		s = s[i+w.size:]
	}
	flush()
	return out.String()
}

func writeRaw(out *strings.Builder, s string) {
	if utf8.ValidString(s) {
		out.WriteString(s)
		return
	}
	t, _ := decodeText([]byte(s), "")
	out.Write(t)
}

type encodedWord struct {
	charset string
	data    []byte
	size    int
}

// cutWord reads the encoded word at the start of s.
func cutWord(s string) (encodedWord, bool) {
	rest := s[2:]
	i := strings.IndexByte(rest, '?')
	if i <= 0 || i > 60 || len(rest) < i+3 || rest[i+2] != '?' {
		return encodedWord{}, false
	}
	label, enc := rest[:i], rest[i+1]
	label, _, _ = strings.Cut(label, "*") // RFC 2231 language
	if label == "" || strings.ContainsAny(label, " \t") {
		return encodedWord{}, false
	}
	body := rest[i+3:]
	j := strings.Index(body, "?=")
	if j < 0 {
		return encodedWord{}, false
	}
	w := encodedWord{charset: label, size: 2 + i + 3 + j + 2}
	body = body[:j]
	switch enc {
	case 'q', 'Q':
		w.data = decodeQ(body)
	case 'b', 'B':
		w.data = decodeB(body)
	default:
		return encodedWord{}, false
	}
	return w, true
}

func decodeQ(s string) []byte {
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '_':
			out = append(out, ' ')
		case c == '=' && i+2 < len(s) && hexValue(s[i+1]) >= 0 && hexValue(s[i+2]) >= 0:
			out = append(out, byte(hexValue(s[i+1])<<4|hexValue(s[i+2])))
			i += 2
		default:
			out = append(out, c)
		}
	}
	return out
}

// decodeB takes base64 with or without padding and ignores what is none.
func decodeB(s string) []byte {
	clean := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if base64Alphabet[s[i]] {
			clean = append(clean, s[i])
		}
	}
	if len(clean)%4 == 1 {
		clean = clean[:len(clean)-1]
	}
	out := make([]byte, base64.RawStdEncoding.DecodedLen(len(clean)))
	n, _ := base64.RawStdEncoding.Decode(out, clean)
	return out[:n]
}

func hexValue(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
