package suricata

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
)

var update = flag.Bool("update", false, "write the golden files anew")

var goldenMeta = decode.Meta{Origin: "suricata:eve-test:0", Topic: "suricata_ingest", Partition: 2, Offset: 40}

// TestGolden decodes testdata/golden/TYPE.jsonl, lines written after
// Suricata's schema, and compares with TYPE.expected.json.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	d := newDecoder(t, Options{})
	covered := map[string]bool{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		covered[name] = true
		t.Run(name, func(t *testing.T) { golden(t, d, file) })
	}
	for _, e := range eventTypes() {
		if !covered[e.name] {
			t.Errorf("no golden file for %s", e.name)
		}
	}
}

func golden(t *testing.T, d *Decoder, file string) {
	in, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	check := checker()
	var got bytes.Buffer
	for line := range bytes.Lines(in) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		ev, err := d.Decode(line, goldenMeta, nil)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		check.Complete(t, line, ev.JSON)
		check.Schema(t, ev.JSON)
		if err := json.Indent(&got, ev.JSON, "", "  "); err != nil {
			t.Fatal(err)
		}
		got.WriteString("\nkey: " + string(ev.Key) + "\n")
	}
	decodetest.Golden(t, strings.TrimSuffix(file, ".jsonl")+".expected.txt", got.String(), *update)
}
