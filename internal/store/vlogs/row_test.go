package vlogs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

var testTime = time.Date(2026, 3, 1, 10, 0, 0, 123456000, time.UTC)

func testDoc(body string) *store.Doc {
	return &store.Doc{ID: "1", Time: testTime, JSON: []byte(body)}
}

// throughColumns gives a document back as a search would.
func throughColumns(t *testing.T, b *rowBuilder, d *store.Doc) []byte {
	t.Helper()
	fields, err := b.build(d)
	if err != nil {
		t.Fatalf("%s: %v", d.JSON, err)
	}
	var columns []leaf
	for _, f := range fields {
		columns = append(columns, leaf{name: f.Name, value: f.Value})
	}
	return new(nester).document(nil, columns, d.Time)
}

func decode(t *testing.T, doc []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", doc, err)
	}
	return v
}

func TestDocumentsComeBackAsTheyWere(t *testing.T) {
	b := new(rowBuilder)
	for _, body := range []string{
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z"}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456000Z"}`,
		`{"event":5,"@timestamp":{"a":1}}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T12:00:00.123456+02:00"}`,
		`{"event":{"id":"1","module":"m","dataset":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z","n":18446744073709551616,"f":1.0,"e":1e5,"z":-0,"t":true,"l":null}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z","n":"18446744073709551616","f":"1.0","t":"true","l":"null","a":"[1]","o":"{","d":"-","empty":"","e":{"a":[],"o":{}}}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z","a":["x","Y\n\"z\"",1,true,null],"b":[[1],{"c":"D"}],"c":{"d":[{"e":"F","g":{"h":1}},{"e":["i","j"]}]}}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z","a.b":1,"a":{"b":2,"":3}}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z","_time":"x","_stream":{"a":1},"_msg":"m","_types":"SFF","star*":1}`,
		`{"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z","a":{"b":{"c":1,"d":2},"b-c":3,"bb":4},"a-b":5,"ab":"É\u0000\ud83d\ude00"}`,
	} {
		if got := throughColumns(t, b, testDoc(body)); !reflect.DeepEqual(decode(t, got), decode(t, []byte(body))) {
			t.Errorf("got  %s\nwant %s", got, body)
		}
	}
}

func TestWhatADocumentLacksIsAdded(t *testing.T) {
	want := `{"@timestamp":"2026-03-01T10:00:00.123456Z","a":1,"event":{"id":"1"}}`
	if got := throughColumns(t, new(rowBuilder), testDoc(`{"a":1}`)); string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRandomDocumentsComeBackAsTheyWere(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := new(rowBuilder)
	for range 5000 {
		o := randomObject(r, 0)
		o["@timestamp"] = "2026-03-01T10:00:00.123456Z"
		o["event"] = map[string]any{"id": "1", "x": randomValue(r, 1)}
		body, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if got := throughColumns(t, b, testDoc(string(body))); !reflect.DeepEqual(decode(t, got), decode(t, body)) {
			t.Fatalf("got  %s\nwant %s", got, body)
		}
	}
}

// FuzzRow holds that whatever is accepted is JSON, and that any value comes back
// from the columns as encoding/json reads it.
func FuzzRow(f *testing.F) {
	for _, s := range []string{
		`{"a":[{"b":"C","d":[1,"2"]},[],{}],"e":{"f":"1","g":null}}`, `{"a":{"b":1},"a.b":2}`, `{"":{"":1}}`,
		`{"_types":"x","*":1}`, `{"a":"\ud800"}`, "{\"a\":\"\xff\"}", `"1"`, `[[1,"[",{"a":"É"}]]`, `{"a":1,"a":2}`,
	} {
		f.Add([]byte(s))
	}
	b := new(rowBuilder)
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, body := range [][]byte{value, fmt.Appendf(nil, `{"x":%s,"event":{"id":"1"},"@timestamp":"2026-03-01T10:00:00.123456Z"}`, value)} {
			b.reset()
			fields, err := b.build(&store.Doc{ID: "1", Time: testTime, JSON: body})
			if err != nil {
				if fault.Of(err).Class != fault.Permanent {
					t.Fatal(err)
				}
				continue
			}
			if !json.Valid(body) {
				t.Fatalf("%q is accepted", body)
			}
			var columns []leaf
			for i, c := range fields {
				if i > 0 && c.Name <= fields[i-1].Name {
					t.Fatalf("%q: columns %q and %q", body, fields[i-1].Name, c.Name)
				}
				columns = append(columns, leaf{name: c.Name, value: c.Value})
			}
			got := decode(t, new(nester).document(nil, columns, testTime))
			p := event.NewParser()
			if _, err := p.Parse(body); err != nil || p.Repeats() {
				continue // a name stands twice: readers differ in what that means
			}
			if !bytes.Equal(body, value) && !reflect.DeepEqual(got, decode(t, body)) {
				t.Fatalf("%q came back as %v", body, got)
			}
		}
	})
}

func randomObject(r *rand.Rand, depth int) map[string]any {
	o := map[string]any{}
	for range r.IntN(5) {
		o[[]string{"a", "b", "a-b", "ab", "c.d", "É", "_x", "", "_msg"}[r.IntN(9)]] = randomValue(r, depth+1)
	}
	return o
}

func randomValue(r *rand.Rand, depth int) any {
	kind := r.IntN(9)
	if depth > 4 {
		kind %= 7
	}
	switch kind {
	case 0:
		return nil
	case 1:
		return r.IntN(2) == 0
	case 2:
		return json.Number(strconv.FormatUint(r.Uint64(), 10))
	case 3:
		return json.Number(fmt.Sprintf("%.3e", r.NormFloat64()))
	case 4, 5, 6:
		return []string{"", "x", "Abc dEf", "1.0", "true", "null", "[1]", "{}", "a\"\\\n", "É", "10.0.0.1", "-", "01"}[r.IntN(13)]
	case 7:
		var a []any
		for range r.IntN(4) {
			a = append(a, randomValue(r, depth+1))
		}
		return append([]any{}, a...)
	}
	return randomObject(r, depth)
}

func TestDocumentsThatCannotBeStoredSayWhy(t *testing.T) {
	many := []byte(`{"a":1`)
	for i := range maxFields {
		many = fmt.Appendf(many, `,"f%d":1`, i)
	}
	for want, body := range map[string]string{
		store.CodeNotJSON:  `{"a":`,
		store.CodeID:       `{"event":{"id":"2"}}`,
		store.CodeTooMany:  string(many) + "}",
		store.CodeName:     fmt.Sprintf(`{"%0129d":1}`, 0),
		store.CodeTooLarge: fmt.Sprintf(`{"a":"%s"}`, bytes.Repeat([]byte("x "), 1<<20)),
	} {
		_, err := new(rowBuilder).build(testDoc(body))
		if err == nil || fault.Of(err).Class != fault.Permanent || fault.Of(err).Code != want {
			t.Errorf("%.40s: got %v, want %s", body, err, want)
		}
	}
}

func TestObjectsInArraysHaveColumnsToSearch(t *testing.T) {
	fields, err := new(rowBuilder).build(testDoc(`{"dns":{"answers":[{"data":"10.0.0.1","ttl":5},{"data":"10.0.0.2"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"dns.answers.data": `["10.0.0.1","10.0.0.2"]`, "dns.answers.ttl": `[5]`} {
		i := slices.IndexFunc(fields, func(f field) bool { return f.Name == name })
		if i < 0 || fields[i].Value != want {
			t.Errorf("%s is not %s in %v", name, want, fields)
		}
	}
}

func TestBuildingARowAllocatesNothing(t *testing.T) {
	d := testDoc(`{"@timestamp":"2026-03-01T10:00:00.123456Z","event":{"id":"1","module":"suricata","category":["network"]},"a":{"b":"Mixed Case","n":12,"s":"12"}}`)
	b := new(rowBuilder)
	if n := testing.AllocsPerRun(100, func() {
		b.reset()
		if _, err := b.build(d); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations a document, want none", n)
	}
}
