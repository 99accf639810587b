package mail

import (
	"bytes"
	"strings"
)

// field is one header field: its name as it stands and its body, folded as it
// stands, without the line end.
type field struct {
	name  string
	body  []byte
	start int // of body in the block, for continuation lines
}

// header is a header block in order.
type header struct {
	fields []field
}

// get returns the body of the first field of that name, unfolded, or "".
func (h header) get(name string) string {
	for i := range h.fields {
		if strings.EqualFold(h.fields[i].name, name) {
			return unfold(h.fields[i].body)
		}
	}
	return ""
}

// all returns the bodies of every field of that name, unfolded, in order.
func (h header) all(name string) []string {
	var out []string
	for i := range h.fields {
		if strings.EqualFold(h.fields[i].name, name) {
			out = append(out, unfold(h.fields[i].body))
		}
	}
	return out
}

// cutMboxLine drops the "From " line with which mbox files and some producers
// begin a message.
func cutMboxLine(raw []byte) []byte {
	if bytes.HasPrefix(raw, []byte("From ")) || bytes.HasPrefix(raw, []byte(">From ")) {
		if _, after, ok := bytes.Cut(raw, []byte{'\n'}); ok {
			return after
		}
	}
	return raw
}

// splitHeader reads a header block. It takes LF and CRLF, stops at the first
// empty line and returns what follows it; lines without a colon are reported
// and skipped, since mail readers show such messages all the same.
func splitHeader(raw []byte, l Limits, report func(string)) (header, []byte) {
	var h header
	rest := raw
	used := 0
	ended := false
	for len(rest) > 0 {
		line, next := cutLine(rest)
		if len(line) == 0 {
			rest, ended = next, true
			break
		}
		if used += len(rest) - len(next); used > l.HeaderBlock {
			report(DefectHeaderBlock)
			rest, ended = skipHeader(rest), true
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if n := len(h.fields); n > 0 {
				h.fields[n-1].body = raw[h.fields[n-1].start : len(raw)-len(rest)+len(line)]
			}
			rest = next
			continue
		}
		name, start := fieldName(line)
		switch {
		case name == "":
			report(DefectHeaderLine)
		case len(h.fields) >= l.Fields:
			report(DefectHeaderFields)
			return cutFields(h, l, report), skipHeader(rest)
		default:
			h.fields = append(h.fields, field{name: name, body: line[start:], start: len(raw) - len(rest) + start})
		}
		rest = next
	}
	if !ended {
		report(DefectHeaderEnd)
	}
	return cutFields(h, l, report), rest
}

func cutFields(h header, l Limits, report func(string)) header {
	for i := range h.fields {
		if len(h.fields[i].body) > l.Field {
			report(DefectHeaderField)
			h.fields[i].body = h.fields[i].body[:l.Field]
		}
	}
	return h
}

// cutLine returns the line without its end, and what follows.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// skipHeader returns what follows the next empty line.
func skipHeader(b []byte) []byte {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return nil
		}
		b = b[i+1:]
		if len(b) > 0 && b[0] == '\n' {
			return b[1:]
		}
		if len(b) > 1 && b[0] == '\r' && b[1] == '\n' {
			return b[2:]
		}
	}
	return nil
}

// fieldName returns the name before the colon and where the body starts; ""
// when the line is no field. White space before the colon is obsolete syntax
// that still occurs.
func fieldName(line []byte) (string, int) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || i > 200 {
		return "", 0
	}
	name := bytes.TrimRight(line[:i], " \t")
	for _, c := range name {
		if c <= ' ' || c == 0x7f {
			return "", 0
		}
	}
	if len(name) == 0 {
		return "", 0
	}
	return string(name), i + 1
}

// unfold joins a field's lines and trims it. Folding white space stays as one
// character of it.
func unfold(b []byte) string {
	b = bytes.TrimSpace(b)
	if bytes.IndexByte(b, '\n') < 0 && bytes.IndexByte(b, '\r') < 0 {
		return string(b)
	}
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if c := b[i]; c != '\r' && c != '\n' {
			out = append(out, c)
		}
	}
	return string(out)
}
