package api

import (
	"encoding"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// field is a field of a request's struct as it stands on the wire.
type field struct {
	name  string // in the query string or JSON
	path  string // in the path, instead
	index []int
	typ   reflect.Type
	tag   reflect.StructTag
	empty bool // may be absent
}

// fields lists a struct's fields, those of embedded structs among them.
func fields(t reflect.Type) []field {
	var out []field
	if t.Kind() != reflect.Struct {
		return nil
	}
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			for _, in := range fields(f.Type) {
				in.index = append(slices.Clone(f.Index), in.index...)
				out = append(out, in)
			}
		case f.Tag.Get("path") != "":
			out = append(out, field{path: f.Tag.Get("path"), index: f.Index, typ: f.Type, tag: f.Tag})
		case f.IsExported() && name != "-" && name != "":
			out = append(out, field{name: name, index: f.Index, typ: f.Type, tag: f.Tag, empty: strings.Contains(options, "omit")})
		}
	}
	return out
}

func decodeQuery(q url.Values, in any) error {
	v := reflect.ValueOf(in).Elem()
	known := fields(v.Type())
	for name, values := range q {
		i := slices.IndexFunc(known, func(f field) bool { return f.name == name })
		if i < 0 || name == "" {
			return fmt.Errorf("there is no parameter %q here", name)
		}
		if len(values) != 1 {
			return fmt.Errorf("parameter %s is given more than once", name)
		}
		if err := setText(v.FieldByIndex(known[i].index), values[0]); err != nil {
			return fmt.Errorf("parameter %s: %w", name, err)
		}
		if err := checkEnum(known[i], values[0]); err != nil {
			return err
		}
	}
	return nil
}

func checkEnum(f field, value string) error {
	allowed := f.tag.Get("enum")
	if allowed == "" || value == "" || slices.Contains(strings.Split(allowed, ","), value) {
		return nil
	}
	return fmt.Errorf("%s is one of %s, not %q", f.name, strings.ReplaceAll(allowed, ",", ", "), value)
}

func decodePath(value func(string) string, in any) error {
	v := reflect.ValueOf(in).Elem()
	for _, f := range fields(v.Type()) {
		if f.path == "" {
			continue
		}
		if err := setText(v.FieldByIndex(f.index), value(f.path)); err != nil {
			return fmt.Errorf("%s in the path: %w", f.path, err)
		}
	}
	return nil
}

// EncodeQuery returns a GET request's struct as its query string.
func EncodeQuery(in any) string {
	v := reflect.ValueOf(in)
	q := url.Values{}
	for _, f := range fields(v.Type()) {
		if x := v.FieldByIndex(f.index); f.path == "" && !x.IsZero() {
			q.Set(f.name, text(x))
		}
	}
	return q.Encode()
}

// EncodePath fills the path values of a route with those of a request's struct.
func EncodePath(path string, in any) string {
	v := reflect.ValueOf(in)
	for _, f := range fields(v.Type()) {
		if f.path != "" {
			path = strings.Replace(path, "{"+f.path+"}", url.PathEscape(text(v.FieldByIndex(f.index))), 1)
		}
	}
	return path
}

func text(v reflect.Value) string {
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](v); ok {
		b, _ := m.MarshalText() // of a time within four-digit years; there is no error then
		return string(b)
	}
	return fmt.Sprint(v.Interface())
}

func setText(v reflect.Value, s string) error {
	switch v.Kind() {
	case reflect.String:
		v.SetString(s)
	case reflect.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", s)
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(s, 10, v.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a whole number", s)
		}
		v.SetInt(n)
	default:
		return fmt.Errorf("a %s cannot stand there", v.Type())
	}
	return nil
}

// ParseTime reads a time of a request: RFC 3339, a date (its first moment in
// UTC), "now", or an age before now such as 90s, 15m, 24h, 7d, 4w, with or
// without a minus. Empty is the zero time.
func ParseTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if s == "now" {
		return now, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if d, err := parseAge(strings.TrimPrefix(s, "-")); err == nil {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("%q is not a time: give RFC 3339 (2026-01-02T15:04:05Z), a date, or an age such as 24h or 7d", s)
}

const longestAge = 100 * 365 * 24 * time.Hour

func parseAge(s string) (time.Duration, error) {
	unit := time.Duration(0)
	switch {
	case strings.HasSuffix(s, "d"):
		unit = 24 * time.Hour
	case strings.HasSuffix(s, "w"):
		unit = 7 * 24 * time.Hour
	}
	var d time.Duration
	if unit == 0 {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return 0, fmt.Errorf("reading age: %w", err)
		}
	} else {
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 16)
		if err != nil {
			return 0, fmt.Errorf("reading age: %w", err)
		}
		d = time.Duration(n) * unit
	}
	if d < 0 || d > longestAge {
		return 0, fmt.Errorf("age %s is out of range", s)
	}
	return d, nil
}
