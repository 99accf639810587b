package suricata

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// leaf is a value at a path, as encoding/json reads it; arrays are leaves.
type leaf struct {
	path  []string
	value any
}

// leavesOf reads the leaves of an object, each of a repeated name.
func leavesOf(t testing.TB, doc []byte) (out []leaf) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	token := func() json.Token {
		tok, err := d.Token()
		if err != nil {
			t.Fatalf("reading %q: %v", doc, err)
		}
		return tok
	}
	var walk func(path []string)
	walk = func(path []string) {
		token()
		if !d.More() && len(path) > 0 {
			out = append(out, leaf{slices.Clone(path), map[string]any{}})
		}
		for d.More() {
			at := append(slices.Clone(path), token().(string))
			if rest := bytes.TrimLeft(doc[d.InputOffset():], " \t\r\n:"); rest[0] == '{' && len(at) < 64 {
				walk(at)
				continue
			}
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatalf("reading %q: %v", doc, err)
			}
			out = append(out, leaf{at, v})
		}
		token()
	}
	walk(nil)
	return out
}

// checkComplete fails for a leaf of the line that is not found in the event.
func checkComplete(t testing.TB, line, doc []byte) {
	t.Helper()
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("reading the event %q: %v", doc, err)
	}
	targets := map[string]mapping.Rule{}
	for _, r := range rules() {
		targets[r.From] = r
	}
	for _, l := range leavesOf(t, line) {
		if kept(out, l) {
			continue
		}
		r, ok := targets[strings.Join(l.path, ".")]
		if !ok || !means(out, r, l.value) {
			t.Errorf("%s = %v is not found in the event\nline  %s\nevent %s", strings.Join(l.path, "."), l.value, line, doc)
		}
	}
}

// kept says whether the leaf stands under suricata.eve, by itself or as one
// of the values of a repeated name.
func kept(out map[string]any, l leaf) bool {
	at := []any{at(out, "suricata", "eve")}
	for _, name := range l.path {
		var below []any
		for _, v := range at {
			for _, o := range alternatives(v) {
				if m, ok := o.(map[string]any); ok {
					if v, ok := m[name]; ok {
						below = append(below, v)
					}
				}
			}
		}
		at = below
	}
	want := fmt.Sprintf("%#v", l.value)
	for _, v := range at {
		for _, o := range alternatives(v) {
			if fmt.Sprintf("%#v", o) == want {
				return true
			}
		}
	}
	return false
}

// alternatives are a value and, of an array, its elements.
func alternatives(v any) []any {
	a, _ := v.([]any)
	return append([]any{v}, a...)
}

func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// means says whether the field that the rule names, or one beside it, says
// the same as the value.
func means(out map[string]any, r mapping.Rule, value any) bool {
	top := strings.Split(r.To, ".")[0]
	switch r.As {
	case asBytesToServer, asBytesToClient, asPacketsToServer, asPacketsToClient:
		kind := "bytes"
		if r.As == asPacketsToServer || r.As == asPacketsToClient {
			kind = "packets"
		}
		return at(out, "source", kind) == value || at(out, "destination", kind) == value
	}
	found := scalars(out[top])
	for _, want := range scalars(value) {
		if !slices.ContainsFunc(found, func(got string) bool { return same(got, want) }) {
			return false
		}
	}
	return true
}

// scalars are the texts of all that is in a value, names left out.
func scalars(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			out = append(out, scalars(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, scalars(e)...)
		}
	default:
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// same says whether two texts are two forms of one value.
func same(got, want string) bool {
	switch want {
	case "TLSv1":
		return got == "1.0"
	case "request":
		want = "query"
	case "response":
		want = "answer"
	case "0", "1", "2", "4", "5", "6":
		if got == map[string]string{"0": "QUERY", "1": "IQUERY", "2": "STATUS", "4": "NOTIFY", "5": "UPDATE", "6": "DSO"}[want] {
			return true
		}
	}
	bare := func(s string) string {
		return strings.NewReplacer(":", "", "-", "", "HTTP/", "", "TLS ", "", "SSLv", "", "_", "").Replace(s)
	}
	if strings.EqualFold(got, want) || strings.EqualFold(bare(got), bare(want)) {
		return true
	}
	a, err := netip.ParseAddr(want)
	b, err2 := netip.ParseAddr(got)
	if err == nil && err2 == nil {
		return a == b
	}
	x, err := time.Parse(time.RFC3339Nano, got)
	for _, form := range []string{"2006-01-02T15:04:05.999999999Z0700", time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if y, err2 := time.Parse(form, want); err == nil && err2 == nil && x.Equal(y) {
			return true
		}
	}
	return false
}

// checkSchema fails for a field outside suricata.* that ECS does not have, or
// has otherwise, and for names that repeat.
func checkSchema(t testing.TB, doc []byte) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range leavesOf(t, doc) {
		path := strings.Join(l.path, ".")
		if key := fmt.Sprintf("%q", l.path); seen[key] {
			t.Errorf("%s repeats in %s", path, doc)
		} else {
			seen[key] = true
		}
		if l.path[0] != "suricata" {
			checkField(t, path, l.value, false)
		}
	}
}

func checkField(t testing.TB, path string, value any, inArray bool) {
	t.Helper()
	f, ok := ecs.Find(path)
	if !ok {
		t.Errorf("%s is no field of ECS", path)
		return
	}
	if a, ok := value.([]any); ok && !inArray {
		if !f.Array || len(a) == 0 {
			t.Errorf("%s is an array of %d: ECS wants one: %v", path, len(a), f.Array)
		}
		for _, v := range a {
			checkField(t, path, v, true)
		}
		return
	}
	if f.Array != inArray {
		t.Errorf("%s: an array: %v, in ECS: %v", path, inArray, f.Array)
	}
	if m, ok := value.(map[string]any); ok && f.Type == ecs.Object {
		for name, v := range m {
			checkMember(t, path+"."+name, v)
		}
		return
	}
	if !fitsType(f, value) {
		t.Errorf("%s = %#v is no %s", path, value, f.Type)
	}
}

// checkMember checks a field of an object in an array.
func checkMember(t testing.TB, path string, v any) {
	t.Helper()
	if m, ok := v.(map[string]any); ok {
		for name, v := range m {
			checkMember(t, path+"."+name, v)
		}
		return
	}
	checkField(t, path, v, false)
}

func fitsType(f ecs.Field, v any) bool {
	switch f.Type {
	case ecs.Long:
		n, ok := v.(json.Number)
		_, err := n.Int64()
		return ok && err == nil
	case ecs.Float:
		_, ok := v.(json.Number)
		return ok
	case ecs.Boolean:
		_, ok := v.(bool)
		return ok
	}
	s, ok := v.(string)
	if !ok {
		return false
	}
	switch f.Type {
	case ecs.IP:
		a, err := netip.ParseAddr(s)
		return err == nil && a.String() == s
	case ecs.Date:
		_, err := time.Parse(time.RFC3339Nano, s)
		return err == nil && strings.HasSuffix(s, "Z")
	}
	return f.Allowed == nil || slices.Contains(f.Allowed, s)
}
