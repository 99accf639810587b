package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/test/elastic"
)

// TestEverythingReachesOpenSearchOnce has the real program put what it takes in
// into a real OpenSearch, while both are killed.
func TestEverythingReachesOpenSearchOnce(t *testing.T) {
	need(t, "kcat")
	node := elastic.Start(t, elastic.Products()[0])
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "decoder.yml"), []byte("elastic: {url: "+node.URL()+"}\nmail: {own: [mine.example]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	running := up(t, data, "--no-capture")
	const events = 5000
	var text strings.Builder
	for i := range events {
		line := strings.Replace(fresh(dnsLine), `"flow_id":1`, fmt.Sprintf(`"flow_id":%d`, i+1), 1)
		if i%1000 == 0 {
			line = finding(line)
		}
		text.WriteString(line + "\n")
	}
	half := strings.Index(text.String()[text.Len()/2:], "\n") + text.Len()/2 + 1
	kcat(t, data, text.String()[:half], "-P", "-t", "suricata_ingest")
	message := filepath.Join(t.TempDir(), "forged.eml")
	if err := os.WriteFile(message, []byte(mailOf("PayPal Service ,_<x@paypa1.example>", "Final notice", "https://x.sbs/")), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, data, "mail", "import", message)
	await(t, "documents in OpenSearch", func() bool { return len(node.Search(t, "decoder-*", `{"match_all":{}}`)) > 0 })
	running.kill()
	running = up(t, data, "--no-capture")
	node.Kill()
	kcat(t, data, text.String()[half:], "-P", "-t", "suricata_ingest")
	await(t, "the pipeline to go on without the cluster", func() bool { return count(t, data, "event.module:suricata") == events })
	node.Restart(t)

	// The store here and OpenSearch hold the same documents.
	want := map[string]int{}
	await(t, "both to hold everything", func() bool {
		if count(t, data, "event.module:suricata") != events || count(t, data, "event.dataset:decoder.alert") < 2 || count(t, data, "event.dataset:mail.verdict") != 1 {
			return false
		}
		want = ids(t, data, "event.id:*")
		return len(node.Search(t, "decoder-*", `{"match_all":{}}`)) >= len(want)
	})
	indexes := map[string]int{}
	for _, hit := range node.Search(t, "decoder-*", `{"match_all":{}}`) {
		indexes[hit.Index]++
		want[hit.ID]--
		var doc struct {
			Event struct{ ID string }
		}
		if err := json.Unmarshal(hit.Source, &doc); err != nil || doc.Event.ID != hit.ID {
			t.Errorf("document %s is kept as %s: %v", doc.Event.ID, hit.ID, err)
		}
	}
	for id, n := range want {
		if n != 0 {
			t.Errorf("document %s: in the store %+d times more than in OpenSearch", id, n)
		}
	}
	today := time.Now().UTC()
	if indexes["decoder-events-"+today.Format("2006.01.02")] == 0 || indexes["decoder-alerts-"+today.Format("2006.01")] == 0 {
		t.Errorf("documents lie in %v", indexes)
	}
	if found := node.Search(t, "decoder-alerts-*", `{"term":{"email.from.address":"x@paypa1.example"}}`); len(found) != 1 {
		t.Errorf("%d alerts of the message are found by its sender", len(found))
	}
	running.terminate(t)
}
