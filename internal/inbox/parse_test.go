package inbox

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/bus"
)

func FuzzAlert(f *testing.F) {
	for _, s := range []string{
		`{"@timestamp":"2026-01-01T00:00:00Z","event":{"id":"x"},"decoder":{"alert":{"group":"g","kind":"mail","severity":"high","score":7}},"email":{"from":{"address":["a"]},"to":{"address":"b"}}}`,
		`{"@timestamp":"2026-01-01T00:00:00Z","event":{"id":"x","severity":-1e300},"decoder":{"alert":{"group":"g\u0000","revision":9}}}`,
		`{"event":[]}`, `null`, `{`, "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parseAlert(&bus.Record{Topic: bus.TopicAlerts, Value: b})
		if err != nil {
			return
		}
		if a.severity < 1 || a.severity > 4 || a.id == "" || a.group == "" || !json.Valid(a.json) {
			t.Errorf("%+v", a)
		}
		d, err := parseDocument(a.json)
		if err != nil {
			t.Fatal(err) // what was accepted must be shown
		}
		r := row{key: a.group}
		d.shown(&r)
		if r.title == "" || r.kind == "" || utf8.RuneCountInString(r.title) > maxText+1 {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzChange(f *testing.F) {
	f.Add([]byte(`{"id":"1","group":"g","what":"archive","seen":[{"topic":"alerts","partition":1,"offset":2}]}`))
	f.Add([]byte(`{"id":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := parseChange(&bus.Record{Topic: bus.TopicTriage, Value: b})
		if err == nil && (c.ID == "" || c.Group == "" || c.What == "") {
			t.Errorf("%+v", c)
		}
	})
}
