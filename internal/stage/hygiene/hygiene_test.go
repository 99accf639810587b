package hygiene_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	checks "github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/hygiene"
	"github.com/decodersring/decoder/internal/stage/jsonify"
)

// services is an outside service that is down, until it is not.
type services struct{ up atomic.Bool }

func (s *services) Ask(_ context.Context, _ *mail.Document, _ []checks.Answer) []checks.Answer {
	a := checks.Answer{Service: "test", Kind: "domain", Value: "bad.example", Result: "error"}
	if s.up.Load() {
		a.Result = "bad"
	}
	return []checks.Answer{a}
}

func engine(t *testing.T, s checks.Services) *checks.Engine {
	t.Helper()
	lists, err := checks.Load("")
	if err != nil {
		t.Fatal(err)
	}
	return checks.New(checks.Config{}, lists, s, nil)
}

// run starts a client of the stages and stops it with the test.
func run(t *testing.T, b *bus.Bus, specs ...client.Spec) {
	t.Helper()
	rt := client.NewRuntime(b, obs.Scope{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, len(specs))
	for _, s := range specs {
		c, err := rt.New(s)
		if err != nil {
			t.Fatal(err)
		}
		go func() { ended <- c.Run(ctx) }()
	}
	t.Cleanup(func() {
		cancel()
		for range specs {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
	})
}

func specs(t *testing.T, s checks.Services, delay time.Duration) []client.Spec {
	st := hygiene.New(engine(t, s), checks.Keep{}, obs.Scope{})
	out := []string{bus.TopicEvents, bus.TopicEmailAlert, bus.TopicRecheck}
	return []client.Spec{
		{Name: "jsonify", Inputs: []string{bus.TopicEmail}, Outputs: []string{bus.TopicJsonified}, Stage: jsonify.New(jsonify.Config{}, obs.Scope{})},
		{Name: "hygiene", Inputs: []string{bus.TopicJsonified}, Outputs: out, Stage: st, Concurrency: hygiene.Concurrency, Window: hygiene.Window},
		{Name: "recheck", Inputs: []string{bus.TopicRecheck}, Outputs: out, Stage: hygiene.NewRecheck(st, delay, 3)},
	}
}

type document struct {
	Timestamp time.Time `json:"@timestamp"`
	Event     struct {
		ID       string   `json:"id"`
		Kind     string   `json:"kind"`
		Category []string `json:"category"`
		Module   string   `json:"module"`
		Dataset  string   `json:"dataset"`
		Risk     float64  `json:"risk_score"`
		Severity int      `json:"severity"`
	} `json:"event"`
	Mail struct {
		Verdict checks.Verdict `json:"verdict"`
	} `json:"mail"`
	Decoder struct {
		Raw   *mail.RawRecord `json:"raw"`
		Alert struct {
			Group    string           `json:"group"`
			Kind     string           `json:"kind"`
			Severity string           `json:"severity"`
			Score    float64          `json:"score"`
			Title    string           `json:"title"`
			Revision int              `json:"revision"`
			Events   []string         `json:"events"`
			Checks   []checks.Finding `json:"checks"`
		} `json:"alert"`
	} `json:"decoder"`
}

func parse(t *testing.T, r *bus.Record) document {
	t.Helper()
	var d document
	if err := json.Unmarshal(r.Value, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

const phish = "Received: from a (unknown [203.0.113.9]) by mx; Tue, 3 Mar 2026 09:15:02 +0000\nFrom: PayPal ,_<x@bad.example>\nTo: bob@mine.example\nSubject: Final notice\nMessage-ID: <1@bad.example>\n\nhttps://x.sbs/"

func TestOneMessageFromSeveralSourcesGivesOneIDForVerdictAndAlert(t *testing.T) {
	b := bustest.Open(t)
	crlf := strings.ReplaceAll(phish, "\n", "\r\n") + "\r\n"
	logstash, err := json.Marshal(map[string]string{"@version": "1", "message": phish})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{phish, crlf, "From x Tue Mar  3 09:15:02 2026\n" + phish, string(logstash)} {
		if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEmail, Value: []byte(v)}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, b, specs(t, nil, time.Minute)...)
	ids := map[string]int{}
	n := 0
	bustest.Follow(t, b, bus.TopicEmailAlert, 30*time.Second, func(r *bus.Record) bool {
		d := parse(t, r)
		ids[d.Event.ID]++
		a := d.Decoder.Alert
		if d.Event.Kind != "alert" || d.Event.Module != "decoder" || d.Event.Dataset != "decoder.alert" || d.Event.Severity < 3 ||
			a.Kind != "mail" || a.Group != string(r.Key) || a.Revision != 0 || len(a.Events) != 1 || len(a.Checks) < 3 || a.Title == "" || a.Score < 60 {
			t.Errorf("alert %s", r.Value)
		}
		for _, c := range a.Checks {
			if c.Benign == "" || c.Evidence == "" || c.Version == 0 {
				t.Errorf("check %+v", c)
			}
		}
		if bus.Value(r, event.HeaderID) != d.Event.ID || bus.Value(r, event.HeaderTime) != d.Timestamp.Format(time.RFC3339Nano) {
			t.Error("headers and document disagree")
		}
		n++
		return n < 4
	})
	if len(ids) != 1 {
		t.Errorf("alerts have ids %v, want one", ids)
	}
	events := map[string]bool{}
	for _, r := range bustest.All(t, b, bus.TopicEvents) {
		d := parse(t, r)
		events[d.Event.ID] = true
		if d.Event.Kind != "event" || d.Event.Category[0] != "email" || d.Decoder.Raw.Topic != bus.TopicEmail || strings.Contains(string(r.Value), "x.sbs/") {
			t.Errorf("event %s", r.Value)
		}
	}
	if len(events) != 1 {
		t.Errorf("%d ids of events, want one", len(events))
	}
}

func TestIncompleteVerdictIsCheckedAgainAndTheResultIsARevision(t *testing.T) {
	b := bustest.Open(t)
	good := "From: ada@bad.example\nTo: bob@mine.example\nMessage-ID: <1@bad.example>\nSubject: Hello\n\nHello"
	if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEmail, Value: []byte(good)}); err != nil {
		t.Fatal(err)
	}
	s := &services{}
	run(t, b, specs(t, s, 300*time.Millisecond)...)
	n := 0
	bustest.Follow(t, b, bus.TopicEvents, 30*time.Second, func(r *bus.Record) bool {
		d := parse(t, r)
		switch n++; n {
		case 1:
			if v := d.Mail.Verdict; !v.Incomplete || v.Result != checks.Unknown || v.Revision != 0 {
				t.Errorf("first verdict %+v", v)
			}
			s.up.Store(true)
		case 2:
			if v := d.Mail.Verdict; v.Incomplete || v.Result != checks.Suspicious || v.Revision != 1 {
				t.Errorf("second verdict %+v", v)
			}
		}
		return n < 2
	})
	bustest.Follow(t, b, bus.TopicEmailAlert, 30*time.Second, func(r *bus.Record) bool {
		if d := parse(t, r); d.Decoder.Alert.Revision != 1 {
			t.Errorf("alert %s", r.Value)
		}
		return false
	})
}

func TestRecordsAtFaultAreDeadLettersAndNothingElseIs(t *testing.T) {
	st := jsonify.New(jsonify.Config{}, obs.Scope{})
	for value, want := range map[string]string{
		"": "no_message", " \r\n": "no_message", "{}": "", "no header at all": "", "From: a@b\n\n\x00": "", `{"message":5}`: "",
	} {
		err := st.Handle(t.Context(), &client.Record{Record: &bus.Record{Value: []byte(value)}}, &client.Output{})
		if got := code(err); got != want {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
	hy := hygiene.New(engine(t, nil), checks.Keep{}, obs.Scope{})
	for value, want := range map[string]string{
		"": "bad_document", "{}": "bad_document", `{"mail":{"schema_version":99,"identity":"x"}}`: "schema_newer", `{"mail":{"schema_version":1,"identity":"x"}}`: "",
	} {
		err := hy.Handle(t.Context(), &client.Record{Record: &bus.Record{Value: []byte(value)}}, &client.Output{})
		if got := code(err); got != want {
			t.Errorf("%q: %v, want %q", value, err, want)
		}
	}
}

func code(err error) string {
	if err == nil {
		return ""
	}
	f := fault.Of(err)
	if f.Class != fault.Permanent {
		return "not permanent: " + f.Code
	}
	return f.Code
}

func TestAStoppingProgramGivesNoIncompleteVerdict(t *testing.T) {
	hy := hygiene.New(engine(t, &services{}), checks.Keep{}, obs.Scope{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	out := &client.Output{}
	err := hy.Handle(ctx, &client.Record{Record: &bus.Record{Value: []byte(`{"mail":{"schema_version":1,"identity":"x"}}`)}}, out)
	if !errors.Is(err, context.Canceled) || len(out.Records()) != 0 {
		t.Errorf("%v, %d records", err, len(out.Records()))
	}
}

// TestStagesOnTheCorpora sends all real mail through both stages.
func TestStagesOnTheCorpora(t *testing.T) {
	root := os.Getenv("DECODER_CORPORA")
	if root == "" {
		t.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	files, err := filepath.Glob(filepath.Join(root, "email", "phishing_pot", "*.eml"))
	if err != nil || len(files) < 200 {
		t.Fatalf("%d messages, %v", len(files), err)
	}
	b := bustest.Open(t)
	want := map[string]bool{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		want[mail.Identity(raw)] = true
		if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEmail, Value: raw}); err != nil {
			t.Fatal(err)
		}
	}
	run(t, b, specs(t, nil, time.Minute)...)
	got := map[string]bool{}
	bustest.Follow(t, b, bus.TopicEvents, time.Minute, func(r *bus.Record) bool {
		got[string(r.Key)] = true
		return len(got) < len(want)
	})
	for _, topic := range []string{"dead_jsonify", "dead_hygiene"} {
		if n := len(bustest.All(t, b, topic)); n > 0 {
			t.Errorf("%d records on %s", n, topic)
		}
	}
}

func TestALargeMessageIsJudgedLikeAnyOther(t *testing.T) {
	b := bustest.Open(t)
	large := "From: ada@fine.example\nMessage-ID: <1@x>\nContent-Type: application/zip; name=a.exe\n\n" + strings.Repeat("0123456789abcde\n", 45<<16)
	if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicEmail, Value: []byte(large)}); err != nil {
		t.Fatal(err)
	}
	run(t, b, specs(t, nil, time.Minute)...)
	bustest.Follow(t, b, bus.TopicEmailAlert, time.Minute, func(r *bus.Record) bool {
		if d := parse(t, r); d.Decoder.Alert.Checks[0].Name != "attachment_executable" {
			t.Errorf("%+v", d.Decoder.Alert.Checks)
		}
		return false
	})
}
