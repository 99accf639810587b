package zeek

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// header is what the header of a log says of its lines.
type header struct {
	path      string
	separator byte
	set       byte   // between the elements of a set or vector
	empty     string // an empty set, vector or string
	unset     string // no value
	columns   []column
}

type column struct {
	name string // as JSON, with its colon
	kind kind
}

// kind is how a column's text becomes JSON.
type kind uint8

const (
	text kind = iota
	integer
	number
	boolean
	list // of text, plus one of the above
)

// maxColumns bounds what a hostile header makes us keep.
const maxColumns = 1000

// parseHeader reads the lines of a log's header. Lines that it does not know
// are left out; only the fields of TSV need more than the path.
func parseHeader(format string) (*header, error) {
	h := &header{separator: '\t', set: ',', empty: "(empty)", unset: "-"}
	var fields, types []string
	for line := range strings.Lines(format) {
		line = strings.TrimRight(line, "\r\n")
		name, rest, _ := strings.Cut(line, string(rune(h.separator)))
		if name, value, ok := strings.Cut(line, " "); ok && name == "#separator" {
			sep, err := unescape(value)
			if err != nil || len(sep) != 1 {
				return nil, fmt.Errorf("reading Zeek's header: separator %q", value)
			}
			h.separator = sep[0]
			continue
		}
		switch name {
		case "#set_separator":
			if len(rest) == 1 {
				h.set = rest[0]
			}
		case "#empty_field":
			h.empty = rest
		case "#unset_field":
			h.unset = rest
		case "#path":
			h.path = rest
		case "#fields":
			fields = strings.Split(rest, string(rune(h.separator)))
		case "#types":
			types = strings.Split(rest, string(rune(h.separator)))
		}
	}
	if len(fields) != len(types) || len(fields) > maxColumns {
		return nil, fmt.Errorf("reading Zeek's header: %d fields, %d types", len(fields), len(types))
	}
	for i, f := range fields {
		h.columns = append(h.columns, column{name: strconv.Quote(f) + ":", kind: kindOf(types[i])})
		if strings.ContainsFunc(f, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
			return nil, fmt.Errorf("reading Zeek's header: a field %q", f)
		}
	}
	if h.path == "" && len(fields) == 0 {
		return nil, errors.New("reading Zeek's header: neither path nor fields")
	}
	return h, nil
}

func kindOf(typ string) kind {
	if _, inner, ok := strings.Cut(typ, "["); ok {
		return list + kindOf(strings.TrimSuffix(inner, "]"))
	}
	switch typ {
	case "count", "int", "port":
		return integer
	case "double", "interval", "time":
		return number
	case "bool":
		return boolean
	}
	return text
}

// unescape reads the \x09 of a header.
func unescape(s string) (string, error) {
	hex, ok := strings.CutPrefix(s, `\x`)
	if !ok {
		return s, nil
	}
	n, err := strconv.ParseUint(hex, 16, 8)
	if err != nil {
		return "", fmt.Errorf("reading an escape: %w", err)
	}
	return string([]byte{byte(n)}), nil
}
