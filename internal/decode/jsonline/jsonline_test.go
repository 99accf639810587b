package jsonline

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/fault"
)

func newDecoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestWhatIsECSPassesAndTheRestStays(t *testing.T) {
	in := `{"@timestamp":"2026-03-02T09:00:00+01:00","message":"m","source":{"ip":"10.0.0.1","port":"80"},"host":{"name":"h","ip":["10.0.0.1"]},"labels":{"a":"b"},"process":{"args":["x"],"pid":18446744073709551615},"dns":{"answers":[{"name":"a"}]},"ecs":{"version":"1.0"}}`
	ev, err := newDecoder(t).Decode([]byte(in), decode.Meta{Origin: "o"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"@timestamp":"2026-03-02T08:00:00Z","ecs":{"version":"8.17.0"},"event":{"dataset":"json","id":"` + string(ev.ID) + `","kind":"event","module":"json"},` +
		`"host":{"name":"h"},"message":"m","network":{"type":"ipv4"},"process":{"args":["x"]},"related":{"hosts":["h"],"ip":["10.0.0.1"]},"source":{"ip":"10.0.0.1"},` +
		`"json":{"source":{"port":"80"},"host":{"ip":["10.0.0.1"]},"labels":{"a":"b"},"process":{"pid":18446744073709551615},"dns":{"answers":[{"name":"a"}]},"ecs":{"version":"1.0"}}}`
	if string(ev.JSON) != want || string(ev.Key) != "10.0.0.1" {
		t.Errorf("got  %s\nwant %s\nkey  %s", ev.JSON, want, ev.Key)
	}
}

func TestTimeIsTheRecordsWhereTheLineHasNone(t *testing.T) {
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	ev, err := newDecoder(t).Decode([]byte(`{"@timestamp":7}`), decode.Meta{Time: at}, nil)
	if err != nil || string(ev.Time) != "2026-03-02T08:00:00Z" {
		t.Errorf("time %s, %v", ev.Time, err)
	}
	if _, err := newDecoder(t).Decode([]byte(`{}`), decode.Meta{}, nil); err == nil || fault.Of(err).Code != decode.CodeNoTimestamp {
		t.Errorf("without any time: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{`{}`, `{"source":{"ip":"::1"},"event":{"kind":"alert"}}`, `{"a":1,"a":"\ud800"}`, `[]`, `{"source":1,"source":{"ip":"::1"}}`} {
		f.Add([]byte(s))
	}
	d := newDecoder(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		ev, err := d.Decode(line, decode.Meta{Time: time.Unix(1, 0)}, nil)
		if object := json.Valid(line) && json.Unmarshal(line, new(map[string]any)) == nil && string(line) != "null"; err == nil != object {
			// A number beyond float64 is JSON too, though encoding/json does not take it for a value.
			if err != nil || !json.Valid(line) {
				t.Fatalf("an object: %v, and %v", object, err)
			}
		}
		if err != nil {
			if fault.Of(err).Class != fault.Permanent {
				t.Errorf("not permanent: %v", err)
			}
			return
		}
		var got struct {
			Event struct{ Dataset, Module, Kind, ID string }
		}
		if err := json.Unmarshal(ev.JSON, &got); err != nil || got.Event.Dataset != "json" || got.Event.Module != "json" || got.Event.Kind != "event" || got.Event.ID != string(ev.ID) {
			t.Errorf("%v: %s", err, ev.JSON)
		}
	})
}
