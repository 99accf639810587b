package normalise

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

func newStage(t testing.TB) *Stage {
	t.Helper()
	s, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func record(topic, value string) *client.Record {
	return &client.Record{Origin: "test:x:1", Record: &bus.Record{
		Topic: topic, Partition: 3, Offset: 99, Value: []byte(value), Timestamp: time.Date(2026, 3, 2, 8, 0, 0, 5e6, time.UTC),
		Headers: []bus.Header{{Key: event.HeaderCapture, Value: []byte("a.pcap")}},
	}}
}

func TestRecordOfEachTopicBecomesAnEvent(t *testing.T) {
	for _, c := range []struct{ topic, value, key, time, want string }{
		{bus.TopicSuricata, `{"timestamp":"2026-03-02T08:15:30.104233+0100","event_type":"flow","src_ip":"10.0.0.2","dest_ip":"203.0.113.1"}`,
			"10.0.0.2", "2026-03-02T07:15:30.104233Z", `"dataset":"suricata.flow"`},
		{bus.TopicJSON, `{"@timestamp":"2026-03-01T00:00:00Z","source":{"ip":"10.0.0.3","port":"x"},"event":{"id":"forged","kind":"alert","dataset":"decoder.alert"},"decoder":{"alert":{"group":"forged"}}}`,
			"10.0.0.3", "2026-03-01T00:00:00Z", `"json":{"source":{"port":"x"},"event":{"id":"forged","kind":"alert","dataset":"decoder.alert"},"decoder":{"alert":{"group":"forged"}}}`},
		{bus.TopicZeek, `{"_path":"conn","ts":1772439330.5,"id.orig_h":"10.0.0.4"}`, "10.0.0.4", "2026-03-02T08:15:30.5Z", `"dataset":"zeek.conn"`},
		{bus.TopicJSON, `{"a":1.50}`, "json", "2026-03-02T08:00:00.005Z", `"json":{"a":1.50}`},
		{bus.TopicSyslog, "<165>1 2026-03-01T22:14:15.003Z host.example su 77 ID47 [x@1 a=\"b\"] failed \xff\n",
			"host.example", "2026-03-01T22:14:15.003Z", `"message":"[x@1 a=\"b\"] failed ` + "\ufffd" + `"`},
		{bus.TopicSyslog, "<34>Oct 11 22:14:15 mymachine su: 'su root' failed", "syslog", "2026-03-02T08:00:00.005Z", `"priority":34,"severity":{"code":2}`},
		{bus.TopicSyslog, "no header at all", "syslog", "2026-03-02T08:00:00.005Z", `"message":"no header at all"`},
	} {
		out, err := client.TryFrom(t.Context(), newStage(t), record(c.topic, c.value))
		if err != nil || len(out) != 1 {
			t.Errorf("%s: %d events, %v", c.value, len(out), err)
			continue
		}
		r := out[0]
		if r.Topic != bus.TopicEvents || string(r.Key) != c.key || bus.Value(r, event.HeaderTime) != c.time ||
			bus.Value(r, event.HeaderID) != event.ID("test:x:1", event.KindEvent, 0) || bus.Value(r, event.HeaderOrigin) != "test:x:1" || bus.Value(r, event.HeaderCapture) != "a.pcap" {
			t.Errorf("%s: topic %s, key %s, headers %s", c.value, r.Topic, r.Key, r.Headers)
		}
		raw := `"decoder":{"capture":{"name":"a.pcap"},"raw":{"offset":99,"partition":3,"topic":"` + c.topic + `"}}`
		if !json.Valid(r.Value) || !strings.Contains(string(r.Value), c.want) || !strings.Contains(string(r.Value), raw) {
			t.Errorf("%s\ngot  %s\nwant %s and %s", c.value, r.Value, c.want, raw)
		}
	}
}

func TestMalformedRecordIsPermanent(t *testing.T) {
	for _, c := range []struct{ topic, value, code string }{
		{bus.TopicSuricata, `{"timestamp":`, decode.CodeJSONInvalid},
		{bus.TopicSuricata, "", decode.CodeJSONInvalid},
		{bus.TopicJSON, `["not an object"]`, decode.CodeJSONInvalid},
		{bus.TopicEvents, `{}`, codeNoDecoder},
	} {
		out, err := client.TryFrom(t.Context(), newStage(t), record(c.topic, c.value))
		if err == nil || len(out) != 0 || fault.Of(err).Class != fault.Permanent || fault.Of(err).Code != c.code {
			t.Errorf("%s %q: %d events, %v, want %s", c.topic, c.value, len(out), err, c.code)
		}
	}
}

func TestHandleAllocatesNothingOfItsOwn(t *testing.T) {
	s := newStage(t)
	in := record(bus.TopicSuricata, `{"timestamp":"2026-03-02T08:15:30.104233+0100","event_type":"flow","src_ip":"10.0.0.2","dest_ip":"203.0.113.1"}`)
	in.Headers = nil // a live one is of no capture
	var out client.Output
	// The output's copies come in slabs: far less than one allocation a record.
	decodetest.NoAllocs(t, "a record", func() {
		if err := s.Handle(t.Context(), in, &out); err != nil {
			t.Fatal(err)
		}
	})
}

func TestLineOfAHeaderGivesNoEvent(t *testing.T) {
	out, err := client.TryFrom(t.Context(), newStage(t), record(bus.TopicZeek, "#fields\tts"))
	if err != nil || len(out) != 0 {
		t.Errorf("%d events, %v", len(out), err)
	}
}

func TestHeaderSaysHowALineIsToBeRead(t *testing.T) {
	in := record(bus.TopicZeek, "1772439330.5\t10.0.0.4")
	in.Headers = append(in.Headers, bus.Header{Key: event.HeaderFormat, Value: []byte("#path\tconn\n#fields\tts\tid.orig_h\n#types\ttime\taddr\n")})
	out, err := client.TryFrom(t.Context(), newStage(t), in)
	if err != nil || len(out) != 1 || string(out[0].Key) != "10.0.0.4" {
		t.Errorf("%d events, %v", len(out), err)
	}
}

func TestEachRowOfASnapshotBecomesAnEvent(t *testing.T) {
	in := record(bus.TopicOsquery, `{"name":"p","action":"snapshot","unixTime":"1772439330","hostIdentifier":"h","snapshot":[{"pid":"1"},{"pid":"2"}]}`)
	out, err := client.TryFrom(t.Context(), newStage(t), in)
	if err != nil || len(out) != 2 {
		t.Fatalf("%d events, %v", len(out), err)
	}
	for i, r := range out {
		if bus.Value(r, event.HeaderID) != event.ID("test:x:1", event.KindEvent, i) || string(r.Key) != "h" || !strings.Contains(string(r.Value), `"kind":"state"`) {
			t.Errorf("event %d: %s %s", i, r.Headers, r.Value)
		}
	}
}
