package osquery

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

func newDecoder(t testing.TB) *Decoder {
	t.Helper()
	d, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// all decodes a line, holds each event to the schema and to its row, and
// returns copies of the events.
func all(t testing.TB, d *Decoder, line []byte) (events []decode.Event, err error) {
	t.Helper()
	_, err = d.DecodeAll(line, decode.Meta{Origin: "osquery:x:0", Topic: "osquery_ingest"}, nil, func(ev decode.Event) {
		ev.JSON, ev.ID, ev.Key, ev.Time = bytes.Clone(ev.JSON), bytes.Clone(ev.ID), bytes.Clone(ev.Key), bytes.Clone(ev.Time)
		events = append(events, ev)
	})
	if err != nil {
		return nil, err
	}
	check := decodetest.NewChecker("osquery", rules(), false, nil)
	rows := rowsOf(t, line)
	if len(rows) != len(events) {
		t.Fatalf("%d events of %d rows in %s", len(events), len(rows), line)
	}
	for i, ev := range events {
		if want := event.ID("osquery:x:0", event.KindEvent, i); string(ev.ID) != want {
			t.Errorf("event %d has id %s, want %s", i, ev.ID, want)
		}
		check.Schema(t, ev.JSON)
		check.Complete(t, rows[i], ev.JSON)
	}
	return events, nil
}

// rowsOf takes a line apart with encoding/json, one line a row.
func rowsOf(t testing.TB, line []byte) (lines [][]byte) {
	t.Helper()
	var outer map[string]json.RawMessage
	if err := json.Unmarshal(line, &outer); err != nil {
		t.Fatal(err)
	}
	var diff map[string]json.RawMessage
	_ = json.Unmarshal(outer["diffResults"], &diff)
	add := func(raw json.RawMessage, action string) {
		var rows []json.RawMessage
		_ = json.Unmarshal(raw, &rows)
		for _, r := range rows {
			alone := map[string]any{}
			for name, v := range outer {
				if name != "snapshot" && name != "diffResults" {
					alone[name] = v
				}
			}
			alone["columns"], alone["action"] = r, action
			b, err := json.Marshal(alone)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, b)
		}
	}
	add(outer["snapshot"], "snapshot")
	add(diff["removed"], "removed")
	add(diff["added"], "added")
	if len(lines) == 0 {
		lines = [][]byte{line}
	}
	return lines
}

func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	d := newDecoder(t)
	for _, file := range files {
		in, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		for line := range bytes.Lines(in) {
			events, err := all(t, d, bytes.TrimSpace(line))
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			for _, ev := range events {
				if err := json.Indent(&got, ev.JSON, "", "  "); err != nil {
					t.Fatal(err)
				}
				got.WriteString("\nkey: " + string(ev.Key) + "\n")
			}
		}
		decodetest.Golden(t, strings.TrimSuffix(file, ".jsonl")+".expected.txt", got.String(), *update)
	}
}

func TestFaults(t *testing.T) {
	d := newDecoder(t)
	many := `{"unixTime":"1","snapshot":[{}` + strings.Repeat(",{}", maxRows) + `]}`
	for line, code := range map[string]string{
		`{"name":`: decode.CodeJSONInvalid, `[]`: decode.CodeJSONInvalid, `{"name":"x"}`: decode.CodeNoTimestamp,
		`{"unixTime":"soon"}`: decode.CodeNoTimestamp, `{"snapshot":[{}]}`: decode.CodeNoTimestamp, many: decode.CodeTooManyFields,
	} {
		_, err := all(t, d, []byte(line))
		if err == nil || fault.Of(err).Code != code || fault.Of(err).Class != fault.Permanent {
			t.Errorf("%.60s: got %v, want %s", line, err, code)
		}
	}
}

func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(b) {
			f.Add(bytes.TrimSpace(line))
		}
	}
	d := newDecoder(f)
	check := decodetest.NewChecker("osquery", rules(), false, nil)
	f.Fuzz(func(t *testing.T, line []byte) {
		_, err := d.DecodeAll(line, decode.Meta{Origin: "o"}, nil, func(ev decode.Event) {
			if !json.Valid(ev.JSON) || len(ev.Key) == 0 {
				t.Fatalf("event %q, key %q", ev.JSON, ev.Key)
			}
			check.Schema(t, ev.JSON)
		})
		if err != nil && fault.Of(err).Class != fault.Permanent {
			t.Errorf("not permanent: %v", err)
		}
	})
}

// TestNothingOfRealResultsIsLost decodes osquery's logs of the corpora.
func TestNothingOfRealResultsIsLost(t *testing.T) {
	corpora := os.Getenv("DECODER_CORPORA")
	if corpora == "" {
		t.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	d := newDecoder(t)
	count := 0
	for _, pattern := range []string{"*.log", "*.jsonl"} {
		files, err := filepath.Glob(filepath.Join(corpora, "osquery", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for line := range bytes.Lines(b) {
				if line = bytes.TrimSpace(line); len(line) == 0 {
					continue
				}
				events, err := all(t, d, line)
				if err != nil {
					t.Errorf("%s: %s: %v", file, line, err)
				}
				count += len(events)
			}
		}
	}
	if count < 100 {
		t.Errorf("%d events only", count)
	}
	t.Logf("%d events", count)
}
