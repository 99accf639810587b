// Package schematest holds documents against the JSON Schemas of the reference
// (docs/reference). It knows the keywords that these use, of draft 2020-12,
// and refuses a schema with any other: a keyword it passed over would hold
// nothing.
package schematest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Schema is a schema with the files it refers to.
type Schema struct {
	dir  string
	root map[string]any
	all  map[string]map[string]any // by file name
}

// Load reads a schema of a folder, and whatever it refers to.
func Load(t testing.TB, dir, name string) *Schema {
	t.Helper()
	s := &Schema{dir: dir, all: map[string]map[string]any{}}
	root, err := s.file(name)
	if err == nil {
		err = s.known(root, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.root = root
	return s
}

func (s *Schema) file(name string) (map[string]any, error) {
	if f := s.all[name]; f != nil {
		return f, nil
	}
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		return nil, err
	}
	var f map[string]any
	if err := decode(b, &f); err != nil {
		return nil, fmt.Errorf("reading schema %s: %w", name, err)
	}
	s.all[name] = f
	return f, nil
}

func decode(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(into)
}

// resolve returns what a reference names: a file of the folder, or a part of
// the file that it stands in.
func (s *Schema) resolve(ref string, in map[string]any) (schema, file map[string]any, err error) {
	if name, own := strings.CutPrefix(ref, "#/$defs/"); own {
		defs, _ := in["$defs"].(map[string]any)
		schema, _ = defs[name].(map[string]any)
		if schema == nil {
			return nil, nil, fmt.Errorf("there is no definition %s", name)
		}
		return schema, in, nil
	}
	file, err = s.file(ref)
	return file, file, err
}

var annotations = []string{"$schema", "title", "description", "$defs"}

// known refuses keywords that are not checked.
func (s *Schema) known(schema map[string]any, at string) error {
	for keyword, value := range schema {
		if slices.Contains(annotations, keyword) {
			continue
		}
		if _, ok := keywords()[keyword]; !ok {
			return fmt.Errorf("%s: the keyword %s is not checked", at, keyword)
		}
		var below []any
		switch v := value.(type) {
		case map[string]any:
			if keyword == "properties" {
				below = slices.Collect(maps.Values(v))
			} else if keyword != "const" {
				below = []any{v}
			}
		case []any:
			if keyword == "allOf" {
				below = v
			}
		}
		for _, b := range below {
			inner, is := b.(map[string]any)
			if !is {
				return fmt.Errorf("%s: %s holds no schema", at, keyword)
			}
			if err := s.known(inner, at+" "+keyword); err != nil {
				return err
			}
		}
	}
	return nil
}

// Errors returns what is wrong with a document, as JSON; nothing if it is as
// the schema says.
func (s *Schema) Errors(document []byte) []string {
	var v any
	if err := decode(document, &v); err != nil {
		return []string{err.Error()}
	}
	return s.ErrorsOf(v)
}

// ErrorsOf is Errors for a decoded document, with json.Number for its numbers.
func (s *Schema) ErrorsOf(v any) []string {
	c := checking{schemas: s}
	c.check(s.root, s.root, "", v)
	return c.errors
}

type checking struct {
	schemas *Schema
	errors  []string
}

func (c *checking) fail(at, format string, args ...any) {
	c.errors = append(c.errors, at+": "+fmt.Sprintf(format, args...))
}

// keyword checks one keyword's value against v.
type keyword func(c *checking, value any, file map[string]any, at string, v any)

func keywords() map[string]keyword {
	return map[string]keyword{
		"$ref": ref, "allOf": allOf, "type": typeOf, "required": required, "properties": properties,
		"additionalProperties": additional, "items": items, "enum": enum, "const": constant, "pattern": pattern,
		"format": format, "minimum": minimum, "maximum": maximum, "minLength": minLength, "minItems": minItems,
	}
}

func (c *checking) check(schema, file map[string]any, at string, v any) {
	for _, name := range slices.Sorted(maps.Keys(schema)) {
		if k := keywords()[name]; k != nil && name != "additionalProperties" {
			k(c, schema[name], file, at, v)
		}
	}
	if extra, there := schema["additionalProperties"]; there {
		object, _ := v.(map[string]any)
		named, _ := schema["properties"].(map[string]any)
		rest := map[string]any{}
		for name, value := range object {
			if _, is := named[name]; !is {
				rest[name] = value
			}
		}
		additional(c, extra, file, at, rest)
	}
}

func ref(c *checking, value any, file map[string]any, at string, v any) {
	schema, in, err := c.schemas.resolve(value.(string), file)
	if err != nil {
		c.fail(at, "%v", err)
		return
	}
	c.check(schema, in, at, v)
}

func allOf(c *checking, value any, file map[string]any, at string, v any) {
	for _, one := range value.([]any) {
		c.check(one.(map[string]any), file, at, v)
	}
}

func typeOf(c *checking, value any, _ map[string]any, at string, v any) {
	allowed, list := value.([]any)
	if !list {
		allowed = []any{value}
	}
	for _, t := range allowed {
		if isOf(t.(string), v) {
			return
		}
	}
	c.fail(at, "%v is not of type %v", v, value)
}

func isOf(name string, v any) bool {
	switch name {
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "array":
		_, ok := v.([]any)
		return ok
	case "string":
		_, ok := v.(string)
		return ok
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "null":
		return v == nil
	}
	n, ok := v.(json.Number)
	r := rational(n)
	return ok && r != nil && (name == "number" || name == "integer" && r.IsInt())
}

func rational(n json.Number) *big.Rat {
	if len(n) > 100 {
		return nil // an exponent may stand for any number of digits
	}
	r, ok := new(big.Rat).SetString(string(n))
	if !ok {
		return nil
	}
	return r
}

func required(c *checking, value any, _ map[string]any, at string, v any) {
	object, is := v.(map[string]any)
	for _, name := range value.([]any) {
		if _, there := object[name.(string)]; is && !there {
			c.fail(at, "%s is missing", name)
		}
	}
}

func properties(c *checking, value any, file map[string]any, at string, v any) {
	object, _ := v.(map[string]any)
	for name, schema := range value.(map[string]any) {
		if inner, there := object[name]; there {
			c.check(schema.(map[string]any), file, at+"."+name, inner)
		}
	}
}

func additional(c *checking, value any, file map[string]any, at string, v any) {
	object, _ := v.(map[string]any)
	for name, inner := range object {
		if schema, is := value.(map[string]any); is {
			c.check(schema, file, at+"."+name, inner)
		} else if value == false {
			c.fail(at, "%s is not provided for", name)
		}
	}
}

func items(c *checking, value any, file map[string]any, at string, v any) {
	list, _ := v.([]any)
	for i, inner := range list {
		c.check(value.(map[string]any), file, fmt.Sprintf("%s[%d]", at, i), inner)
	}
}

func enum(c *checking, value any, _ map[string]any, at string, v any) {
	if !slices.ContainsFunc(value.([]any), func(allowed any) bool { return reflect.DeepEqual(allowed, v) }) {
		c.fail(at, "%v is none of %v", v, value)
	}
}

func constant(c *checking, value any, _ map[string]any, at string, v any) {
	if !reflect.DeepEqual(value, v) {
		c.fail(at, "%v is not %v", v, value)
	}
}

func pattern(c *checking, value any, _ map[string]any, at string, v any) {
	if text, is := v.(string); is && !regexp.MustCompile(value.(string)).MatchString(text) {
		c.fail(at, "%.100q is not like %s", text, value)
	}
}

func format(c *checking, value any, _ map[string]any, at string, v any) {
	text, is := v.(string)
	if value != "date-time" {
		c.fail(at, "the format %s is not checked", value)
	} else if _, err := time.Parse(time.RFC3339Nano, text); is && err != nil {
		c.fail(at, "%.100q is no time", text)
	}
}

func minimum(c *checking, value any, _ map[string]any, at string, v any) { bound(c, value, at, v, -1) }
func maximum(c *checking, value any, _ map[string]any, at string, v any) { bound(c, value, at, v, 1) }

// bound refuses a number on the wrong side of the value.
func bound(c *checking, value any, at string, v any, wrong int) {
	n, is := v.(json.Number)
	if r := rational(n); is && r != nil && r.Cmp(rational(value.(json.Number))) == wrong {
		c.fail(at, "%s is beyond %s", n, value)
	}
}

func minLength(c *checking, value any, _ map[string]any, at string, v any) {
	least, _ := value.(json.Number).Int64()
	if text, is := v.(string); is && int64(utf8.RuneCountInString(text)) < least {
		c.fail(at, "%q is shorter than %s", text, value)
	}
}

func minItems(c *checking, value any, _ map[string]any, at string, v any) {
	least, _ := value.(json.Number).Int64()
	if list, is := v.([]any); is && int64(len(list)) < least {
		c.fail(at, "%d elements are fewer than %s", len(list), value)
	}
}
