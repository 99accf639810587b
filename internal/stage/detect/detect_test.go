package detect

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/decode/suricata"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

const alertLine = `{"timestamp":"2026-03-02T08:15:33.411002+0000","flow_id":18446744073709551615,"event_type":"alert","src_ip":"203.0.113.9","src_port":80,"dest_ip":"192.168.10.31","dest_port":49900,"proto":"TCP","host":"north","alert":{"action":"blocked","gid":1,"signature_id":2100498,"rev":7,"signature":"EXAMPLE \"root\" <answer>","category":"Potentially Bad Traffic","severity":1,"metadata":{"confidence":["Low"],"signature_severity":["Critical"],"cve":["CVE_2021_44228"],"malware_family":["A family with a name longer than thirty-two"],"mitre_technique_id":["T1071"]}},"http":{"hostname":"a.example","url":"/x"}}`

func eventOf(t testing.TB, line, capture string) *client.Record {
	t.Helper()
	d, err := suricata.New(suricata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ev, err := d.Decode([]byte(line), decode.Meta{Origin: "suricata:eve-1:0", Topic: "suricata_ingest", Offset: 7, Capture: capture}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &bus.Record{Topic: bus.TopicEvents, Key: ev.Key, Value: ev.JSON, Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte("suricata:eve-1:0")}}}
	return &client.Record{Record: r, Origin: "suricata:eve-1:0"}
}

func TestSuricataAlertBecomesAnAlert(t *testing.T) {
	in := eventOf(t, alertLine, "a.pcap")
	out, err := client.TryFrom(t.Context(), New(Suricata{}), in)
	if err != nil || len(out) != 1 {
		t.Fatalf("%d alerts, %v", len(out), err)
	}
	r := out[0]
	if r.Topic != bus.TopicAlerts || string(r.Key) != "1:2100498,203.0.113.9,192.168.10.31" || bus.Value(r, event.HeaderTime) != "2026-03-02T08:15:33.411002Z" {
		t.Errorf("topic %s, key %s, headers %s", r.Topic, r.Key, r.Headers)
	}
	if bus.Value(r, event.HeaderOrigin) != in.Origin {
		t.Errorf("origin %s", bus.Value(r, event.HeaderOrigin))
	}
	var got struct {
		Event struct {
			ID, Kind, Module, Dataset string
			Risk                      float64 `json:"risk_score"`
			Severity                  int
			Category, Type            []string
		}
		Decoder struct {
			Alert   map[string]any
			Capture struct{ Name string }
		}
		Rule, Source, Destination, Related, Observer, Threat, URL map[string]any
		Suricata                                                  map[string]any
	}
	if err := json.Unmarshal(r.Value, &got); err != nil {
		t.Fatalf("%s: %v", r.Value, err)
	}
	if got.Event.Kind != "alert" || got.Event.Module != "decoder" || got.Event.Dataset != "decoder.alert" ||
		got.Event.ID != bus.Value(r, event.HeaderID) || got.Event.ID == event.ID(in.Origin, event.KindEvent, 0) ||
		got.Event.Risk != 80 || got.Event.Severity != 4 || got.Decoder.Capture.Name != "a.pcap" {
		t.Errorf("event %+v, capture %+v", got.Event, got.Decoder.Capture)
	}
	checks := got.Decoder.Alert["checks"].([]any)
	delete(got.Decoder.Alert, "checks")
	want := map[string]any{
		"badges": []any{"blocked", "CVE-2021-44228", "A family with a name longer tha…"},
		"events": []any{event.ID(in.Origin, event.KindEvent, 0)}, "group": "1:2100498,203.0.113.9,192.168.10.31",
		"kind": "network", "revision": 0.0, "score": 80.0, "severity": "critical", "title": `EXAMPLE "root" <answer>`,
	}
	if diff := cmp.Diff(want, got.Decoder.Alert); diff != "" {
		t.Errorf("decoder.alert (-want +got):\n%s", diff)
	}
	sum := 0.0
	for _, c := range checks {
		c := c.(map[string]any)
		sum += c["points"].(float64)
		if c["evidence"] == "" || c["benign"] == "" || c["version"] != 7.0 {
			t.Errorf("check %v", c)
		}
	}
	if sum != 80 || len(checks) != 3 {
		t.Errorf("%d checks of %v points", len(checks), sum)
	}
	if got.Rule["id"] != "2100498" || got.Source["ip"] != "203.0.113.9" || got.Observer["name"] != "north" || got.URL["domain"] != "a.example" || got.Suricata != nil {
		t.Errorf("taken over: rule %v, source %v, observer %v, url %v, suricata %v", got.Rule, got.Source, got.Observer, got.URL, got.Suricata)
	}
	again, err := client.TryFrom(t.Context(), New(Suricata{}), eventOf(t, alertLine, "a.pcap"))
	if err != nil || !bytes.Equal(again[0].Value, r.Value) {
		t.Errorf("the same event gave another alert: %v", err)
	}
}

func TestSeverityFollowsPriority(t *testing.T) {
	for priority, want := range map[string]string{"1": `"critical"`, "2": `"medium"`, "3": `"low"`, "255": `"low"`, "-1": `"low"`} {
		line := strings.Replace(alertLine, `"severity":1`, `"severity":`+priority, 1)
		out, err := client.TryFrom(t.Context(), New(Suricata{}), eventOf(t, line, ""))
		if err != nil || !bytes.Contains(out[0].Value, []byte(`"severity":`+want)) {
			t.Errorf("priority %s: %v %s", priority, err, out[0].Value)
		}
	}
}

func TestOtherEventsRaiseNothing(t *testing.T) {
	s := New(Suricata{})
	for _, line := range []string{
		strings.Replace(alertLine, `"event_type":"alert"`, `"event_type":"http"`, 1),
		strings.Replace(alertLine, `"signature_id":2100498,`, "", 1),
	} {
		if out, err := client.TryFrom(t.Context(), s, eventOf(t, line, "")); err != nil || len(out) != 0 {
			t.Errorf("%d alerts, %v for %s", len(out), err, line)
		}
	}
	in := eventOf(t, strings.Replace(alertLine, `"event_type":"alert"`, `"event_type":"http"`, 1), "")
	var o client.Output
	decodetest.NoAllocs(t, "an event that raises nothing", func() {
		if err := s.Handle(t.Context(), in, &o); err != nil {
			t.Fatal(err)
		}
	})
}

func TestBrokenEventIsPermanent(t *testing.T) {
	for value, code := range map[string]string{
		`{"event":`: codeEventInvalid,
		`{"event":{"dataset":"suricata.alert"},"rule":{"id":"1"}}`: codeNoIdentity,
	} {
		in := &client.Record{Record: &bus.Record{Value: []byte(value)}}
		_, err := client.TryFrom(t.Context(), New(Suricata{}), in)
		if err == nil || fault.Of(err).Class != fault.Permanent || fault.Of(err).Code != code {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// twice finds something twice in each event, and shares a field with another.
type twice struct{ err error }

func (twice) Name() string     { return "twice" }
func (twice) Fields() []string { return []string{"source.ip", "event.dataset"} }
func (d twice) Detect(e Event) ([]Finding, error) {
	f := Finding{Group: e.String(0) + e.String(1), Kind: Host, Severity: Low, Title: "t", Checks: []Check{{Points: 70}, {Points: 70}}}
	return []Finding{f, f}, d.err
}

func TestDetectorsAreIndependent(t *testing.T) {
	out, err := client.TryFrom(t.Context(), New(Suricata{}, twice{}), eventOf(t, alertLine, ""))
	if err != nil || len(out) != 3 {
		t.Fatalf("%d alerts, %v", len(out), err)
	}
	ids := map[string]bool{}
	for _, r := range out {
		ids[bus.Value(r, event.HeaderID)] = true
	}
	if len(ids) != 3 || string(out[1].Key) != "203.0.113.9suricata.alert" || !bytes.Contains(out[2].Value, []byte(`"score":100`)) {
		t.Errorf("ids %v, key %s, %s", ids, out[1].Key, out[2].Value)
	}
	wrong := fault.NewThrottled("busy", 0, errors.New("later"))
	if _, err := client.TryFrom(t.Context(), New(twice{wrong}), eventOf(t, alertLine, "")); fmt.Sprint(fault.Of(err)) != fmt.Sprint(fault.Of(wrong)) {
		t.Errorf("got %v", err)
	}
}
