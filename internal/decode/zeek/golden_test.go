package zeek

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
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
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

// TestGolden decodes testdata/golden/NAME.log, written after Zeek's logs, and
// compares with NAME.expected.txt.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.log")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	d := newDecoder(t)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".log"), func(t *testing.T) { golden(t, d, file) })
	}
}

func golden(t *testing.T, d *Decoder, file string) {
	in, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	eachLine(in, func(line []byte, format string) {
		ev, err := d.Decode(line, decode.Meta{Origin: "zeek:x:0", Topic: "zeek_ingest", Format: format}, nil)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		check(t, d, line, format, ev.JSON)
		if err := json.Indent(&got, ev.JSON, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteString("\nkey: " + string(ev.Key) + "\n")
	})
	decodetest.Golden(t, strings.TrimSuffix(file, ".log")+".expected.txt", got.String(), *update)
}

// eachLine calls f for each line of a log, with the header it stands under.
func eachLine(log []byte, f func(line []byte, format string)) {
	format, closed := "", false
	for line := range bytes.Lines(log) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case bytes.HasPrefix(line, []byte("#close")):
			closed = true
		case len(line) > 0 && line[0] == '#':
			if closed {
				format, closed = "", false
			}
			format += string(line) + "\n"
		case len(line) > 0:
			f(line, format)
		}
	}
}

// check holds an event to the schema and to the line it was made of.
func check(t testing.TB, d *Decoder, line []byte, format string, doc []byte) {
	t.Helper()
	if line[0] != '{' {
		h, err := parseHeader(format)
		if err != nil {
			t.Fatal(err)
		}
		if line, err = h.appendJSON(nil, line); err != nil {
			t.Fatal(err)
		}
	}
	if _, object, ok := event.Unwrap(line); ok {
		line = object
	}
	var dataset struct{ Event struct{ Dataset string } }
	if err := json.Unmarshal(doc, &dataset); err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(dataset.Event.Dataset, "zeek.")
	rules := append(commonRules(), d.log(name).rules...)
	c := decodetest.NewChecker("zeek."+name, rules, true, foundOtherwise)
	c.Schema(t, doc)
	c.Complete(t, line, doc)
}

// foundOtherwise knows the forms that Zeek's own ways give.
func foundOtherwise(event map[string]any, r mapping.Rule, value any) bool {
	text, _ := value.(string)
	switch r.As {
	case asTLSVersion:
		o, _ := event["tls"].(map[string]any)
		return o["version"] == map[string]string{"SSLv2": "2", "SSLv3": "3", "TLSv10": "1.0", "TLSv11": "1.1", "TLSv12": "1.2", "TLSv13": "1.3"}[text]
	case asClass:
		return text == "C_INTERNET"
	}
	return false
}
