package test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// kills is how often a kill test ends the program.
func kills() int {
	if os.Getenv("DECODER_LONG") != "" {
		return 100
	}
	return 20
}

// outcome is what must be the same whether the program was killed or not.
type outcome struct {
	Events, Alerts uint64
	Inbox          map[string]uint64 // alert group → alerts
}

func outcomeOf(t *testing.T, data string) outcome {
	t.Helper()
	type group struct {
		Group string
		Count uint64
	}
	o := outcome{
		Events: count(t, data, "event.module:suricata"),
		Alerts: count(t, data, "event.dataset:decoder.alert"),
		Inbox:  map[string]uint64{},
	}
	for _, g := range lines[group](t, must(t, data, "alerts", "--json", "--limit", "0")) {
		o.Inbox[g.Group] = g.Count
	}
	return o
}

// replaySet is real captures with rules that load fast, or without the corpora
// captures of the test's own.
func replaySet(t *testing.T) (captures []string, rules []string) {
	t.Helper()
	dir := os.Getenv("DECODER_CORPORA")
	if dir == "" {
		t.Log("no corpora (DECODER_CORPORA): replaying generated captures")
		own := t.TempDir()
		for n := range 40 {
			captures = append(captures, writeFile(t, own, "ping"+string(rune('a'+n%26))+string(rune('a'+n/26))+".pcap", string(pingCapture(100+n))))
		}
		return captures, []string{writeFile(t, own, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")}
	}
	for name := range expectations(t, filepath.Join(dir, "pcap", "EXPECTED-suricata-7.0.10.tsv")) {
		captures = append(captures, filepath.Join(dir, "pcap", name))
	}
	small := filepath.Join(dir, "rules", "et-open-2025-08-small")
	for _, name := range []string{"emerging-scan.rules", "emerging-dns.rules", "emerging-icmp.rules", "emerging-dos.rules", "emerging-coinminer.rules"} {
		rules = append(rules, filepath.Join(small, name))
	}
	return captures, append(rules, writeFile(t, t.TempDir(), "own.rules",
		`alert dns any any -> any any (msg:"question"; dns.query; content:"."; sid:1000001; rev:1;)`+"\n"))
}

// withCopies puts a copy, whose events must not count again, right behind
// every fourth capture.
func withCopies(t *testing.T, captures []string) []string {
	t.Helper()
	dir := t.TempDir()
	var all []string
	for i, path := range captures {
		all = append(all, path)
		if i%4 > 0 {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, writeFile(t, dir, "copy-of-"+filepath.Base(path), string(text)))
	}
	return all
}

func replayArgs(captures, rules []string) []string {
	args := []string{"replay", "--wait", "--json"}
	for _, r := range rules {
		args = append(args, "--rules", r)
	}
	return append(args, captures...)
}

// TestKilledDuringReplay kills the whole program at random moments while
// captures are replayed and starts it again: nothing may be lost, and nothing
// be there twice.
func TestKilledDuringReplay(t *testing.T) {
	need(t, "suricata")
	captures, rules := replaySet(t)

	calm := t.TempDir()
	reference := up(t, calm, "--no-capture")
	must(t, calm, replayArgs(captures, rules)...)
	want := outcomeOf(t, calm)
	reference.terminate(t)
	if want.Alerts == 0 || want.Events == 0 {
		t.Fatalf("the captures give %d events and %d alerts: nothing to lose", want.Events, want.Alerts)
	}

	data := t.TempDir()
	running := up(t, data, "--no-capture")
	replay := exec.Command(program(t), append(replayArgs(withCopies(t, captures), rules), "--data", data)...)
	var reported bytes.Buffer
	replay.Stdout, replay.Stderr = &reported, running
	if err := replay.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- replay.Wait() }()
	t.Cleanup(func() { _ = replay.Process.Kill() })
	await(t, "the job to be stored", func() bool { return strings.Contains(running.written(), "replay job ") })

	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills() {
		moment := time.Duration(random.Int64N(int64(800 * time.Millisecond)))
		<-time.After(moment) // any moment will do: that is the test
		running.kill()
		running = start(t, data, "--no-capture")
	}
	running.awaitScreen(t)
	select {
	case err := <-ended:
		if err != nil {
			t.Fatalf("replay --wait ended with %v\n%s", err, running.written())
		}
	case <-time.After(hang):
		t.Fatalf("replay --wait does not end\n%s", running.written())
	}
	var events uint64
	found := map[string]capture{}
	for _, c := range lines[capture](t, reported.String()) {
		if original, copied := strings.CutPrefix(c.Capture, "copy-of-"); copied {
			if d := cmp.Diff(found[original].Events, c.Events); d != "" {
				t.Errorf("%s and its copy:\n%s", original, d)
			}
			continue
		}
		found[c.Capture] = c
		for _, n := range c.Events {
			events += n
		}
	}
	if len(found) != len(captures) {
		t.Errorf("%d captures are reported, %d were replayed", len(found), len(captures))
	}
	got := outcomeOf(t, data)
	if got.Events != events {
		t.Errorf("%d events are searchable, Suricata wrote %d", got.Events, events)
	}
	want.Events = events // the engine itself writes a flow more or less from run to run
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("after the kills (-without, +with):\n%s\n%s", d, reported.String())
	}
	for id, n := range ids(t, data, "event.id:*") {
		if n != 1 {
			t.Errorf("document %s is there %d times", id, n)
		}
	}
	inboxBefore := outcomeOf(t, data).Inbox
	must(t, data, "inbox", "rebuild")
	if d := cmp.Diff(inboxBefore, outcomeOf(t, data).Inbox); d != "" {
		t.Errorf("rebuilt, the inbox is another:\n%s", d)
	}
	running.terminate(t)
}

// TestKilledWhileTailing kills the program at random moments while the EVE
// file of another Suricata grows, also between the log's acknowledgement and
// the note of it.
func TestKilledWhileTailing(t *testing.T) {
	data := t.TempDir()
	eve := filepath.Join(t.TempDir(), "eve.json")
	f, err := os.Create(eve)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	conf := writeFile(t, t.TempDir(), "decoder.yml", "sensor:\n  capture: false\n  eve: ["+eve+"]\n")
	running := up(t, data, "--config", conf)

	written := make(chan int)
	stop := make(chan struct{})
	go func() {
		defer close(written)
		for n := 0; ; n++ {
			line := strings.Replace(fresh(dnsLine), "needle", "n"+strconv.Itoa(n), 1) + "\n"
			if _, err := f.WriteString(line); err != nil {
				t.Error(err)
				return
			}
			select {
			case <-stop:
				written <- n + 1
				return
			case <-time.After(time.Millisecond):
			}
		}
	}()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range kills() / 2 {
		<-time.After(time.Duration(random.Int64N(int64(2 * time.Second)))) // any moment will do: that is the test
		running.kill()
		running = start(t, data, "--config", conf)
	}
	close(stop)
	want := uint64(<-written)
	running.awaitScreen(t)
	await(t, "every line", func() bool { return count(t, data, "event.module:suricata") >= want })
	running.terminate(t)
	if n := count(t, data, "event.module:suricata"); n != want {
		t.Errorf("%d events are searchable, %d lines were written", n, want)
	}
	for id, n := range ids(t, data, "event.module:suricata") {
		if n != 1 {
			t.Errorf("document %s is there %d times", id, n)
		}
	}
}
