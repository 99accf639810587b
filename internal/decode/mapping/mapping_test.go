package mapping

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestCompileRefusesWhatECSHasNot(t *testing.T) {
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{From: "a", To: "source.ipp"}, "no field of ECS"},
		{Rule{From: "a", To: "source.ip", As: Keyword}, "ECS has ip"},
		{Rule{From: "a", To: "source.port", As: Text}, "ECS has long"},
		{Rule{From: "a", To: "related.user", As: Keyword}, "array true"},
		{Rule{From: "a", To: "user.name", As: Keywords}, "array false"},
	} {
		if _, err := Compile([]Rule{c.rule}, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %s", c.rule, err, c.want)
		}
	}
	if _, err := Compile([]Rule{{From: "a", To: "user.name"}, {From: "a", To: "user.id"}}, nil); err == nil {
		t.Error("two rules for one path were accepted")
	}
}

// one maps one value in one way and returns what was written.
func one(t *testing.T, r Rule, value string) string {
	t.Helper()
	r.From = "x"
	table, err := Compile([]Rule{r}, []string{"tags"})
	if err != nil {
		t.Fatal(err)
	}
	s := table.NewState()
	if err := s.Parse([]byte(`{"x":` + value + `}`)); err != nil {
		t.Fatal(err)
	}
	s.Apply(nil)
	out := string(s.Doc.AppendMembers(nil))
	if rest := s.AppendRest(nil); len(rest) > 0 {
		out += " rest " + string(rest)
	}
	return out
}

func TestWays(t *testing.T) {
	for _, c := range []struct {
		to    string
		as    As
		value string
		want  string
	}{
		{"user.name", Keyword, `"a\n"`, `"user":{"name":"a\n"}`},
		{"user.name", Keyword, `7`, ` rest "x":7`},
		{"user.name", Keyword, "\"\xff\"", "\"user\":{\"name\":\"\ufffd\"}"},
		{"user.id", Text, `7`, `"user":{"id":"7"}`},
		{"user.id", Text, `1.5`, ` rest "x":1.5`},
		{"source.port", Long, `999999999999999999`, `"source":{"port":999999999999999999}`},
		{"source.port", Long, `9999999999999999999`, ` rest "x":9999999999999999999`},
		{"source.port", Long, `1e3`, ` rest "x":1e3`},
		{"source.port", Long, `-5`, `"source":{"port":-5}`},
		{"tls.resumed", Bool, `true`, `"tls":{"resumed":true}`},
		{"tls.resumed", Bool, `"true"`, ` rest "x":"true"`},
		{"network.transport", Lower, `"TCP"`, `"network":{"transport":"tcp"}`},
		{"source.ip", Address, `"2001:0db8:0000:0000:0000:0000:0000:0001"`, `"source":{"ip":"2001:db8::1"}`},
		{"source.ip", Address, `"fe80::1%eth0"`, ` rest "x":"fe80::1%eth0"`},
		{"source.ip", Address, `"10.0.0.01"`, ` rest "x":"10.0.0.01"`},
		{"source.ip", Address, `"256.0.0.1"`, ` rest "x":"256.0.0.1"`},
		{"source.ip", Address, `"1.2.3"`, ` rest "x":"1.2.3"`},
		{"source.mac", MAC, `"0a:bb:cc:dd:ee:f0"`, `"source":{"mac":"0A-BB-CC-DD-EE-F0"}`},
		{"source.mac", MAC, `"0a:bb:cc:dd:ee"`, ` rest "x":"0a:bb:cc:dd:ee"`},
		{"source.mac", MAC, `"0a:bb:cc:dd:ee:g0"`, ` rest "x":"0a:bb:cc:dd:ee:g0"`},
		{"file.hash.sha1", Hex, `"aB:01"`, `"file":{"hash":{"sha1":"AB01"}}`},
		{"file.hash.sha1", Hex, `""`, ` rest "x":""`},
		{"file.hash.sha1", Hex, `"a"`, ` rest "x":"a"`},
		{"process.args", Keywords, `"a"`, `"process":{"args":["a"]}`},
		{"process.args", Keywords, `["a","b"]`, `"process":{"args":["a","b"]}`},
		{"process.args", Keywords, `["a",1]`, ` rest "x":["a",1]`},
		{"event.start", Epoch, `1591367999.305988`, `"event":{"start":"2020-06-05T14:39:59.305988Z"}`},
		{"event.start", Epoch, `629503200`, `"event":{"start":"1989-12-12T22:00:00Z"}`},
		{"event.start", Epoch, `"2020-06-05T14:39:59.3Z"`, `"event":{"start":"2020-06-05T14:39:59.3Z"}`},
		{"event.start", Epoch, `-1.5`, ` rest "x":-1.5`},
		{"event.start", Epoch, `1e9`, ` rest "x":1e9`},
		{"event.start", Epoch, `253402300800`, ` rest "x":253402300800`},
		{"event.duration", Seconds, `0.000001`, `"event":{"duration":1000}`},
		{"event.duration", Seconds, `12.3456789012`, ` rest "x":12.3456789012`},
		{"event.duration", Seconds, `61`, `"event":{"duration":61000000000}`},
		{"event.duration", Seconds, `99999999999999999999`, ` rest "x":99999999999999999999`},
		{"event.start", Epoch, `"1591367999.3"`, `"event":{"start":"2020-06-05T14:39:59.3Z"}`},
		{"event.start", Epoch, `"soon"`, ` rest "x":"soon"`},
		{"process.pid", Count, `"42"`, `"process":{"pid":42}`},
		{"process.pid", Count, `42`, `"process":{"pid":42}`},
		{"process.pid", Count, `"042"`, ` rest "x":"042"`},
		{"process.pid", Count, `"-1"`, `"process":{"pid":-1}`},
		{"process.pid", Count, `"99999999999999999999"`, ` rest "x":"99999999999999999999"`},
		{"event.outcome", Outcome, `false`, `"event":{"outcome":"failure"}`},
		{"event.outcome", Outcome, `"T"`, ` rest "x":"T"`},
		{"process.args", Keywords, `[]`, ` rest "x":[]`},
	} {
		if got := one(t, Rule{To: c.to, As: c.as}, c.value); got != c.want {
			t.Errorf("%s to %s: got %s, want %s", c.value, c.to, got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	for in, want := range map[string]string{
		"2026-03-02T08:15:30.104233+0000":     "2026-03-02T08:15:30.104233Z",
		"2026-03-02T00:15:30.104233+0130":     "2026-03-01T22:45:30.104233Z",
		"2026-03-02T08:15:30-08:00":           "2026-03-02T16:15:30Z",
		"2024-02-29T23:59:59Z":                "2024-02-29T23:59:59Z",
		"2000-02-29T00:00:00.123456789+0000":  "2000-02-29T00:00:00.123456789Z",
		"2026-03-02T08:15:30":                 "2026-03-02T08:15:30Z",
		"2026-03-02T08:15:30.1234567890+0000": "",
		"2023-02-29T00:00:00Z":                "",
		"1900-02-29T00:00:00Z":                "",
		"2026-13-02T08:15:30Z":                "",
		"2026-03-02T24:00:00Z":                "",
		"2026-03-02T08:15:30.Z":               "",
		"2026-03-02T08:15:30 +0000":           "",
		"2026-03-02T08:15:30+00:0":            "",
		"2026-03-02T08:15:30+0a00":            "",
		"2026-03-02 08:15:30Z":                "",
		"0000-01-01T00:00:00+0100":            "",
		"":                                    "",
	} {
		want := `"@timestamp":"` + want + `"`
		if want == `"@timestamp":""` {
			want = ` rest "x":"` + in + `"`
		}
		if got := one(t, Rule{To: "@timestamp", As: Time}, `"`+in+`"`); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}

// FuzzParseTime holds the reader of times against package time.
func FuzzParseTime(f *testing.F) {
	f.Add("2026-03-02T08:15:30.104233+0100")
	f.Add("0001-02-28T00:00:00Z")
	f.Fuzz(func(t *testing.T, in string) {
		got, ok := ParseTime([]byte(in))
		if !ok {
			return
		}
		for _, layout := range []string{"2006-01-02T15:04:05.999999999Z07:00", "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02T15:04:05.999999999z"} {
			if want, err := time.Parse(layout, in); err == nil {
				if !want.Equal(got) {
					t.Errorf("%s: got %v, want %v", in, got, want)
				}
				return
			}
		}
		t.Errorf("%s is no time, and was read as %v", in, got)
	})
}

// FuzzParseAddr holds the reader of addresses against package netip.
func FuzzParseAddr(f *testing.F) {
	for _, s := range []string{"1.2.3.4", "255.255.255.256", "::1", "::ffff:1.2.3.4", "fe80::1%a", "01.2.3.4", "1..2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		want, err := netip.ParseAddr(in)
		got, ok := ParseAddr([]byte(in))
		if ok != (err == nil && want.Zone() == "") || ok && got != want {
			t.Errorf("%q: got %v %v, want %v %v", in, got, ok, want, err)
		}
	})
}

func TestRelatedValuesAreASet(t *testing.T) {
	table, err := Compile([]Rule{
		{From: "a", To: "source.ip", As: Address, Related: IPs}, {From: "b", To: "destination.ip", As: Address, Related: IPs},
		{From: "c", As: Nothing, Related: IPs}, {From: "h", As: Nothing, Related: Hosts},
	}, []string{"tags"})
	if err != nil {
		t.Fatal(err)
	}
	s := table.NewState()
	line := `{"a":"::1","b":"0:0:0:0:0:0:0:1","c":["10.0.0.1","x","10.0.0.1",5],"h":"` + "\xff" + `"}`
	if err := s.Parse([]byte(line)); err != nil {
		t.Fatal(err)
	}
	s.Apply(nil)
	s.finishRelated()
	want := `"destination":{"ip":"::1"},"related":{"hosts":["` + "\ufffd" + `"],"ip":["::1","10.0.0.1"]},"source":{"ip":"::1"}`
	if got := string(s.Doc.AppendMembers(nil)); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestListIsBounded(t *testing.T) {
	var l List
	for i := range 1000 {
		l.Add(fmt.Append(nil, i))
	}
	l.Add(nil)
	if l.Len() != listMost {
		t.Errorf("%d strings", l.Len())
	}
	l.Reset()
	l.Add(make([]byte, listLongest+1))
	if got := string(l.AppendArray(nil)); got != "[]" {
		t.Errorf("got %s", got)
	}
}

func TestAnEarlierFieldKeepsItsValue(t *testing.T) {
	table, err := Compile([]Rule{{From: "a", To: "user.name"}, {From: "b", To: "user.name"}}, []string{"tags"})
	if err != nil {
		t.Fatal(err)
	}
	s := table.NewState()
	if err := s.Parse([]byte(`{"a":"1","b":"2","a":"3","q":{"a":1}}`)); err != nil {
		t.Fatal(err)
	}
	s.Apply(nil)
	if got := string(s.Doc.AppendMembers(nil)) + string(s.AppendRest(nil)); got != `"user":{"name":"2"}"a":["1","3"],"q":{"a":1}` {
		t.Errorf("got %s", got)
	}
}
