package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func decode(t *testing.T, doc []byte) any {
	t.Helper()
	var v any
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%q: %v", doc, err)
	}
	return v
}

// FuzzParserGivesBackWhatItRead holds the parser against encoding/json: the
// same objects are accepted, and what is written from the leaves means the
// same as what was read, by a parser that has read something else before.
func FuzzParserGivesBackWhatItRead(f *testing.F) {
	for _, s := range jsonSeeds() {
		if len(s) < 1000 {
			f.Add([]byte(s), []byte(`{"a":1,"b":{"c":2}}`))
		}
	}
	f.Add([]byte(`{"a":1,"a":{"b":2},"a":{"b":3,"c":4}}`), []byte(`{}`))
	f.Add([]byte(`{"a":1,"b":{"c":2,"d":{"e":[]}},"f":{}}`), []byte(`{"b":{"d":{"e":1}},"a":1}`))
	f.Fuzz(func(t *testing.T, doc, before []byte) {
		p := NewParser()
		p.Path("a.b")
		_, _ = p.Parse(before)
		leaves, err := p.Parse(doc)
		object := json.Valid(doc) && bytes.HasPrefix(bytes.TrimLeft(doc, " \t\r\n"), []byte("{"))
		if object != (err == nil) {
			t.Fatalf("encoding/json accepts: %v, the parser: %v", object, err)
		}
		if err != nil {
			return
		}
		out := append(p.AppendMembers([]byte("{"), doc, leaves), '}')
		got := decode(t, out)
		if !p.Repeats() {
			if want := decode(t, doc); !reflect.DeepEqual(got, want) {
				t.Fatalf("got %s, want %s", out, doc)
			}
		}
		if _, err := NewParser().Parse(out); err != nil {
			t.Fatalf("reading back %q: %v", out, err)
		}
	})
}

func TestRepeatedNamesKeepAllValues(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":1,"a":2,"b":3}`:                   `{"a":[1,2],"b":3}`,
		`{"a":{"x":1},"b":0,"a":{"x":2,"y":3}}`: `{"a":{"x":[1,2],"y":3},"b":0}`,
		`{"a":"s","a":{"x":1}}`:                 `{"a":["s",{"x":1}]}`,
		`{"a":{"x":1},"a":{"x":1}}`:             `{"a":{"x":[1,1]}}`,
	} {
		p := NewParser()
		leaves, err := p.Parse([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		if got := string(p.AppendMembers(nil, []byte(in), leaves)); !p.Repeats() || "{"+got+"}" != want {
			t.Errorf("%s: got {%s}, want %s", in, got, want)
		}
	}
}

func TestHostileNamesCostNoMemory(t *testing.T) {
	p := NewParser()
	known := p.Path("event.known")
	for i := range 200 {
		var doc strings.Builder
		doc.WriteString(`{"event":{"known":1}`)
		for n := range 1000 {
			fmt.Fprintf(&doc, `,"k%d-%d":1`, i, n)
		}
		doc.WriteString("}")
		leaves, err := p.Parse([]byte(doc.String()))
		if err != nil || len(leaves) != 1001 || leaves[0].Path != known {
			t.Fatalf("object %d: %d leaves, %v", i, len(leaves), err)
		}
		if got := len(p.paths.nodes); got > p.paths.fixed+learnedPaths+1000 {
			t.Fatalf("%d paths after %d objects", got, i)
		}
	}
	many := `{"a":1` + strings.Repeat(`,"a":1`, eventPaths) + `}`
	if _, err := p.Parse([]byte(many)); !errors.Is(err, ErrTooManyFields) {
		t.Errorf("got %v for too many leaves", err)
	}
}

func TestParserAllocatesNothing(t *testing.T) {
	docs := [][]byte{
		[]byte(`{"a":{"b":"plain","c":"esc\naped","d":[1,2,{"x":"y"}]},"n":18446744073709551616,"t":true,"z":null}`),
		[]byte(`{"other":1,"a":{"c":2,"b":1}}`),
	}
	p := NewParser()
	var out []byte
	read := func() {
		for _, doc := range docs {
			leaves, err := p.Parse(doc)
			if err != nil {
				t.Fatal(err)
			}
			out = p.AppendMembers(out[:0], doc, leaves)
		}
	}
	read()
	if got := testing.AllocsPerRun(100, read); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

func TestDocumentIsOneNestedObject(t *testing.T) {
	l, err := NewLayout([]string{"b.c.e", "a", "b.c.d", "b.f", "g.h.i", "b-x"})
	if err != nil {
		t.Fatal(err)
	}
	d := NewDoc(l, []byte(`["constant"]`))
	field := func(name string) Field {
		f, ok := l.Field(name)
		if !ok {
			t.Fatalf("no field %s", name)
		}
		return f
	}
	in := []byte(`{"x":"va\nlue","y":12}`)
	leaves, err := NewParser().Parse(in)
	if err != nil {
		t.Fatal(err)
	}
	d.Reset(in)
	d.PutLeaf(field("g.h.i"), leaves[0])
	d.PutText(field("b.c.e"), leaves[1])
	d.PutLeaf(field("b-x"), leaves[1])
	d.PutConstant(field("b.c.d"), 0, 12)
	d.Side = append(d.Side, "true"...)
	d.Put(field("a"), 0, false)
	d.Put(field("b.f"), 0, true)
	d.Drop(field("b.f"))
	want := `"a":true,"b":{"c":{"d":["constant"],"e":"12"}},"b-x":12,"g":{"h":{"i":"va\nlue"}}`
	if got := string(d.AppendMembers(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := NewLayout([]string{"a", "a.b"}); err == nil {
		t.Error("a field that is an object too was accepted")
	}
}
