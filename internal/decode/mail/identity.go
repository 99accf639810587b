package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
)

// identityFields are the fields that make a message what it is; all others
// are trace, delivery or decoration that a server on the way may add.
var identityFields = [...]string{"Date", "From", "To", "Subject", "Message-ID"}

// Identity returns what makes a message one wherever it is seen: a SHA-256 in
// hexadecimal over the bodies of its Date, From, To, Subject and Message-ID
// fields as they stand, unfolded, and over its body, line endings normalised
// and those at the end left out.
func Identity(raw []byte) string {
	raw = cutMboxLine(raw)
	h, body := splitHeader(raw, DefaultLimits(), func(string) {})
	return identity(h, body)
}

func identity(h header, body []byte) string {
	s := sha256.New()
	var buf bytes.Buffer
	for _, name := range identityFields {
		for i := range h.fields {
			if strings.EqualFold(h.fields[i].name, name) {
				buf.WriteString(name)
				buf.WriteByte(':')
				buf.WriteString(unfold(h.fields[i].body))
				buf.WriteByte('\n')
			}
		}
	}
	buf.WriteByte('\n')
	s.Write(buf.Bytes())
	writeLines(s, bytes.TrimRight(body, "\r\n"))
	return hex.EncodeToString(s.Sum(nil))
}

// writeLines writes b with LF for every CRLF, some kilobytes at a time: a hash
// takes long over a line at a time.
func writeLines(to io.Writer, b []byte) {
	buf := make([]byte, 0, min(len(b), 4096)+1)
	for len(b) > 0 {
		line, end := b, 0
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, end = b[:i], 1
			if i > 0 && b[i-1] == '\r' {
				line, end = b[:i-1], 2
			}
		}
		if len(line) >= cap(buf)-len(buf) {
			_, _ = to.Write(buf) // a hash takes everything
			buf = buf[:0]
		}
		if len(line) >= cap(buf) {
			_, _ = to.Write(line)
		} else {
			buf = append(buf, line...)
		}
		if end > 0 {
			buf = append(buf, '\n')
		}
		b = b[len(line)+end:]
	}
	_, _ = to.Write(buf)
}

// Origin is the decoder-origin of a message: its identity, whatever source saw
// it, so that a message seen by several is one.
func Origin(identity string) string { return "mail:message:" + identity }
