package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	checks "github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/detect"
	"github.com/decodersring/decoder/internal/stage/hygiene"
	"github.com/decodersring/decoder/internal/stage/jsonify"
	"github.com/decodersring/decoder/internal/stage/normalise"
	"github.com/decodersring/decoder/test/schematest"
)

// The schemas of the contract.
const (
	eventSchema   = "event.schema.json"
	alertSchema   = "alert.schema.json"
	verdictSchema = "verdict.schema.json"
	letterSchema  = "dead-letter.schema.json"
)

// held holds documents against the schemas and counts them.
type held struct {
	schemas map[string]*schematest.Schema
	seen    map[string]int
	looked  map[string]int // places in which a wrong type must be noticed
}

func holdTo(t *testing.T) *held {
	h := &held{map[string]*schematest.Schema{}, map[string]int{}, map[string]int{}}
	for _, name := range []string{eventSchema, alertSchema, verdictSchema, letterSchema} {
		h.schemas[name] = schematest.Load(t, filepath.Join("..", "docs", "reference"), name)
	}
	return h
}

// schemaOf is the schema of a record's value, by its topic and dataset.
func schemaOf(topic string, value []byte) string {
	switch {
	case topic == bus.TopicAlerts || topic == bus.TopicEmailAlert:
		return alertSchema
	case strings.Contains(string(value), `"dataset":"mail.verdict"`):
		return verdictSchema
	}
	return eventSchema
}

// document checks a record of events or alerts, and of some, since it takes
// hundreds of checks, that the schema notices every wrong type in it.
func (h *held) document(t *testing.T, topic string, value []byte) {
	t.Helper()
	h.hold(t, schemaOf(topic, value), value)
}

func (h *held) hold(t *testing.T, name string, value []byte) {
	t.Helper()
	s := h.schemas[name]
	if wrong := s.Errors(value); len(wrong) > 0 {
		t.Errorf("%s: %s\n%.2000s", name, strings.Join(wrong, "\n"), value)
	}
	if h.seen[name]++; h.seen[name]%50 != 1 {
		return
	}
	unnoticed, looked := s.Wrong(value)
	if len(unnoticed) > 0 {
		t.Errorf("%s does not notice %s", name, strings.Join(unnoticed, "\n"))
	}
	h.looked[name] = max(h.looked[name], looked)
}

func (h *held) want(t *testing.T, names ...string) {
	t.Helper()
	t.Logf("documents %v, places %v", h.seen, h.looked)
	for _, name := range names {
		if h.seen[name] == 0 || h.looked[name] < 10 {
			t.Errorf("%d documents were held against %s, with wrong types in %d places", h.seen[name], name, h.looked[name])
		}
	}
}

// through runs records through stages and holds what they make against the
// schemas.
func (h *held) through(t *testing.T, r *bus.Record, stages ...client.Stage) {
	t.Helper()
	made, err := client.Try(t.Context(), stages[0], r)
	if err != nil {
		return // what it cannot handle is another test's
	}
	for _, m := range made {
		switch m.Topic {
		case bus.TopicEvents, bus.TopicAlerts, bus.TopicEmailAlert:
			h.document(t, m.Topic, m.Value)
		}
		if len(stages) > 1 {
			h.through(t, m, stages[1:]...)
		}
	}
}

// TestEventsOfEveryFormatFitTheSchema runs the decoders' golden files through
// the stages, and the corpora's logs of Zeek if they are there.
func TestEventsOfEveryFormatFitTheSchema(t *testing.T) {
	h := holdTo(t)
	events, err := normalise.New(normalise.Options{Sensor: "north"})
	if err != nil {
		t.Fatal(err)
	}
	alerts := detect.New(detect.Suricata{}, detect.Gap{})
	real := map[string][]string{}
	if dir := os.Getenv("DECODER_CORPORA"); dir != "" {
		real[bus.TopicZeek], err = filepath.Glob(filepath.Join(dir, "zeek", "zeek-btest-baseline", "*", "*.log"))
		if err != nil || len(real[bus.TopicZeek]) == 0 {
			t.Fatalf("the corpora hold no logs of Zeek: %v", err)
		}
	}
	for pattern, topic := range map[string]string{
		"suricata/testdata/golden/*.jsonl": bus.TopicSuricata, "zeek/testdata/golden/*.log": bus.TopicZeek,
		"osquery/testdata/golden/*.jsonl": bus.TopicOsquery, "syslog/testdata/golden/*.log": bus.TopicSyslog,
	} {
		files, err := filepath.Glob("../internal/decode/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range append(files, real[topic]...) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			header := ""
			// Zeek's baselines have the times taken out and a line above.
			lines := strings.ReplaceAll(string(text), "XXXXXXXXXX.XXXXXX", "1.500000")
			for n, line := range slices.Collect(strings.Lines(lines)) {
				if strings.HasPrefix(line, "###") {
					continue
				}
				if strings.HasPrefix(line, "#") {
					header += line
					continue
				}
				h.through(t, &bus.Record{
					Topic: topic, Offset: int64(n), Key: []byte("k"), Value: []byte(strings.TrimSuffix(line, "\n")), Timestamp: time.Now(),
					Headers: []bus.Header{{Key: event.HeaderOrigin, Value: fmt.Appendf(nil, "golden:%s:%d", file, n)}, {Key: event.HeaderFormat, Value: []byte(header)}},
				}, events, alerts)
			}
		}
	}
	h.want(t, eventSchema, alertSchema)
}

// topic holds everything on a topic of an instance against the schemas.
func (h *held) topic(t *testing.T, data, topic string) {
	t.Helper()
	for line := range strings.Lines(kcat(t, data, "", "-C", "-t", topic, "-o", "beginning", "-e", "-q")) {
		h.document(t, topic, []byte(line))
	}
}

// TestVerdictsFitTheSchema judges mail, with the answers of a service.
func TestVerdictsFitTheSchema(t *testing.T) {
	h := holdTo(t)
	lists, err := checks.Load("")
	if err != nil {
		t.Fatal(err)
	}
	engine := checks.New(checks.Config{Own: []string{"mine.example"}}, lists, nil, nil)
	read, judge := jsonify.New(jsonify.Config{}, obs.Scope{}), hygiene.New(engine, checks.Keep{}, obs.Scope{})
	recorded := func(context.Context, string) ([]byte, error) {
		return json.Marshal(checks.Verdict{Answers: []checks.Answer{
			{Service: "s", Kind: "domain", Value: "bad.example", Result: "bad", Score: 80, Detail: "d", Time: time.Now(), Cached: true},
			{Service: "r", Kind: "ip", Value: "203.0.113.1", Result: "error", Time: time.Now()},
		}})
	}
	again := hygiene.NewRepeat(engine, checks.Keep{LinksAlways: true}, recorded)
	files, err := filepath.Glob("../internal/decode/mail/testdata/*.eml")
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("DECODER_CORPORA"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "email", "phishing_pot", "*.eml"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := &bus.Record{Topic: bus.TopicEmail, Value: text, Timestamp: time.Now()}
		h.through(t, r, read, judge)
		h.through(t, r, read, again)
	}
	h.want(t, verdictSchema, alertSchema)
}

// TestDeadLettersFitTheSchema lets a stage fail, and sends what came of it
// back to fail again.
func TestDeadLettersFitTheSchema(t *testing.T) {
	h := holdTo(t)
	b := bustest.Open(t)
	rt := client.NewRuntime(b, obs.Scope{})
	c, err := rt.New(client.Spec{Name: "failing", Inputs: []string{bus.TopicJSON}, Outputs: []string{bus.TopicEvents}, Stage: failing{}, Version: "v"})
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"a\nb", "panic", "\x00\xff"} {
		if err := b.Append(t.Context(), &bus.Record{Topic: bus.TopicJSON, Value: []byte(value), Headers: []bus.Header{{Key: "stage", Value: []byte("the original's")}}}); err != nil {
			t.Fatal(err)
		}
	}
	go func() { _ = c.Run(t.Context()) }()
	topic := bus.DeadTopic("failing").Name
	letters := func(n int) []*bus.Record {
		var all []*bus.Record
		bustest.Follow(t, b, topic, time.Minute, func(r *bus.Record) bool {
			all = append(all, r)
			return len(all) < n
		})
		return all
	}
	kept := dead.New(b)
	for _, r := range letters(3) {
		letter := dead.Read(r)
		if err := kept.Resend(t.Context(), "ann", "", dead.Edited(letter, []byte("edited"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range letters(6) {
		added := map[string]string{}
		behind := false
		for _, header := range r.Headers {
			if behind = behind || header.Key == dead.HeaderFormat; behind {
				added[header.Key] = string(header.Value)
			}
		}
		value, err := json.Marshal(added)
		if err != nil {
			t.Fatal(err)
		}
		h.hold(t, letterSchema, value)
		if len(added) < 12 {
			t.Errorf("headers %v", slices.Sorted(maps.Keys(added)))
		}
	}
	h.want(t, letterSchema)
}

type failing struct{}

func (failing) Handle(_ context.Context, in *client.Record, _ *client.Output) error {
	if string(in.Value) == "panic" {
		panic("a bug")
	}
	return fault.NewPermanent("bad", errors.New("it is\nbad"))
}
