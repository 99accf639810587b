package custom

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

func stageOf(t *testing.T, c Config) client.Stage {
	t.Helper()
	c.Name, c.From = "mine", []string{"json_ingest"}
	if c.Route == nil {
		c.To = "out"
	}
	spec, err := c.Spec("v", obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if closer, ok := spec.Stage.(client.Closer); ok {
		t.Cleanup(func() {
			if err := closer.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return spec.Stage
}

func record(value string) *bus.Record {
	return &bus.Record{Topic: "json_ingest", Key: []byte("k"), Value: []byte(value), Headers: []bus.Header{
		{Key: event.HeaderOrigin, Value: []byte("o:a:1")}, {Key: event.HeaderID, Value: []byte("id-of-input")}}}
}

// outputs returns what a stage emits as "topic value".
func outputs(t *testing.T, s client.Stage, value string) []string {
	t.Helper()
	records, err := client.Try(t.Context(), s, record(value))
	if err != nil {
		t.Fatalf("%s: %v", value, err)
	}
	var all []string
	for _, r := range records {
		all = append(all, r.Topic+" "+string(r.Value))
	}
	return all
}

func TestExpressionsFilterMapAndRoute(t *testing.T) {
	ssh := `{"source":{"ip":"10.1.2.3","port":22},"flow":{"id":9223372036854775807},"tags":["a"]}`
	for name, c := range map[string]struct {
		config Config
		value  string
		want   []string
	}{
		"filter keeps":           {Config{Filter: `event.source.port == 22`}, ssh, []string{"out " + ssh}},
		"filter drops":           {Config{Filter: `event.source.port == 23`}, ssh, nil},
		"missing fields are nil": {Config{Filter: `event.no.such.field == "x" or event.source.ip[0].y != nil`}, `{"source":{}}`, nil},
		"nil is false":           {Config{Filter: `event.nothing`}, ssh, nil},
		"cidr":                   {Config{Filter: `cidr(event.source.ip, "10.0.0.0/8") and not cidr(event.destination.ip, "::/0")`}, ssh, []string{"out " + ssh}},
		"record":                 {Config{Filter: `record.key == "k" and record.topic == "json_ingest" and record.headers["decoder-origin"] == "o:a:1"`}, ssh, []string{"out " + ssh}},
		"map keeps all digits":   {Config{Map: `{"a": event.flow.id, "b": event.tags[0]}`}, ssh, []string{`out {"a":9223372036854775807,"b":"a"}`}},
		"map to many":            {Config{Map: `map(event.tags, {{"tag": #}})`}, `{"tags":["x","y"]}`, []string{`out {"tag":"x"}`, `out {"tag":"y"}`}},
		"map to nothing":         {Config{Map: `event.tags == nil ? nil : {"a": 1}`}, `{}`, nil},
		"route":                  {Config{Route: []Route{{`event.n > 5`, "big"}, {`event.n > 2`, "middle"}, {"", "small"}}}, `{"n":3}`, []string{`middle {"n":3}`}},
		"route's last":           {Config{Route: []Route{{`event.n > 5`, "big"}, {"", "small"}}}, `{"n":3}`, []string{`small {"n":3}`}},
		"no route":               {Config{Route: []Route{{`event.n > 5`, "big"}}}, `{"n":3}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, outputs(t, stageOf(t, c.config), c.value)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatPassesKeepsItsIDAndWhatIsMadeGetsOneOfItsOwn(t *testing.T) {
	passed, err := client.Try(t.Context(), stageOf(t, Config{Filter: "true"}), record(`{}`))
	if err != nil || len(passed) != 1 || bus.Value(passed[0], event.HeaderID) != "id-of-input" {
		t.Errorf("passed %v, %v", passed, err)
	}
	made, err := client.Try(t.Context(), stageOf(t, Config{Map: `{"event": {"kind": "event"}, "@timestamp": "2026-01-02T03:04:05Z"}`}), record(`{}`))
	if err != nil || len(made) != 1 {
		t.Fatal(made, err)
	}
	id := event.ID("id-of-input", "mine", 0)
	if bus.Value(made[0], event.HeaderID) != id || bus.Value(made[0], event.HeaderTime) != "2026-01-02T03:04:05Z" ||
		!strings.Contains(string(made[0].Value), id) || bus.Value(made[0], event.HeaderOrigin) != "o:a:1" {
		t.Errorf("made %s with %v", made[0].Value, made[0].Headers)
	}
}

func TestBadRecordsArePermanentFaults(t *testing.T) {
	for name, c := range map[string]struct {
		config Config
		value  string
		code   string
	}{
		"no json":     {Config{Filter: "true"}, `{"a"`, CodeNoJSON},
		"two values":  {Config{Filter: "true"}, `{} {}`, CodeNoJSON},
		"wrong type":  {Config{Filter: `event.a < 5`}, `{"a":"x"}`, CodeExpression},
		"no boolean":  {Config{Filter: `event.a`}, `{"a":"x"}`, CodeResult},
		"no object":   {Config{Map: `event.a`}, `{"a":"x"}`, CodeResult},
		"no csv":      {Config{Convert: &Convert{From: "csv", To: "json", Columns: []string{"a"}}}, `a,"b`, CodeFormat},
		"no xml":      {Config{Convert: &Convert{From: "xml", To: "json"}}, `<a><b></a>`, CodeFormat},
		"deep xml":    {Config{Convert: &Convert{From: "xml", To: "json"}}, strings.Repeat("<a>", 1000) + strings.Repeat("</a>", 1000), CodeFormat},
		"xml entity":  {Config{Convert: &Convert{From: "xml", To: "json"}}, `<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>`, CodeFormat},
		"kv":          {Config{Convert: &Convert{From: "kv", To: "json"}}, `a=1 b`, CodeFormat},
		"no message":  {Config{Convert: &Convert{From: "json", To: "lines"}}, `{"a":1}`, CodeFormat},
		"xml element": {Config{Convert: &Convert{From: "json", To: "xml"}}, `{"a b":1}`, CodeFormat},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.Try(t.Context(), stageOf(t, c.config), record(c.value))
			if err == nil || fault.Of(err).Class != fault.Permanent || fault.Of(err).Code != c.code {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestFormatsAreConverted(t *testing.T) {
	for name, c := range map[string]struct {
		convert Convert
		value   string
		want    []string
	}{
		"csv":            {Convert{From: "csv", To: "json", Columns: []string{"a", "b"}}, "1,\"x,y\"\n2", []string{`out {"a":"1","b":"x,y"}`, `out {"a":"2"}`}},
		"csv with names": {Convert{From: "csv", To: "json"}, "a,b\n1,2\n", []string{`out {"a":"1","b":"2"}`}},
		"xml":            {Convert{From: "xml", To: "json"}, `<?xml version="1.0"?><e id="7"><n>1</n><n>2</n><t>x &amp; y</t></e>`, []string{`out {"e":{"@id":"7","n":["1","2"],"t":"x \u0026 y"}}`}},
		"kv":             {Convert{From: "kv", To: "json"}, `a=1 b="x \"y\" z" c=`, []string{`out {"a":"1","b":"x \"y\" z","c":""}`}},
		"lines":          {Convert{From: "lines", To: "json"}, "one\r\n\ntwo", []string{`out {"message":"one"}`, `out {"message":"two"}`}},
		"to xml":         {Convert{From: "json", To: "xml", Root: "r"}, `{"@id":7,"n":["1","2"],"t":"x & y"}`, []string{`out <r id="7"><n>1</n><n>2</n><t>x &amp; y</t></r>`}},
		"to csv":         {Convert{From: "json", To: "csv", Columns: []string{"b", "a"}}, `{"a":"1","b":"x,y"}`, []string{`out "x,y",1`}},
		"to kv":          {Convert{From: "json", To: "kv"}, `{"b":"x y","a":1}`, []string{`out a=1 b="x y"`}},
		"to lines":       {Convert{From: "json", To: "lines"}, `{"message":"hello"}`, []string{`out hello`}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, outputs(t, stageOf(t, Config{Convert: &c.convert}), c.value)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParsing(f *testing.F) {
	for _, s := range []string{`{"a":1}`, "a,b\n1,2", "<a b='c'>d</a>", `a=1 b="2"`, "line"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, from := range formats {
			documents, err := parse(Convert{From: from}, []byte(value))
			if err != nil {
				continue
			}
			for _, d := range documents {
				for _, to := range formats {
					_, _ = format(Convert{To: to}, d) // an error is as good as a result
				}
			}
		}
	})
}

func TestTheServicesAnswerIsMergedAndItsStatusClassed(t *testing.T) {
	status, header := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Key") != "secret" {
			t.Errorf("header is missing: %v", r.Header)
		}
		if header != "" {
			w.Header().Set("Retry-After", header)
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"bad":true}`)) // the client may be gone
	}))
	defer server.Close()
	config := Config{HTTP: &HTTP{URL: server.URL, Merge: "intel.answer"}}
	config.HTTP.Headers = secrets("X-Key", "secret")
	s := stageOf(t, config)
	records, err := client.Try(t.Context(), s, record(`{"intel":{"a":1}}`))
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Intel   map[string]any
		Decoder struct{ Fetched map[string]time.Time }
	}
	if err := json.Unmarshal(records[0].Value, &document); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"a": 1.0, "answer": map[string]any{"bad": true}}, document.Intel); diff != "" || document.Decoder.Fetched["mine"].IsZero() {
		t.Errorf("%s %v", diff, document)
	}
	for _, c := range []struct {
		status int
		header string
		class  fault.Class
		after  time.Duration
	}{
		{429, "7", fault.Throttled, 7 * time.Second}, {503, "", fault.Retry, 0}, {503, "3", fault.Throttled, 3 * time.Second},
		{500, "", fault.Retry, 0}, {400, "", fault.Permanent, 0}, {404, "", fault.Permanent, 0}, {401, "", fault.Retry, 0}, {408, "", fault.Retry, 0},
	} {
		status, header = c.status, c.header
		_, err := client.Try(t.Context(), s, record(`{}`))
		if e := fault.Of(err); e.Class != c.class || e.After != c.after {
			t.Errorf("%d: %v %s after %s", c.status, err, e.Class, e.After)
		}
	}
	optional := stageOf(t, Config{HTTP: &HTTP{URL: server.URL, Merge: "x", Partial: true, Headers: secrets("X-Key", "secret")}})
	status, header = 500, ""
	if got := outputs(t, optional, `{}`); len(got) != 1 || !strings.Contains(got[0], `"incomplete":{"mine":"http_500"}`) {
		t.Errorf("without an answer: %v", got)
	}
	checker, _ := s.(client.Checker)
	if err := checker.Check(t.Context()); err == nil {
		t.Error("a service that answers everything with 500 is there")
	}
	status = 404
	if err := checker.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
	server.Close()
	if err := checker.Check(t.Context()); err == nil {
		t.Error("a closed service answers")
	}
}

func TestConfigurationsAreRefusedWithTheField(t *testing.T) {
	for _, c := range []Config{
		{Name: "x", From: []string{"a"}, To: "b"},
		{Name: "x", From: []string{"a"}, To: "b", Filter: "true", Map: "{}"},
		{Name: "x", From: []string{"a"}, To: "a", Filter: "true"},
		{Name: "x", From: []string{"a"}, To: "dead_x", Filter: "true"},
		{Name: "X Y", From: []string{"a"}, To: "b", Filter: "true"},
		{Name: "x", To: "b", Filter: "true"},
		{Name: "x", From: []string{"a"}, To: "b", Filter: "event ==="},
		{Name: "x", From: []string{"a"}, To: "b", Filter: "now() > 1"},
		{Name: "x", From: []string{"a"}, To: "b", Filter: "unknown == 1"},
		{Name: "x", From: []string{"a"}, Route: []Route{{"", "b"}, {"true", "c"}}},
		{Name: "x", From: []string{"a"}, To: "b", Convert: &Convert{From: "yaml", To: "json"}},
		{Name: "x", From: []string{"a"}, To: "b", HTTP: &HTTP{URL: "ftp://x", Merge: "a"}},
		{Name: "x", From: []string{"a"}, To: "b", HTTP: &HTTP{URL: "http://x", Merge: "a..b"}},
		{Name: "x", From: []string{"a"}, To: "b", Exec: &Exec{}},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}
