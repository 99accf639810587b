package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
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
	body = bytes.TrimRight(body, "\r\n")
	// Runs between CRLFs are written as they lie; only the CR is left out.
	for {
		i := bytes.Index(body, []byte("\r\n"))
		if i < 0 {
			break
		}
		s.Write(body[:i])
		s.Write([]byte("\n"))
		body = body[i+2:]
	}
	s.Write(body)
	return hex.EncodeToString(s.Sum(nil))
}

// Origin is the decoder-origin of a message: its identity, whatever source saw
// it, so that a message seen by several is one.
func Origin(identity string) string { return "mail:message:" + identity }
