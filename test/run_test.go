package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// onLogOf writes the configuration of an instance, or of a process of its own,
// whose log is that of the instance on the data folder, as a cluster would be.
func onLogOf(t *testing.T, data, more string) (dir string) {
	t.Helper()
	properties, err := os.ReadFile(filepath.Join(data, "client.properties"))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for line := range strings.Lines(string(properties)) {
		if key, value, is := strings.Cut(strings.TrimSpace(line), "="); is && !strings.HasPrefix(key, "#") {
			settings[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	dir = t.TempDir()
	writeFile(t, dir, "decoder.yml", fmt.Sprintf(`
bus:
  brokers: [%q]
  sasl: {mechanism: %s, user: %q, password: %q}
`, settings["bootstrap.servers"], settings["sasl.mechanism"], settings["sasl.username"], settings["sasl.password"])+more)
	return dir
}

// TestAStageRunsAsAProcessOfItsOwn runs a stage of the configuration against
// the log of another instance, as against a cluster.
func TestAStageRunsAsAProcessOfItsOwn(t *testing.T) {
	need(t, "kcat")
	first := t.TempDir()
	i := up(t, first, "--no-capture")
	second := onLogOf(t, first, `
stages:
  - name: loud
    from: [json_ingest]
    to: loud
    map: '{"m": upper(event.message)}'
`)
	if r := decoder(t, second, "run", "no-such-stage"); r.code == 0 || !strings.Contains(r.stderr, "loud") {
		t.Errorf("an unknown stage: %+v", r)
	}
	if r := decoder(t, t.TempDir(), "run", "detect"); r.code != 2 {
		t.Errorf("without brokers: %+v", r)
	}
	if r := decoder(t, second, "run", "loud", "--listen", "127.0.0.1:0"); r.code != 2 || !strings.Contains(r.stderr, "--listen") {
		t.Errorf("an address without a scheme: %+v", r)
	}
	process := launch(t, second, []string{program(t), "run", "loud", "--data", second, "--listen", "http://127.0.0.1:0"})
	kcat(t, first, `{"message":"hello"}`+"\n", "-P", "-t", "json_ingest")
	await(t, "the output of the other process", func() bool {
		select {
		case err := <-process.done:
			t.Fatalf("decoder run has ended: %v\n%s", err, process.written())
		default:
		}
		return strings.Contains(decoder(t, first, "tail", "loud").out, "HELLO")
	})
	watched(t, process, second)
	process.terminate(t)
	i.terminate(t)
}

// watched asks the process what tools ask, and what the commands do.
func watched(t *testing.T, process *instance, data string) {
	t.Helper()
	var url string
	await(t, "the address of metrics", func() bool {
		m := regexp.MustCompile(`metrics and health on (http://\S+)`).FindStringSubmatch(process.written())
		if m != nil {
			url = m[1]
		}
		return m != nil
	})
	await(t, "readiness", func() bool { status, _ := fetch(t, url+"/readyz"); return status == http.StatusOK })
	if status, body := fetch(t, url+"/healthz"); status != http.StatusOK {
		t.Errorf("healthz: %d %s", status, body)
	}
	_, metrics := fetch(t, url+"/metrics")
	for _, want := range []string{
		`decoder_client_in_records_total{client="loud"} 1`, `decoder_client_out_records_total{client="loud"} 1`,
		`decoder_client_lag_records{client="loud"} `, `decoder_log_appended_records_total{topic="loud"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s in\n%s", want, metrics)
		}
	}
	var status struct {
		Clients []struct {
			Client     string
			Kind       string
			Partitions []any
		}
	}
	_, body := fetch(t, url+"/status")
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Clients) != 1 || status.Clients[0].Client != "loud" || len(status.Clients[0].Partitions) == 0 {
		t.Errorf("status %s", body)
	}
	if out := must(t, data, "groups"); !strings.Contains(out, "decoder-loud") {
		t.Errorf("groups, asked of the process: %s", out)
	}
	if r := decoder(t, data, "alerts"); r.code != 1 || !strings.Contains(r.stderr, "inbox") {
		t.Errorf("alerts, asked of the process: %+v", r)
	}
}

func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// TestInstancesOnOneClusterEachHaveEverything has two instances share a log:
// the stages' work is done once, and both stores and inboxes get all of it.
func TestInstancesOnOneClusterEachHaveEverything(t *testing.T) {
	need(t, "kcat")
	cluster := t.TempDir()
	log := up(t, cluster, "--no-capture")
	folders := []string{onLogOf(t, cluster, ""), onLogOf(t, cluster, "")}
	var instances []*instance
	for _, data := range folders {
		instances = append(instances, up(t, data, "--no-capture"))
	}
	const events = 30
	for n := range events {
		line := strings.Replace(fresh(finding(dnsLine)), "10.0.0.5", fmt.Sprint("10.0.0.", n+1), 1)
		kcat(t, cluster, line+"\n", "-P", "-t", "suricata_ingest", "-k", fmt.Sprint("sensor-", n))
	}
	for _, data := range append(folders, cluster) {
		await(t, "all events in the store of "+data, func() bool { return count(t, data, "event.dataset:suricata.alert") == events })
		await(t, "all alerts in the inbox of "+data, func() bool { return len(lines[any](t, must(t, data, "alerts", "--json"))) == events })
	}
	if n := len(lines[any](t, must(t, cluster, "tail", "alerts", "--from", "first", "--json"))); n != events {
		t.Errorf("%d alerts of %d events: the stages have not shared the work", n, events)
	}
	groups := must(t, folders[0], "groups")
	for _, name := range []string{"decoder-store-", "decoder-inbox-"} {
		if n := strings.Count(groups, name); n != len(folders) {
			t.Errorf("%d groups %s… of %d instances:\n%s", n, name, len(folders), groups)
		}
	}
	for _, i := range append(instances, log) {
		i.terminate(t)
	}
}
