package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"time"
)

// OpenAPI returns the API as an OpenAPI 3.1 document, made from the table of
// routes and the types in it.
func OpenAPI() ([]byte, error) {
	g := schemas{defs: map[string]any{}}
	paths := map[string]map[string]any{}
	for _, rt := range routes() {
		p := Prefix + rt.path
		if paths[p] == nil {
			paths[p] = map[string]any{}
		}
		paths[p][strings.ToLower(rt.method)] = g.operation(rt)
	}
	g.ref(reflect.TypeFor[errorBody]())
	b, err := json.MarshalIndent(map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "Decoder Ring", "version": "1",
			"description": "Over TCP with a session cookie; over control.sock in the data folder by peer credentials.",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"paths":      paths,
		"components": map[string]any{"schemas": g.defs},
	}, "", "  ")
	return append(b, '\n'), err
}

func openAPIEndpoint() endpoint {
	return endpoint{in: reflect.TypeFor[Empty](), out: reflect.TypeFor[map[string]any](), serve: func(_ *Server, w http.ResponseWriter, _ *http.Request) error {
		b, err := OpenAPI()
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, json.RawMessage(b))
	}}
}

func (g *schemas) operation(rt route) map[string]any {
	content := "application/json"
	if rt.stream {
		content = "application/x-ndjson"
	}
	if rt.out == reflect.TypeFor[Live]() {
		content = "text/event-stream"
	}
	body := func(kind string, s any) map[string]any {
		return map[string]any{kind: map[string]any{"schema": s}}
	}
	op := map[string]any{
		"summary": rt.summary,
		"responses": map[string]any{
			"200":     map[string]any{"description": "OK", "content": body(content, g.ref(rt.out))},
			"default": map[string]any{"description": "Error", "content": body("application/json", g.ref(reflect.TypeFor[errorBody]()))},
		},
	}
	switch rt.access {
	case open:
		op["security"] = []any{}
	case local:
		op["description"] = "Only over the socket."
	case signedIn:
	}
	var params []any
	inBody := false
	for _, f := range fields(rt.in) {
		switch {
		case f.path != "":
			params = append(params, map[string]any{"name": f.path, "in": "path", "required": true, "schema": g.of(f)})
		case rt.method == http.MethodGet:
			params = append(params, map[string]any{"name": f.name, "in": "query", "required": !f.empty, "schema": g.of(f)})
		default:
			inBody = true
		}
	}
	if params != nil {
		op["parameters"] = params
	}
	if inBody {
		op["requestBody"] = map[string]any{"required": true, "content": body("application/json", g.ref(rt.in))}
	}
	return op
}

// schemas collects the schemas of named types.
type schemas struct{ defs map[string]any }

// notName is what generic types have in their names and schemas may not.
var notName = regexp.MustCompile(`[^A-Za-z0-9]+|github\.com/decodersring/decoder/internal/`)

func (g *schemas) ref(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{"description": "any JSON"}
	case reflect.TypeFor[Bytes]():
		return map[string]any{"oneOf": []any{
			map[string]any{"type": "string"}, map[string]any{"type": "null"},
			map[string]any{"type": "object", "required": []string{"base64"}, "properties": map[string]any{"base64": map[string]any{"type": "string"}}},
		}}
	case reflect.TypeFor[time.Duration]():
		return map[string]any{"type": "integer", "description": "nanoseconds"}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.ref(t.Elem())
	case reflect.Slice:
		return map[string]any{"type": "array", "items": g.ref(t.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": g.ref(t.Elem())}
	case reflect.Struct:
		return g.object(t)
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	case reflect.Interface:
		return map[string]any{}
	default:
		return map[string]any{"type": "string"}
	}
}

func (g *schemas) object(t reflect.Type) any {
	pkg := t.PkgPath()[strings.LastIndex(t.PkgPath(), "/")+1:]
	name := notName.ReplaceAllString(t.Name(), "")
	if pkg != "api" && !strings.HasPrefix(strings.ToLower(name), pkg) {
		name = strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
	name = strings.ToUpper(name[:1]) + name[1:]
	if _, known := g.defs[name]; !known {
		g.defs[name] = nil // for types that hold themselves
		properties := map[string]any{}
		required := []string{}
		for _, f := range fields(t) {
			if f.path != "" {
				continue
			}
			properties[f.name] = g.of(f)
			if !f.empty {
				required = append(required, f.name)
			}
		}
		def := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			def["required"] = required
		}
		g.defs[name] = def
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

// of is the schema of a field, with what its tags add.
func (g *schemas) of(f field) any {
	s := g.ref(f.typ)
	m, ok := s.(map[string]any)
	if !ok || m["$ref"] != nil {
		return s
	}
	if enum := f.tag.Get("enum"); enum != "" {
		m["enum"] = strings.Split(enum, ",")
	}
	if doc := f.tag.Get("doc"); doc != "" {
		m["description"] = doc
	}
	return m
}
