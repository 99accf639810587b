package maillink_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/maillink"
)

// alertOf makes the alert of a message as the hygiene stage does.
func alertOf(t *testing.T, at time.Time, raw string, v hygiene.Verdict) *bus.Record {
	t.Helper()
	doc := mail.Decode([]byte(raw), mail.Delivery{Time: at}, mail.Options{})
	o, err := hygiene.AlertOf(doc, v, hygiene.Keep{})
	if err != nil {
		t.Fatal(err)
	}
	return &bus.Record{Topic: bus.TopicEmailAlert, Key: []byte(doc.Mail.Identity), Value: o.Value}
}

func TestALinkOrAttachmentSeenLaterRaisesAnAlertThatNamesBoth(t *testing.T) {
	b := bustest.Open(t)
	now := time.Now().UTC().Truncate(time.Second)
	bad := hygiene.Verdict{Result: hygiene.Bad, Score: 95}
	raw := "From: x@bad.example\nSubject: pay\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nhttp://Login.Bad.example/x\n--b\nContent-Type: application/zip; name=a.zip\n\ndata\n--b--"
	const sha = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7" // of "data"
	calm := "From: y@fine.example\nSubject: calm\n\nhttp://calm.example/"
	if err := b.Append(t.Context(), alertOf(t, now, raw, bad), alertOf(t, now, calm, bad),
		alertOf(t, now, calm, hygiene.Verdict{Result: hygiene.Clean, Revision: 1})); err != nil {
		t.Fatal(err)
	}
	after := now.Add(time.Minute).Format(time.RFC3339)
	before := now.Add(-time.Minute).Format(time.RFC3339)
	late := now.Add(8 * 24 * time.Hour).Format(time.RFC3339)
	event := func(id, ip, at, rest string) *bus.Record {
		return &bus.Record{Topic: bus.TopicEvents, Value: fmt.Appendf(nil, `{"@timestamp":%q,"event":{"id":%q,"module":"suricata","dataset":"suricata.x"},"source":{"ip":%q},%s}`, at, id, ip, rest)}
	}
	events := []*bus.Record{
		event("n1", "10.0.0.1", before, `"dns":{"question":{"name":"login.bad.example"}}`),
		event("n2", "10.0.0.2", late, `"dns":{"question":{"name":"login.bad.example"}}`),
		event("n3", "10.0.0.3", after, `"dns":{"question":{"name":"bad.example"}}`),
		event("n4", "10.0.0.4", after, `"dns":{"question":{"name":"calm.example"}}`),
		event("y1", "10.0.1.1", after, `"dns":{"question":{"name":"Login.bad.example."}}`),
		event("y2", "10.0.1.2", after, `"tls":{"client":{"server_name":"login.bad.example"}}`),
		event("y3", "10.0.1.3", after, `"url":{"domain":"login.bad.example"}`),
		event("y4", "10.0.1.4", after, `"file":{"hash":{"sha256":"`+sha+`"}}`),
		{Topic: bus.TopicEvents, Value: []byte(`not json`)},
	}
	if err := b.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
	st := maillink.New(maillink.Config{}, b, obs.Scope{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- st.Run(ctx) }()
	go func() {
		ended <- client.Run(ctx, b, client.Spec{Name: "maillink", Inputs: []string{bus.TopicEvents}, Outputs: []string{bus.TopicAlerts}, Stage: st}, obs.Scope{})
	}()
	got := map[string]bool{}
	bustest.Follow(t, b, bus.TopicAlerts, 30*time.Second, func(r *bus.Record) bool {
		var a struct {
			Source  struct{ IP string }
			Email   mail.Email
			Decoder struct {
				Alert struct {
					Group, Kind, Title string
					Events             []string
					Checks             []hygiene.Finding
				}
			}
		}
		if err := json.Unmarshal(r.Value, &a); err != nil {
			t.Fatal(err)
		}
		al := a.Decoder.Alert
		if string(r.Key) != al.Group || al.Kind != "mail" || len(al.Events) != 2 || len(al.Checks) != 1 || a.Email.Subject != "pay" {
			t.Errorf("alert %s", r.Value)
		}
		got[al.Events[1]+" "+a.Source.IP] = true
		return len(got) < 4
	})
	for _, want := range []string{"y1 10.0.1.1", "y2 10.0.1.2", "y3 10.0.1.3", "y4 10.0.1.4"} {
		if !got[want] {
			t.Errorf("no alert for %s: %v", want, got)
		}
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if n := len(bustest.All(t, b, bus.TopicAlerts)); n != 4 {
		t.Errorf("%d alerts, want 4", n)
	}
}
