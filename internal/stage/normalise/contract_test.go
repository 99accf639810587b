package normalise

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
	"github.com/decodersring/decoder/internal/event"
)

// TestContract holds the stage to the contract with what the decoders' golden
// files begin with.
func TestContract(t *testing.T) {
	for topic, pattern := range map[string]string{
		bus.TopicSuricata: "suricata/testdata/golden/*.jsonl",
		bus.TopicZeek:     "zeek/testdata/golden/*.log",
		bus.TopicOsquery:  "osquery/testdata/golden/*.jsonl",
	} {
		t.Run(topic, func(t *testing.T) {
			stagetest.Check(t, stagetest.Case{
				New:     func(t testing.TB) client.Stage { return newStage(t) },
				Input:   topic,
				Outputs: newStage(t).Outputs(),
				Good:    golden(t, pattern),
				Bad:     []stagetest.Record{{Value: ""}, {Value: `{"a":`}, {Value: `{}`}, {Value: "\xff\x00"}},
			})
		})
	}
}

// golden returns the lines of golden files, each with the header it stands
// under.
func golden(t *testing.T, pattern string) (records []stagetest.Record) {
	t.Helper()
	files, err := filepath.Glob("../../decode/" + pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files of %s, %v", len(files), pattern, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		header := ""
		for line := range bytes.Lines(b) {
			if line[0] == '#' {
				header += string(line)
				continue
			}
			r := stagetest.Record{Key: "sensor", Value: strings.TrimSuffix(string(line), "\n")}
			if header != "" {
				r.Headers = []bus.Header{{Key: event.HeaderFormat, Value: []byte(header)}}
			}
			records = append(records, r)
		}
	}
	return records
}
