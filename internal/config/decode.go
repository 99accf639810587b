package config

import (
	"encoding"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds a configuration file, and with it what aliases can unfold to.
const maxFile = 1 << 20

// Load reads the file at path into v, a pointer to a struct that holds the
// defaults. It returns [Problems] when the file can be read but is wrong.
func Load(path string, v any) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("reading configuration: %w", err)
	}
	if info.Size() > maxFile {
		return fmt.Errorf("reading configuration: %s is larger than %s", path, Size(maxFile))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading configuration: %w", err)
	}
	return Decode(path, text, v)
}

// Decode reads YAML text into v as [Load] does; name stands for the file in
// problems.
func Decode(name string, text []byte, v any) error {
	d := decoder{file: name}
	var doc yaml.Node
	if err := yaml.Load(text, &doc, yaml.WithV4Defaults()); err != nil {
		return d.syntax(err)
	}
	if len(doc.Content) > 0 {
		d.value(doc.Content[0], reflect.ValueOf(v).Elem(), "")
	} else {
		d.validate(&yaml.Node{Line: 1, Column: 1}, reflect.ValueOf(v).Elem(), "")
	}
	if len(d.problems) > 0 {
		return d.problems
	}
	return nil
}

type decoder struct {
	file     string
	problems Problems
}

func (d *decoder) fail(n *yaml.Node, format string, args ...any) {
	d.problems = append(d.problems, Problem{File: d.file, Line: n.Line, Column: n.Column, Message: fmt.Sprintf(format, args...)})
}

// syntax reports what the YAML parser refused, at the position it gives.
func (d *decoder) syntax(err error) error {
	p := Problem{File: d.file, Line: 1, Column: 1, Message: err.Error()}
	if load, ok := errors.AsType[*yaml.LoadError](err); ok {
		p.Line, p.Column, p.Message = max(load.Mark.Line, 1), max(load.Mark.Column, 1), load.Message
	}
	return Problems{p}
}

func (d *decoder) value(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.AliasNode {
		d.fail(n, "%s: aliases are not supported, write the value out", path)
		return
	}
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" {
		return // "key:" alone keeps the default
	}
	if t, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		if d.scalar(n, path, "a single value") {
			if err := t.UnmarshalText([]byte(n.Value)); err != nil {
				d.fail(n, "%s: %v", path, err)
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Map:
		d.entries(n, v, path)
	case reflect.Slice:
		d.sequence(n, v, path)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path)
	default:
		d.primitive(n, v, path)
	}
}

func (d *decoder) scalar(n *yaml.Node, path, want string) bool {
	if n.Kind == yaml.ScalarNode {
		return true
	}
	d.fail(n, "%s: expected %s", path, want)
	return false
}

func (d *decoder) primitive(n *yaml.Node, v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		if d.scalar(n, path, "text") {
			v.SetString(n.Value)
		}
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if err != nil || n.Kind != yaml.ScalarNode {
			d.fail(n, "%s: expected true or false", path)
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, v.Type().Bits())
		if err != nil || n.Kind != yaml.ScalarNode {
			d.fail(n, "%s: expected a whole number", path)
			return
		}
		v.SetInt(i)
	case reflect.Float64:
		f, err := strconv.ParseFloat(n.Value, 64)
		if err != nil || n.Kind != yaml.ScalarNode {
			d.fail(n, "%s: expected a number", path)
			return
		}
		v.SetFloat(f)
	default:
		panic("config: " + path + " has a type that cannot be configured: " + v.Type().String())
	}
}

func (d *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		d.fail(n, "%s: expected a list", path)
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		d.value(item, out.Index(i), path+"["+strconv.Itoa(i)+"]")
	}
	v.Set(out)
}

func (d *decoder) entries(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, "%s: expected a mapping", path)
		return
	}
	out := reflect.MakeMap(v.Type())
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, item := n.Content[i], reflect.New(v.Type().Elem()).Elem()
		d.value(n.Content[i+1], item, join(path, key.Value))
		out.SetMapIndex(reflect.ValueOf(key.Value), item)
	}
	v.Set(out)
}

func (d *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, "%s: expected a mapping of %s", orFile(path), list(names(v.Type())))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if line, twice := seen[key.Value]; twice {
			d.fail(key, "%s: given twice, first in line %d", join(path, key.Value), line)
			continue
		}
		seen[key.Value] = key.Line
		d.field(key, val, v, path)
	}
	d.validate(n, v, path)
}

func (d *decoder) field(key, val *yaml.Node, v reflect.Value, path string) {
	name := join(path, key.Value)
	if f, ok := fieldNamed(v, key.Value); ok {
		d.value(val, f, name)
		return
	}
	if base, isFile := strings.CutSuffix(key.Value, "_file"); isFile {
		if f, ok := fieldNamed(v, base); ok && f.Type() == reflect.TypeFor[Secret]() {
			if err := f.Addr().Interface().(*Secret).readFile(val.Value); err != nil {
				d.fail(val, "%s: %v", name, err)
			}
			return
		}
	}
	known := names(v.Type())
	if near := nearest(key.Value, known); near != "" {
		d.fail(key, "%s: unknown setting, did you mean %q?", name, near)
		return
	}
	d.fail(key, "%s: unknown setting, expected one of %s", name, list(known))
}

func (d *decoder) validate(n *yaml.Node, v reflect.Value, path string) {
	val, ok := reflect.TypeAssert[interface{ Validate() error }](v.Addr())
	if !ok {
		return
	}
	for _, err := range split(val.Validate()) {
		at, name := n, path
		if fe, ok := errors.AsType[*FieldError](err); ok {
			at, name, err = valueOf(n, fe.Field), join(path, fe.Field), fe.Err
		}
		d.fail(at, "%s: %v", orFile(name), err)
	}
}

// valueOf returns the node of a mapping's value, or the mapping itself where
// the field was left at its default.
func valueOf(n *yaml.Node, field string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == field {
			return n.Content[i+1]
		}
	}
	return n
}

func fieldNamed(v reflect.Value, name string) (reflect.Value, bool) {
	for f := range v.Type().Fields() {
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			if inner, ok := fieldNamed(v.FieldByIndex(f.Index), name); ok {
				return inner, true
			}
		} else if f.IsExported() && f.Tag.Get("yaml") == name {
			return v.FieldByIndex(f.Index), true
		}
	}
	return reflect.Value{}, false
}

// names lists the settings of a struct, in order.
func names(t reflect.Type) []string {
	var out []string
	for f := range t.Fields() {
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			out = append(out, names(f.Type)...)
		} else if tag := f.Tag.Get("yaml"); tag != "" && tag != "-" {
			out = append(out, tag)
		}
	}
	slices.Sort(out)
	return out
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func orFile(path string) string {
	if path == "" {
		return "configuration"
	}
	return path
}
