package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAStageRunsAsAProcessOfItsOwn runs a stage of the configuration against
// the log of another instance, as against a cluster.
func TestAStageRunsAsAProcessOfItsOwn(t *testing.T) {
	need(t, "kcat")
	first := t.TempDir()
	i := up(t, first, "--no-capture")
	properties, err := os.ReadFile(filepath.Join(first, "client.properties"))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(properties)) {
		if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(key, "#") {
			settings[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	second := t.TempDir()
	conf := fmt.Sprintf(`
bus:
  brokers: [%q]
  sasl: {mechanism: %s, user: %q, password: %q}
stages:
  - name: loud
    from: [json_ingest]
    to: loud
    map: '{"m": upper(event.message)}'
`, settings["bootstrap.servers"], settings["sasl.mechanism"], settings["sasl.username"], settings["sasl.password"])
	if err := os.WriteFile(filepath.Join(second, "decoder.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := decoder(t, second, "run", "no-such-stage"); r.code == 0 || !strings.Contains(r.stderr, "loud") {
		t.Errorf("an unknown stage: %+v", r)
	}
	if r := decoder(t, t.TempDir(), "run", "detect"); r.code != 2 {
		t.Errorf("without brokers: %+v", r)
	}
	process := launch(t, second, []string{program(t), "run", "loud", "--data", second})
	kcat(t, first, `{"message":"hello"}`+"\n", "-P", "-t", "json_ingest")
	await(t, "the output of the other process", func() bool {
		select {
		case err := <-process.done:
			t.Fatalf("decoder run has ended: %v\n%s", err, process.written())
		default:
		}
		return strings.Contains(decoder(t, first, "tail", "loud").out, "HELLO")
	})
	process.terminate(t)
	i.terminate(t)
}
