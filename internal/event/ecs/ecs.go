// Package ecs knows the names and types of the fields of the Elastic Common
// Schema (ECS 8.17), and of the project's own fields beside them. It knows
// nothing of documents.
package ecs

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Version is the ECS version that documents name in ecs.version.
const Version = "8.17.0"

// Type is the type of a field's value.
type Type string

// The types of values. Keyword covers ECS's keyword, constant_keyword,
// wildcard and flattened leaves: a JSON string that is not analysed.
const (
	Unknown  Type = ""
	Keyword  Type = "keyword"
	Text     Type = "text"
	Long     Type = "long"
	Float    Type = "float"
	Boolean  Type = "boolean"
	Date     Type = "date"
	IP       Type = "ip"
	GeoPoint Type = "geo_point"
	Object   Type = "object"
)

// Field is one field of the schema.
type Field struct {
	Type    Type
	Array   bool     // always an array, of one element or more
	Allowed []string // all values it may have; nil when it is free
}

// Lookup returns the type of the field's value, of each element if it is an
// array; [Unknown] for what is no field of the schema.
func Lookup(name string) Type { return fields()[name].Type }

// Find returns the field of that dotted name.
func Find(name string) (Field, bool) {
	f, ok := fields()[name]
	return f, ok
}

// Names returns the names of all fields, sorted.
func Names() []string { return slices.Sorted(maps.Keys(fields())) }

// ExpectedTypes returns the values of event.type that ECS expects beside a
// value of event.category, nil for what is no category.
func ExpectedTypes(category string) []string {
	return map[string][]string{
		"api":                 {"access", "admin", "allowed", "change", "creation", "deletion", "denied", "end", "info", "start", "user"},
		"authentication":      {"end", "info", "start"},
		"configuration":       {"access", "change", "creation", "deletion", "info"},
		"database":            {"access", "change", "error", "info"},
		"driver":              {"change", "end", "info", "start"},
		"email":               {"info"},
		"file":                {"access", "change", "creation", "deletion", "info"},
		"host":                {"access", "change", "end", "info", "start"},
		"iam":                 {"admin", "change", "creation", "deletion", "group", "info", "user"},
		"intrusion_detection": {"allowed", "denied", "info"},
		"library":             {"start"},
		"malware":             {"info"},
		"network":             {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"},
		"package":             {"access", "change", "deletion", "info", "installation", "start"},
		"process":             {"access", "change", "end", "info", "start"},
		"registry":            {"access", "change", "creation", "deletion"},
		"session":             {"end", "info", "start"},
		"threat":              {"indicator"},
		"vulnerability":       {"info"},
		"web":                 {"access", "error", "info"},
	}[category]
}

//go:embed fields.txt
var source string

// fields is the table, parsed when it is first asked for and never changed.
var fields = sync.OnceValue(func() map[string]Field { return parse(source) })

func parse(text string) map[string]Field {
	out := map[string]Field{}
	var prefixes []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#" || words[0][0] == '#':
		case words[0][0] == '[':
			prefixes = strings.Fields(strings.Trim(strings.TrimSpace(line), "[]"))
			if len(prefixes) == 0 {
				prefixes = []string{""}
			}
		default:
			typ, array := strings.CutSuffix(words[1], "*")
			f := Field{Type: Type(typ), Array: array}
			if len(words) > 3 {
				f.Allowed = words[3:]
			}
			for _, p := range prefixes {
				if p != "" {
					p += "."
				}
				out[p+words[0]] = f
			}
		}
	}
	return out
}
