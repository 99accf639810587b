package test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// run runs a command of the system that has to succeed.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// network makes two network namespaces joined by a cable and returns their
// names: the host that is watched, 10.77.0.1 at the interface watch0, and
// another one, 10.77.0.2.
func network(t *testing.T) (watched, other string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to make network namespaces")
	}
	need(t, "ip")
	id := strconv.Itoa(os.Getpid())
	watched, other = "decoder-a"+id, "decoder-b"+id
	for _, ns := range []string{watched, other} {
		run(t, "ip", "netns", "add", ns)
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	}
	run(t, "ip", "link", "add", "watch0", "netns", watched, "type", "veth", "peer", "name", "peer0", "netns", other)
	for i, end := range []struct{ ns, dev string }{{watched, "watch0"}, {other, "peer0"}} {
		run(t, "ip", "-n", end.ns, "addr", "add", fmt.Sprintf("10.77.0.%d/24", i+1), "dev", end.dev)
		run(t, "ip", "-n", end.ns, "link", "set", end.dev, "up")
		run(t, "ip", "-n", end.ns, "link", "set", "lo", "up")
	}
	return watched, other
}

// background starts a program and ends it with the test.
func background(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// TestAnswerOnTheWireIsAnAlert watches a host while it asks another one for a
// page that says what a broken-in machine would.
func TestAnswerOnTheWireIsAnAlert(t *testing.T) {
	need(t, "suricata", "python3", "curl")
	watched, other := network(t)
	page := writeFile(t, t.TempDir(), "index.html", "uid=0(root) gid=0(root) groups=0(root)\n")
	background(t, "ip", "netns", "exec", other, "python3", "-m", "http.server", "--directory", filepath.Dir(page), "80")

	data := t.TempDir()
	rules := writeFile(t, t.TempDir(), "own.rules",
		`alert tcp any any -> any any (msg:"answer of a root shell"; content:"uid=0(root)"; sid:1000001; rev:1;)`+"\n")
	conf := writeFile(t, t.TempDir(), "decoder.yml", "rules:\n  sources: []\n  files: ["+rules+"]\n")
	i := upIn(t, watched, data, "--interface", "watch0", "--config", conf)
	await(t, "the sensor to watch", func() bool { return strings.Contains(i.written(), "engine watches") })

	sent := time.Now()
	await(t, "the page", func() bool {
		return exec.CommandContext(t.Context(), "ip", "netns", "exec", watched, "curl", "-s", "-o", "/dev/null", "http://10.77.0.2/").Run() == nil
	})
	type group struct{ Rule, Title string }
	await(t, "the alert", func() bool {
		for _, g := range lines[group](t, must(t, data, "alerts", "--json")) {
			if strings.Contains(g.Rule, "1000001") {
				return true
			}
		}
		return false
	})
	t.Logf("the alert was listed %s after the request", time.Since(sent).Round(time.Millisecond))

	r := decoder(t, data, "selftest")
	if r.code != 0 {
		t.Errorf("selftest: exit code %d\n%s%s", r.code, r.out, r.stderr)
	}
	i.terminate(t)
}

// TestSensorOutlivesAKillOfTheProgram kills the program while it watches: the
// engine goes on, and the next start takes it over with what it saw meanwhile.
func TestSensorOutlivesAKillOfTheProgram(t *testing.T) {
	need(t, "suricata", "ping")
	watched, _ := network(t)
	data := t.TempDir()
	rules := writeFile(t, t.TempDir(), "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	conf := writeFile(t, t.TempDir(), "decoder.yml", "rules:\n  sources: []\n  files: ["+rules+"]\n")
	first := upIn(t, watched, data, "--interface", "watch0", "--config", conf)
	await(t, "the sensor to watch", func() bool { return strings.Contains(first.written(), "engine watches") })
	first.kill()
	run(t, "ip", "netns", "exec", watched, "ping", "-c", "3", "-i", "0.2", "10.77.0.2")
	second := upIn(t, watched, data, "--interface", "watch0", "--config", conf)
	await(t, "the engine to be adopted", func() bool { return strings.Contains(second.written(), "adopted=true") })
	await(t, "what was on the wire meanwhile", func() bool { return count(t, data, "event.dataset:decoder.alert rule.id:1000001") == 3 })
	second.terminate(t)
}
