package store

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func word(field string, pattern ...string) Expr { return Match{Field: field, Pattern: pattern} }

var comparePrefixes = cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })

func TestQueriesParseAndPrint(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  Expr
		print string
	}{
		{"", nil, ""},
		{" \t\n ", nil, ""},
		{"trojan", word("", "trojan"), "trojan"},
		{`"two  words"`, word("", "two  words"), `"two  words"`},
		{"a b", And{[]Expr{word("", "a"), word("", "b")}}, "a AND b"},
		{"a AND (b AND c)", And{[]Expr{word("", "a"), word("", "b"), word("", "c")}}, "a AND b AND c"},
		{"a or b c", Or{[]Expr{word("", "a"), And{[]Expr{word("", "b"), word("", "c")}}}}, "a OR b AND c"},
		{"(a OR b) c", And{[]Expr{Or{[]Expr{word("", "a"), word("", "b")}}, word("", "c")}}, "(a OR b) AND c"},
		{"-a", Not{word("", "a")}, "NOT a"},
		{"NOT NOT a", word("", "a"), "a"},
		{"-(a b)", Not{And{[]Expr{word("", "a"), word("", "b")}}}, "NOT (a AND b)"},
		{`"and"`, word("", "and"), `"and"`},
		{"android", word("", "android"), "android"},
		{"event.module:suricata", word("event.module", "suricata"), "event.module:suricata"},
		{`rule.name:"ET MALWARE"`, word("rule.name", "ET MALWARE"), `rule.name:"ET MALWARE"`},
		{"event.category:(network OR host)", Or{[]Expr{word("event.category", "network"), word("event.category", "host")}}, "event.category:network OR event.category:host"},
		{"fld:(>1 <=5)", And{[]Expr{Compare{"fld", Greater, "1"}, Compare{"fld", AtMost, "5"}}}, "fld:>1 AND fld:<=5"},
		{"http.response.bytes:>=1e3", Compare{"http.response.bytes", AtLeast, "1e3"}, "http.response.bytes:>=1e3"},
		{"fld:<-1.5", Compare{"fld", Less, "-1.5"}, `fld:<"-1.5"`},
		{"flow.id:>18446744073709551615", Compare{"flow.id", Greater, "18446744073709551615"}, "flow.id:>18446744073709551615"},
		{"@timestamp:>2026-01-31", Compare{"@timestamp", Greater, "2026-01-31T00:00:00Z"}, `@timestamp:>"2026-01-31T00:00:00Z"`},
		{`@timestamp:<"2026-01-31 10:30"`, Compare{"@timestamp", Less, "2026-01-31T10:30:00Z"}, `@timestamp:<"2026-01-31T10:30:00Z"`},
		{"@timestamp:<2026-01-31T10:30:00.5+02:00", Compare{"@timestamp", Less, "2026-01-31T08:30:00.5Z"}, `@timestamp:<"2026-01-31T08:30:00.5Z"`},
		{"tro*", word("", "tro", ""), "tro*"},
		{"*.example.com", word("", "", ".example.com"), "*.example.com"},
		{"a**b", word("", "a", "b"), "a*b"},
		{"fld:***", Exists{"fld"}, "fld:*"},
		{"*", Exists{""}, "*"},
		{"fld:=*", Exists{"fld"}, "fld:*"},
		{"fld:=Exact", Match{"fld", []string{"Exact"}, true}, "fld:=Exact"},
		{`fld:="two words"`, Match{"fld", []string{"two words"}, true}, `fld:="two words"`},
		{`fld:"C:\Program Files\"*`, word("fld", `C:\Program Files"*`), ""},
		{`fld:"C:\Program Files\\"*`, word("fld", `C:\Program Files\`, ""), `fld:"C:\\Program Files\\"*`},
		{`fld:C:\Windows\*`, word("fld", `C:\Windows\`, ""), `fld:"C:\\Windows\\"*`},
		{`C:\Windows`, word("", `C:\Windows`), `"C:\\Windows"`},
		{`"say \"x\""`, word("", `say "x"`), `"say \"x\""`},
		{"source.ip:10.0.0.0/8", Network{"source.ip", netip.MustParsePrefix("10.0.0.0/8")}, "source.ip:10.0.0.0/8"},
		{"source.ip:10.1.2.3/8", Network{"source.ip", netip.MustParsePrefix("10.0.0.0/8")}, "source.ip:10.0.0.0/8"},
		{`source.ip:"10.0.0.0/8"`, word("source.ip", "10.0.0.0/8"), `source.ip:"10.0.0.0/8"`},
		{"2001:db8::/32", Network{"", netip.MustParsePrefix("2001:db8::/32")}, "2001:db8::/32"},
		{"2001:db8::1", word("", "2001:db8::1"), `"2001:db8::1"`},
		{"00:11:22:33:44:55", word("", "00:11:22:33:44:55"), `"00:11:22:33:44:55"`},
		{"10:15:00", word("", "10:15:00"), `"10:15:00"`},
		{"http://example.com/a", word("", "http://example.com/a"), `"http://example.com/a"`},
		{"url.full:http://example.com", word("url.full", "http://example.com"), `url.full:"http://example.com"`},
		{`"odd name":x`, word("odd name", "x"), `"odd name":x`},
		{"fld:-5", word("fld", "-5"), `fld:"-5"`},
		{"fld:and", word("fld", "and"), `fld:"and"`},
		{"größe:Ä*", word("größe", "Ä", ""), `"größe":"Ä"*`},
	} {
		q, err := Parse(c.text)
		if strings.HasPrefix(c.text, `fld:"C:\Program Files\"*`) { // the quote is escaped: never closed
			if err == nil {
				t.Errorf("%s: no error for an open quote", c.text)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if d := cmp.Diff(c.want, q.Root(), comparePrefixes); d != "" {
			t.Errorf("%s: %s", c.text, d)
		}
		if got := q.String(); got != c.print {
			t.Errorf("%s: printed %s, want %s", c.text, got, c.print)
		}
	}
}

func TestErrorsPointAtTheColumn(t *testing.T) {
	for text, want := range map[string]string{
		"a AND":           `column 6: expected a term at the end of the query`,
		"AND a":           `column 1: expected a term before AND; quote it to search for the word`,
		"a OR OR b":       `column 6: expected a term before OR; quote it to search for the word`,
		"(a":              `column 3: expected ")" for the "(" in column 1`,
		"a)":              `column 2: ")" without a "(" before it`,
		"()":              `column 2: expected a term before ")"`,
		`ä "open`:         `column 3: expected a closing quote for this one`,
		"fld:":            `column 5: expected a value after ":"`,
		"fld:>":           `column 6: expected a value after ":>"`,
		"fld: x":          `column 5: expected a value after ":"`,
		"fld:>abc":        `column 6: expected a number or a time after ">"`,
		"fld:>1*":         `column 6: expected a number or a time after ">"`,
		"@timestamp:>5":   `column 13: expected a time after ">", as in 2026-01-31 or 2026-01-31T10:00:00Z`,
		"@timestamp:2026": `column 12: @timestamp is compared: expected >, >=, < or <=`,
		">10":             `column 1: ">" compares a field, as in field:>10; quote it to search for the sign`,
		"- a":             `column 1: expected a term right after "-"; quote it to search for the sign`,
		"fld:(a:b)":       `column 6: field "a" inside the values of field "fld"`,
		":x":              `column 1: expected a field's name before ":"`,
		"a|b:x":           `column 2: '|' in a field's name; quote the value if its ":" is meant, or the name`,
		`foo"bar"`:        `column 4: quote inside a word: quote the whole, or put a space before it`,
		`"foo"bar`:        `column 6: expected a space after the closing quote`,
		"foo(bar)":        `column 4: "(" inside a word: quote the whole to search for it, or put a space before it`,
		`fld:""`:          `column 5: expected text between the quotes; NOT field:* finds documents without a field`,
		"ip:10.0.0.0/40":  `column 13: the prefix of a network of 10.0.0.0 has 0 to 32 bits; quote the whole to search for the text`,
		"a \xff":          `column 3: not valid UTF-8`,
		strings.Repeat("(", MaxQueryDepth+1) + "a": `column 51: more than 50 levels deep`,
		strings.Repeat("a ", MaxQueryTerms+1):      `column 2001: more than 1000 terms`,
		strings.Repeat("ä", MaxQueryBytes/2+1):     `column 8193: the query is longer than 16384 bytes`,
	} {
		_, err := Parse(text)
		if err == nil || err.Error() != want {
			t.Errorf("%.40s: got %v, want %s", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		`a OR -b (c AND NOT d)`, `fld:(a OR "b c"*) x:>1.5e3`, `source.ip:10.0.0.0/8 @timestamp:>=2026-01-01`,
		`"q\"uo\\te":=*x*`, `fe80::1 http://x C:\x fld:**`, `((((`, `fld:"`, "\xff", `a"b"`, `NOT`, `-`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(q.String())
		if err != nil {
			if len(q.String()) > MaxQueryBytes || depth(q.Root()) > MaxQueryDepth/2 {
				return // its normal form is past a bound
			}
			t.Fatalf("%q printed %q: %v", text, q, err)
		}
		if !reflect.DeepEqual(q, again) || q.String() != again.String() {
			t.Fatalf("%q printed %q, read back as %q", text, q, again)
		}
	})
}

func depth(e Expr) int {
	deepest := 0
	terms := []Expr(nil)
	switch e := e.(type) {
	case And:
		terms = e.Terms
	case Or:
		terms = e.Terms
	case Not:
		terms = []Expr{e.Term}
	}
	for _, t := range terms {
		deepest = max(deepest, depth(t))
	}
	return deepest + 1
}
