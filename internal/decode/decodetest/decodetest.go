// Package decodetest checks what decoders promise: that an event is ECS, and
// that all of a line is found in it. It reads JSON with encoding/json and shares
// no code with the decoders.
package decodetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
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

// A Finder says of a value that is not kept as it was whether the event has it
// in another form.
type Finder func(event map[string]any, rule mapping.Rule, value any) bool

// Checker checks the events of one decoder against the lines they are made of.
type Checker struct {
	nest  []string
	rules map[string]mapping.Rule
	flat  bool
	own   Finder
}

// NewChecker returns a checker of a decoder that keeps what ECS has no field
// for in the object at the path nest. flat says that From of a rule is one
// name. own knows the forms that the source's own ways give, and may be nil.
func NewChecker(nest string, rules []mapping.Rule, flat bool, own Finder) Checker {
	c := Checker{nest: strings.Split(nest, "."), rules: map[string]mapping.Rule{}, flat: flat, own: own}
	for _, r := range rules {
		c.rules[r.From] = r
	}
	return c
}

// Complete fails for a leaf of the line, an object, that is not found in the
// event: in the nest, or at the field of its rule.
func (c Checker) Complete(t testing.TB, line, doc []byte) {
	t.Helper()
	var out map[string]any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatalf("reading the event %q: %v", doc, err)
	}
	for _, l := range leavesOf(t, line) {
		if kept(at(out, c.nest...), l) {
			continue
		}
		r, ok := c.rules[strings.Join(l.path, ".")]
		ok = ok && (!c.flat || len(l.path) == 1)
		if !ok || !Means(out, r, l.value) && (c.own == nil || !c.own(out, r, l.value)) {
			t.Errorf("%s = %v is not found in the event\nline  %s\nevent %s", strings.Join(l.path, "."), l.value, line, doc)
		}
	}
}

// kept says whether the leaf stands in the nest, by itself or as one of the
// values of a repeated name.
func kept(nest any, l leaf) bool {
	at := []any{nest}
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

// Means says whether the field that the rule names, or one beside it, says
// the same as the value.
func Means(out map[string]any, r mapping.Rule, value any) bool {
	if r.To == "" {
		return false
	}
	found := scalars(out[strings.Split(r.To, ".")[0]])
	for _, want := range scalars(value) {
		if !slices.ContainsFunc(found, func(got string) bool { return same(got, want, r.As) }) {
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
func same(got, want string, as mapping.As) bool {
	bare := func(s string) string {
		return strings.NewReplacer(":", "", "-", "", "HTTP/", "", "TLS ", "", "_", "").Replace(s)
	}
	if strings.EqualFold(got, want) || strings.EqualFold(bare(got), bare(want)) {
		return true
	}
	if a, err := netip.ParseAddr(want); err == nil {
		b, err := netip.ParseAddr(got)
		return err == nil && a == b
	}
	switch as {
	case mapping.Epoch:
		x, err := time.Parse(time.RFC3339Nano, got)
		y, ok := new(big.Rat).SetString(want)
		if err == nil && ok {
			return new(big.Rat).SetFrac64(x.Unix()*1e9+int64(x.Nanosecond()), 1e9).Cmp(y) == 0
		}
	case mapping.Seconds:
		x, ok := new(big.Rat).SetString(got)
		y, ok2 := new(big.Rat).SetString(want)
		return ok && ok2 && x.Quo(x, big.NewRat(1e9, 1)).Cmp(y) == 0
	case mapping.Outcome:
		return got == map[string]string{"true": "success", "false": "failure"}[want]
	}
	x, err := time.Parse(time.RFC3339Nano, got)
	for _, form := range []string{"2006-01-02T15:04:05.999999999Z0700", time.RFC3339Nano, "2006-01-02T15:04:05.999999999"} {
		if y, err2 := time.Parse(form, want); err == nil && err2 == nil && x.Equal(y) {
			return true
		}
	}
	return false
}

// Schema fails for a field outside the nest's outermost object that ECS does not
// have, or has otherwise, for names that repeat, and for values of event.type
// that no value of event.category expects.
func (c Checker) Schema(t testing.TB, doc []byte) {
	t.Helper()
	seen := map[string]bool{}
	var categories, types []any
	for _, l := range leavesOf(t, doc) {
		path := strings.Join(l.path, ".")
		if key := fmt.Sprintf("%q", l.path); seen[key] {
			t.Errorf("%s repeats in %s", path, doc)
		} else {
			seen[key] = true
		}
		switch path {
		case "event.category":
			categories, _ = l.value.([]any)
		case "event.type":
			types, _ = l.value.([]any)
		}
		if l.path[0] != c.nest[0] {
			checkField(t, path, l.value, false)
		}
	}
	for _, typ := range types {
		if len(categories) > 0 && !slices.ContainsFunc(categories, func(c any) bool {
			return slices.Contains(ecs.ExpectedTypes(fmt.Sprint(c)), fmt.Sprint(typ))
		}) {
			t.Errorf("event.type %v is expected by none of the categories %v", typ, categories)
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
