package schematest

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Wrong puts values of other types into a document, one at a time, in every
// place that the schema speaks of, and returns the places in which the schema
// does not notice, and in how many it looked.
func (s *Schema) Wrong(document []byte) (unnoticed []string, looked int) {
	var v any
	if err := decode(document, &v); err != nil {
		return []string{err.Error()}, 0
	}
	spots := map[string]spot{}
	s.spots(s.root, s.root, v, "", spots)
	for _, at := range slices.Sorted(maps.Keys(spots)) {
		in := spots[at]
		right := in.value
		for _, wrong := range []any{json.Number("7"), "\x00 wrong", []any{[]any{}}, map[string]any{"wrong": nil}, true, nil} {
			if reflect.TypeOf(wrong) == reflect.TypeOf(right) {
				continue
			}
			in.set(wrong)
			if len(s.ErrorsOf(v)) == 0 {
				unnoticed = append(unnoticed, fmt.Sprintf("%s: %v", at, wrong))
			}
		}
		in.set(right)
	}
	return unnoticed, len(spots)
}

// spot is a place in a document: a member of an object, or the first element
// of an array.
type spot struct {
	value any
	set   func(any)
}

// spots collects the places of a document that the schema says something of.
func (s *Schema) spots(schema, file map[string]any, v any, at string, out map[string]spot) {
	if name, refers := schema["$ref"].(string); refers {
		if inner, in, err := s.resolve(name, file); err == nil {
			s.spots(inner, in, v, at, out)
		}
	}
	all, _ := schema["allOf"].([]any)
	for _, one := range all {
		s.spots(one.(map[string]any), file, v, at, out)
	}
	object, _ := v.(map[string]any)
	named, _ := schema["properties"].(map[string]any)
	for name, inner := range named {
		if value, there := object[name]; there {
			out[at+"."+name] = spot{value, func(to any) { object[name] = to }}
			s.spots(inner.(map[string]any), file, value, at+"."+name, out)
		}
	}
	list, _ := v.([]any)
	if inner, there := schema["items"].(map[string]any); there && len(list) > 0 {
		out[at+"[0]"] = spot{list[0], func(to any) { list[0] = to }}
		s.spots(inner, file, list[0], at+"[0]", out)
	}
}
