package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestDeadLettersAndRerunsFromTheCommandLine sends records that a stage of the
// configuration cannot handle, and deals with them.
func TestDeadLettersAndRerunsFromTheCommandLine(t *testing.T) {
	data := t.TempDir()
	conf := `
sensor: {capture: false}
stages:
  - name: loud
    from: [json_ingest]
    to: loud
    map: '{"m": upper(event.message)}'
`
	if err := os.WriteFile(filepath.Join(data, "decoder.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	need(t, "kcat")
	i := up(t, data, "--no-capture")
	kcat(t, data, "{\"message\":\"hello\"}\n{\"message\":7}\n{\"message\":8}\n", "-P", "-t", "json_ingest", "-k", "k")
	letters := deadOf(t, data, "loud", 2)
	place := letters[0]
	if r := decoder(t, data, "dead", "show", place); r.code != 0 || !strings.Contains(r.out, "expression") || !strings.Contains(r.out, `{"message":`) {
		t.Errorf("show: %+v", r)
	}
	if r := decoder(t, data, "dead", "try", place); r.code == 0 {
		t.Errorf("try: %+v", r)
	}
	better := filepath.Join(t.TempDir(), "better")
	if err := os.WriteFile(better, []byte(`{"message":"mended"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := decoder(t, data, "dead", "try", place, "--file", better); r.code != 0 || !strings.Contains(r.out, "MENDED") {
		t.Errorf("try with another value: %+v", r)
	}
	if r := decoder(t, data, "dead", "edit", place, "--file", better); r.code != 0 {
		t.Errorf("edit: %+v", r)
	}
	await(t, "the edited record", func() bool { return strings.Contains(decoder(t, data, "tail", "loud").out, "MENDED") })
	deadOf(t, data, "loud", 1)
	if r := decoder(t, data, "dead", "discard", "--all", "--stage", "loud", "--text", `"message":`); r.code != 0 || !strings.Contains(r.stderr, "1 dead letter") {
		t.Errorf("discard: %+v", r)
	}
	deadOf(t, data, "loud", 0)
	if r := decoder(t, data, "dead", "resend", "not/a/place"); r.code != 2 {
		t.Errorf("a wrong place: %+v", r)
	}
	if r := decoder(t, data, "rerun", "--stage", "loud", "--from", "1d"); r.code != 0 || !strings.Contains(r.out, "as live: 1, new: 0, gone: 0, changed: 0, not handled: 2") {
		t.Errorf("rerun: %+v", r)
	}
	if r := decoder(t, data, "rerun", "--stage", "store"); r.code != 2 {
		t.Errorf("rerun of a sink: %+v", r)
	}
	i.terminate(t)
}

// TestDeadLettersOfSinksAreTriedWithoutWriting puts what is no document where
// the store and the inbox read.
func TestDeadLettersOfSinksAreTriedWithoutWriting(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	i := up(t, data, "--no-capture")
	kcat(t, data, "{\"@timestamp\":\"2001-01-01T00:00:00Z\",\"event\":{\"id\":\"old\"}}\n", "-P", "-t", "events")
	kcat(t, data, "no alert\n", "-P", "-t", "alerts")
	good := writeFile(t, t.TempDir(), "good", fmt.Sprintf(`{"@timestamp":%q,"event":{"id":"good"},"decoder":{"alert":{"group":"g","title":"t"}}}`, time.Now().UTC().Format(time.RFC3339)))
	for sink, code := range map[string]string{"store": "not_json", "inbox": "invalid"} {
		for _, place := range deadOf(t, data, sink, map[string]int{"store": 2, "inbox": 1}[sink]) {
			if r := decoder(t, data, "dead", "try", place); r.code == 0 || !strings.Contains(r.stderr, code) && !strings.Contains(r.stderr, "too_old") {
				t.Errorf("try %s: %+v", place, r)
			}
			if r := decoder(t, data, "dead", "try", place, "--file", good); r.code != 0 || !strings.Contains(r.stderr, "would be written") {
				t.Errorf("try %s with a good value: %+v", place, r)
			}
		}
	}
	if n := count(t, data, "event.id:*"); n != 0 {
		t.Errorf("%d documents are stored, none was written", n)
	}
	if out := must(t, data, "alerts", "--json"); out != "" {
		t.Errorf("the inbox has\n%s", out)
	}
	i.terminate(t)
}

// deadOf waits until so many letters of the stage are open, and returns their
// places.
func deadOf(t *testing.T, data, stage string, n int) (places []string) {
	t.Helper()
	await(t, "the dead letters", func() bool {
		r := decoder(t, data, "dead", "list", "--stage", stage, "--json")
		places = nil
		for line := range strings.Lines(r.out) {
			var l struct {
				Topic     string
				Partition json.Number
				Offset    json.Number
			}
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			places = append(places, l.Topic+"/"+l.Partition.String()+"/"+l.Offset.String())
		}
		return r.code == 0 && len(places) == n
	})
	return places
}
