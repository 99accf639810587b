package custom

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
)

// parse reads a value as documents of the format.
func parse(c Convert, value []byte) ([]map[string]any, error) {
	switch c.From {
	case "json":
		var object map[string]any
		if err := json.Unmarshal(value, &object); err != nil {
			return nil, err
		}
		return []map[string]any{object}, nil
	case "xml":
		object, err := parseXML(value)
		return []map[string]any{object}, err
	case "csv":
		return parseCSV(value, c.Columns)
	case "kv":
		object, err := parseKV(string(value))
		return []map[string]any{object}, err
	default:
		var all []map[string]any
		for line := range strings.Lines(string(value)) {
			if line = strings.TrimRight(line, "\r\n"); line != "" {
				all = append(all, map[string]any{"message": line})
			}
		}
		return all, nil
	}
}

func parseCSV(value []byte, columns []string) ([]map[string]any, error) {
	reader := csv.NewReader(bytes.NewReader(value))
	reader.FieldsPerRecord = -1
	var all []map[string]any
	for {
		row, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if columns == nil {
			columns = row
			continue
		}
		if len(row) > len(columns) {
			return nil, fmt.Errorf("%d fields, %d columns", len(row), len(columns))
		}
		object := map[string]any{}
		for i, field := range row {
			object[columns[i]] = field
		}
		all = append(all, object)
	}
}

// parseKV reads key=value pairs divided by spaces; a value in double quotes
// may hold any of them, and \" and \\.
func parseKV(text string) (map[string]any, error) {
	object := map[string]any{}
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimLeftFunc(text, unicode.IsSpace) {
		key, rest, found := strings.Cut(text, "=")
		if !found || key == "" || strings.ContainsFunc(key, unicode.IsSpace) {
			return nil, fmt.Errorf("no key=value at %q", shortened(text))
		}
		if strings.HasPrefix(rest, `"`) {
			value, after, err := unquote(rest[1:])
			if err != nil {
				return nil, err
			}
			object[key], text = value, after
			continue
		}
		end := strings.IndexFunc(rest, unicode.IsSpace)
		if end < 0 {
			end = len(rest)
		}
		object[key], text = rest[:end], rest[end:]
	}
	return object, nil
}

func unquote(text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			if i++; i < len(text) {
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", errors.New("a quote is not closed")
}

func shortened(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// format writes a document.
func format(c Convert, object map[string]any) ([]byte, error) {
	switch c.To {
	case "json":
		return json.Marshal(object)
	case "xml":
		root := c.Root
		if root == "" {
			root = "event"
		}
		return formatXML(root, object)
	case "csv":
		columns := c.Columns
		if columns == nil {
			columns = slices.Sorted(maps.Keys(object))
		}
		row := make([]string, len(columns))
		for i, name := range columns {
			row[i] = text(object[name])
		}
		var b bytes.Buffer
		writer := csv.NewWriter(&b)
		if err := writer.Write(row); err != nil {
			return nil, err
		}
		writer.Flush()
		return bytes.TrimRight(b.Bytes(), "\r\n"), writer.Error()
	case "kv":
		return formatKV(object)
	default:
		message, is := object["message"].(string)
		if !is {
			return nil, errors.New("the document has no text in the field message")
		}
		return []byte(message), nil
	}
}

func formatKV(object map[string]any) ([]byte, error) {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(object)) {
		if key == "" || strings.ContainsAny(key, "= \t\r\n\"") {
			return nil, fmt.Errorf("%q cannot be a key", key)
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(key + "=")
		value := text(object[key])
		if value == "" || strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || r == '"' || r == '\\' || r == '=' }) {
			b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
			continue
		}
		b.WriteString(value)
	}
	return b.Bytes(), nil
}

// text is a value as a cell: text as it is, all else as JSON.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(b)
	}
}
