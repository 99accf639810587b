package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// jsonSeeds are documents at the edges of the grammar.
func jsonSeeds() []string {
	return []string{
		`{}`, ` { } `, `{"a":1}`, `{"a":{"b":[1,2,{"c":null}]},"a":"x"}`,
		`{"a":"\u00e9\ud83d\ude00\ud83d \n\/"}`, `{"a":"` + "\xff\xc3\xa9\xc3" + `"}`,
		`{"a` + "\xff" + `":{"\u0062":true}}`, `{"a":-0.0e+10,"b":123456789012345678901234567890,"c":0}`,
		`{"a":01}`, `{"a":1.}`, `{"a":-}`, `{"a":1e}`, `{"a":tru}`, `{"a":1,}`, `{"a" 1}`, `{"a":[1,]}`, `{"a":[}`, `{"a":[1 2]}`,
		`{"a":"` + "\x01" + `"}`, `{"a":"\x"}`, `{"a":"\u12g4"}`, `{"a":"`, `{"a":"\`, `{"a"`, `{`, `[]`, `1`, `{}x`, `{}{}`, ``,
		`{"a":{"b":{}},"c":[]}`, "{\"a\"\n:\t[ ]\r}", `{"a":"\ud800\u0041","b":"\udc00"}`, `{"":{"":1}}`, `{"a":{"b":1}]`, `{"a":[{"b":1]}`,
		`{"a":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`,
		`{"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`,
		strings.Repeat(`{"a":`, 10000) + `1` + strings.Repeat("}", 10000),
		strings.Repeat(`{"a":`, 10001) + `1` + strings.Repeat("}", 10001),
		strings.Repeat(`{"a":`, 70) + `[1]` + strings.Repeat("}", 70),
		`{"long":"` + strings.Repeat("0123456789abcdef", 20) + `é` + strings.Repeat("x", 7) + `"}`,
	}
}

func FuzzFlattenAgreesWithEncodingJSON(f *testing.F) {
	for _, s := range jsonSeeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		var got []string
		err := new(Flattener).Flatten(doc, func(path, value []byte, kind Kind) error {
			got = append(got, canonical(t, string(path), value, kind))
			return nil
		})
		object := json.Valid(doc) && bytes.HasPrefix(bytes.TrimLeft(doc, " \t\r\n"), []byte("{"))
		if object != (err == nil) {
			t.Fatalf("encoding/json accepts: %v, the scanner: %v", object, err)
		}
		if err != nil {
			if s, ok := errors.AsType[*SyntaxError](err); !ok || s.Offset < 0 || s.Offset > len(doc) {
				t.Fatalf("error %#v for %d bytes", err, len(doc))
			}
			return
		}
		want := leavesOf(t, doc)
		if len(got) != len(want) {
			t.Fatalf("got %d leaves %q, want %d %q", len(got), got, len(want), want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("leaf %d: got %q, want %q", i, got[i], want[i])
			}
		}
	})
}

// canonical is a leaf as path, kind and value, in a form that both sides of
// the comparison can give.
func canonical(t *testing.T, path string, value []byte, kind Kind) string {
	t.Helper()
	if kind == String {
		return path + " = s " + string(value)
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(value))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("value %q at %s: %v", value, path, err)
	}
	return fmt.Sprintf("%s = j %#v", path, v)
}

// leavesOf gives the leaves of doc by the tokens of encoding/json.
func leavesOf(t *testing.T, doc []byte) []string {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	token := func() json.Token {
		tok, err := d.Token()
		if err != nil {
			t.Fatalf("reading a token: %v", err)
		}
		return tok
	}
	var out []string
	var walk func(path string, depth int)
	leaf := func(path string) {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("reading a value: %v", err)
		}
		if s, ok := v.(string); ok {
			out = append(out, path+" = s "+s)
		} else {
			out = append(out, fmt.Sprintf("%s = j %#v", path, v))
		}
	}
	walk = func(path string, depth int) {
		token() // the brace
		if depth > 1 && !d.More() {
			out = append(out, fmt.Sprintf("%s = j %#v", path, map[string]any{}))
		}
		for d.More() {
			name := token().(string)
			at := name
			if depth > 1 {
				at = path + "." + name
			}
			rest := bytes.TrimLeft(doc[d.InputOffset():], " \t\r\n:")
			if rest[0] == '{' && depth < flattenDepth {
				walk(at, depth+1)
			} else {
				leaf(at)
			}
		}
		token()
	}
	walk("", 1)
	return out
}

func TestFlattenTellsWhenPathsAreAmbiguous(t *testing.T) {
	var f Flattener
	for doc, want := range map[string]bool{
		`{"a":{"b":1},"c":[{"d.e":1}]}`: false,
		`{"a.b":1}`:                     true,
		`{"a":{"b\u002ec":1}}`:          true,
		`{"":1}`:                        true,
		`{"a":{"":1}}`:                  true,
	} {
		if err := f.Flatten([]byte(doc), func(_, _ []byte, _ Kind) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if f.Ambiguous() != want {
			t.Errorf("%s: ambiguous is %v", doc, !want)
		}
	}
}

func TestFlattenAllocatesNothing(t *testing.T) {
	doc := []byte(`{"a":{"b":"plain","c":"esc\naped","d":[1,2,{"x":"y"}]},"n":18446744073709551616,"t":true,"z":null}`)
	var f Flattener
	n := 0
	if got := testing.AllocsPerRun(100, func() {
		if err := f.Flatten(doc, func(_, v []byte, _ Kind) error { n += len(v); return nil }); err != nil {
			t.Fatal(err)
		}
	}); got != 0 {
		t.Errorf("%v allocations a document, want 0", got)
	}
}

func TestElementsOfAnArray(t *testing.T) {
	doc := []byte(`x[ "a\n" ,1,{"b":[2]},[ 3 ] , null]`)
	var got []string
	var e Elements
	e.Reset(doc, 1)
	for l, ok := e.Next(); ok; l, ok = e.Next() {
		got = append(got, fmt.Sprint(l.Kind, " ", string(l.Bytes(doc))))
	}
	want := []string{`6 a\n`, "4 1", `9 {"b":[2]}`, "8 [ 3 ]", "1 null"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzTextSurvivesQuoting(f *testing.F) {
	for _, s := range []string{"", "a\"\\\n\x00\x1f\x7f", "é\xff\xed\xa0\x80 ", "\ufffd"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		q := AppendString(nil, text)
		var back string
		if err := json.Unmarshal(q, &back); err != nil {
			t.Fatalf("%q: %v", q, err)
		}
		if want := strings.ToValidUTF8(string(text), "\ufffd"); !sameRepair(back, want) {
			t.Errorf("%q came back as %q", text, back)
		}
		if got := AppendText(nil, q[1:len(q)-1]); string(got) != back {
			t.Errorf("AppendText gives %q, encoding/json %q", got, back)
		}
	})
}

// sameRepair compares up to the number of U+FFFD in a row: ToValidUTF8 gives
// one for a run of invalid bytes, JSON readers one for each byte.
func sameRepair(a, b string) bool {
	squeeze := func(s string) string {
		for strings.Contains(s, "\ufffd\ufffd") {
			s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
		}
		return s
	}
	return squeeze(a) == squeeze(b)
}

func TestRepairedJSONIsValidUTF8AndMeansTheSame(t *testing.T) {
	in := []byte(`{"a` + "\xff" + `":["\ud800x","\ud83d\ude00","` + "\xc3" + `",{"b":"ok\\u"}]}`)
	out := AppendRepaired(nil, in)
	var a, b any
	if err := json.Unmarshal(in, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &b); err != nil || fmt.Sprint(a) != fmt.Sprint(b) || !strings.Contains(string(out), `\ud83d\ude00`) {
		t.Errorf("repaired %q (%v)", out, err)
	}
}

func TestUnwrap(t *testing.T) {
	for in, want := range map[string]string{
		` { "conn" : {"a":{}} } `: `conn {"a":{}}`,
		`{"conn":{"a":1},"b":2}`:  "", `{"conn":[]}`: "", `{}`: "", `[]`: "", ``: "", `{"conn":{"a":1}`: "",
		`{"conn":{"a":1}}}`: "", `{"co\u006e":{}}`: "", `{"conn":{"a":}}`: "",
	} {
		name, object, ok := Unwrap([]byte(in))
		got := ""
		if ok {
			got = string(name) + " " + string(object)
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}
