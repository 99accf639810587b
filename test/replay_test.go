package test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// capture is a line of replay --json.
type capture struct {
	Capture string            `json:"capture"`
	Packets int               `json:"packets"`
	Events  map[string]uint64 `json:"events"`
	Alerts  map[string]uint64 `json:"alerts"`
}

// expectations reads the table of alerts by signature beside the captures.
func expectations(t *testing.T, file string) map[string]map[string]uint64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]uint64{}
	for i, line := range slices.Collect(strings.Lines(string(text))) {
		columns := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if i == 0 || len(columns) < 4 {
			continue
		}
		alerts := map[string]uint64{}
		for pair := range strings.SplitSeq(columns[3], ";") {
			if sid, n, ok := strings.Cut(pair, "="); ok {
				alerts[sid], err = strconv.ParseUint(n, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		out[columns[0]] = alerts
	}
	return out
}

func count(t *testing.T, data, query string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimSpace(must(t, data, "search", "--count", query)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestReplayOfRealCaptures holds the whole way, from packet to searchable
// alert, against what Suricata by itself gives for the same captures and rules.
func TestReplayOfRealCaptures(t *testing.T) {
	need(t, "suricata")
	dir := corpora(t)
	want := expectations(t, filepath.Join(dir, "pcap", "EXPECTED-suricata-7.0.10.tsv"))
	data := t.TempDir()
	args := []string{"replay", "--wait", "--json", "--rules", filepath.Join(dir, "rules", "et-open-composite-2025-08.rules.gz")}
	for name := range want {
		args = append(args, filepath.Join(dir, "pcap", name))
	}
	got := lines[capture](t, must(t, data, args...))
	if len(got) != len(want) {
		t.Errorf("%d captures are reported, %d were replayed", len(got), len(want))
	}
	var events, alerts uint64
	for _, c := range got {
		if d := cmp.Diff(want[c.Capture], c.Alerts); d != "" {
			t.Errorf("alerts of %s:\n%s", c.Capture, d)
		}
		for _, n := range c.Events {
			events += n
		}
		for _, n := range c.Alerts {
			alerts += n
		}
	}
	if n := count(t, data, "event.module:suricata"); n != events {
		t.Errorf("%d events are searchable, Suricata wrote %d", n, events)
	}
	if n := count(t, data, "event.dataset:decoder.alert"); n != alerts {
		t.Errorf("%d alerts are searchable, Suricata raised %d", n, alerts)
	}

	t.Run("again", func(t *testing.T) {
		again := lines[capture](t, must(t, data, args...))
		if len(again) != len(want) {
			t.Errorf("%d captures are reported, %d were replayed", len(again), len(want))
		}
		if n := count(t, data, "event.module:suricata"); n != events {
			t.Errorf("after a second replay %d events are searchable, want the same %d", n, events)
		}
	})

	t.Run("in the form of the schemas", func(t *testing.T) {
		need(t, "kcat")
		i := up(t, data, "--no-capture")
		h := holdTo(t)
		h.topic(t, data, "events")
		h.topic(t, data, "alerts")
		h.want(t, eventSchema, alertSchema)
		i.terminate(t)
	})
}

func TestUnreadableCapturesAreNamedAndTheRestGoesOn(t *testing.T) {
	need(t, "suricata")
	dir, data := t.TempDir(), t.TempDir()
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	good := writeFile(t, dir, "good.pcap", string(pingCapture(3)))
	bad := writeFile(t, dir, "bad.pcap", "this is no capture")
	missing := filepath.Join(dir, "missing.pcap")
	torn := writeFile(t, dir, "torn.pcap", string(pingCapture(3)[:24+16+10]))
	radio := pingCapture(3)
	radio[20] = 127 // LINKTYPE_IEEE802_11_RADIOTAP
	foreign := writeFile(t, dir, "radio.pcap", string(radio))
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	r := decoder(t, data, "replay", "--wait", "--json", "--rules", rules, foreign, bad, missing, good, torn, empty)
	if r.code != 1 {
		t.Errorf("exit code %d, want 1", r.code)
	}
	for name, why := range map[string]string{
		bad: "not a capture", missing: "no such file", torn: "truncated after 0 packets",
		foreign: "does not read link type 127", empty: "no capture found",
	} {
		if !strings.Contains(r.stderr, name+": "+why) && !strings.Contains(r.stderr, name+": Suricata "+why) {
			t.Errorf("%s is not named with %q in\n%s", name, why, r.stderr)
		}
	}
	found := false
	for _, c := range lines[capture](t, r.out) {
		if c.Capture == "good.pcap" {
			found = true
			if d := cmp.Diff(map[string]uint64{"1000001": 3}, c.Alerts); d != "" {
				t.Error(d)
			}
		}
	}
	if !found {
		t.Errorf("the readable capture is missing in\n%s", r.out)
	}
	if n := count(t, data, "event.dataset:decoder.alert"); n != 3 {
		t.Errorf("%d alerts are searchable, want 3", n)
	}
}

// TestCopiesOfACaptureAreCountedOnce replays a capture, a copy of it and a
// packed one, in one job and again each by itself.
func TestCopiesOfACaptureAreCountedOnce(t *testing.T) {
	need(t, "suricata")
	dir, data := t.TempDir(), t.TempDir()
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(pingCapture(5)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	all := []string{
		writeFile(t, dir, "packed.pcap.gz", packed.String()),
		writeFile(t, dir, "plain.pcap", string(pingCapture(5))),
		writeFile(t, dir, "copy.pcap", string(pingCapture(5))),
	}
	up(t, data, "--no-capture")
	check := func(files ...string) {
		t.Helper()
		got := lines[capture](t, must(t, data, append([]string{"replay", "--wait", "--json", "--rules", rules}, files...)...))
		if len(got) != len(files) {
			t.Errorf("%d captures are reported, %d were replayed", len(got), len(files))
		}
		for i, c := range got {
			if c.Capture != filepath.Base(files[i]) || c.Packets != 5 || c.Alerts["1000001"] != 5 || !maps.Equal(c.Events, got[0].Events) {
				t.Errorf("%s: %+v", files[i], c)
			}
		}
		var events uint64
		for _, n := range got[0].Events {
			events += n
		}
		if n := count(t, data, "event.module:suricata"); n != events {
			t.Errorf("%d events are searchable, want %d", n, events)
		}
		if n := count(t, data, "event.dataset:decoder.alert"); n != 5 {
			t.Errorf("%d alerts are searchable, want 5", n)
		}
	}
	check(all...)
	for _, f := range all {
		check(f)
	}
	check(all[1], all[1])
}

// TestReplayByAnOrdinaryUser has somebody without any right replay a capture:
// limits of Suricata's that root does not know apply.
func TestReplayByAnOrdinaryUser(t *testing.T) {
	need(t, "suricata")
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: root alone can become another user, and all other replay tests run as an ordinary one then")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("", "ordinary-") //nolint:usetesting // t.TempDir lies in folders that only its owner enters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	text, err := os.ReadFile(program(t))
	if err != nil {
		t.Fatal(err)
	}
	bin := writeFile(t, dir, "decoder", string(text))
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	ping := writeFile(t, dir, "ping.pcap", string(pingCapture(4)))
	for _, path := range []string{dir, bin, rules, ping} {
		if err := errors.Join(os.Chown(path, nobody, nobody), os.Chmod(path, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), bin, "replay", "--wait", "--json", "--rules", rules, "--data", filepath.Join(dir, "data"), ping)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	if got := lines[capture](t, out.String()); len(got) != 1 || got[0].Alerts["1000001"] != 4 {
		t.Errorf("got %+v\n%s", got, &stderr)
	}
}

// TestReplaysAtOnceWithoutAnInstance begins two that both would start one: the
// second goes through that of the first, and goes on when that ends.
func TestReplaysAtOnceWithoutAnInstance(t *testing.T) {
	need(t, "suricata")
	dir, data := t.TempDir(), t.TempDir()
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	ended := make(chan result, 3)
	for i := range cap(ended) {
		ping := writeFile(t, dir, strconv.Itoa(i)+".pcap", string(pingCapture(10+i)))
		args := []string{"replay", "--json", "--rules", rules, ping} // no --wait: the last to go waits
		go func() { ended <- decoder(t, data, args...) }()
	}
	sum := 0
	for range cap(ended) {
		r := <-ended
		got := lines[capture](t, r.out)
		if r.code != 0 || len(got) != 1 || int(got[0].Alerts["1000001"]) != got[0].Packets {
			t.Errorf("exit code %d, %+v\n%s", r.code, got, r.stderr)
			continue
		}
		sum += got[0].Packets
	}
	if n := count(t, data, "event.dataset:decoder.alert"); n != uint64(sum) || sum != 10+11+12 {
		t.Errorf("%d alerts are searchable, %d were reported, want 33", n, sum)
	}
}

func TestRefusedRulesAreNamed(t *testing.T) {
	need(t, "suricata")
	dir, data := t.TempDir(), t.TempDir()
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)
alert icmp any any -> any any (msg:"misspelt"; contents:"x"; sid:1000002; rev:1;)
`)
	ping := writeFile(t, dir, "ping.pcap", string(pingCapture(2)))
	for range 2 { // the second time the capture is known, and no engine asked
		r := decoder(t, data, "replay", "--wait", "--json", "--rules", rules, ping)
		if r.code != 1 || !strings.Contains(r.stderr, "1 of 2 rules refused") || !strings.Contains(r.stderr, "own.rules:2: unknown rule keyword 'contents'") {
			t.Errorf("exit code %d, want 1 and the rule named in\n%s", r.code, r.stderr)
		}
		if got := lines[capture](t, r.out); len(got) != 1 || got[0].Alerts["1000001"] != 2 {
			t.Errorf("the other rule's alerts: %+v", got)
		}
	}
}

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pingCapture is a capture of n ICMP echo requests from different hosts, a
// second apart.
func pingCapture(n int) []byte {
	out := []byte{
		0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0,
	}
	for i := range n {
		frame := pingFrame(byte(i + 1))
		sec := uint32(1_700_000_000 + i)
		for _, v := range []uint32{sec, 0, uint32(len(frame)), uint32(len(frame))} {
			out = append(out, byte(v), byte(v>>8), byte(v>>16), byte(v>>24))
		}
		out = append(out, frame...)
	}
	return out
}

func pingFrame(host byte) []byte {
	ether := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	ip := []byte{0x45, 0, 0, 84, 0, host, 0, 0, 64, 1, 0, 0, 10, 0, 0, host, 10, 0, 1, 1}
	sum := checksum(ip)
	ip[10], ip[11] = byte(sum>>8), byte(sum)
	icmp := append([]byte{8, 0, 0, 0, host, 1, 0, 1}, make([]byte, 56)...)
	sum = checksum(icmp)
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	return slices.Concat(ether, ip, icmp)
}

// checksum is the Internet checksum (RFC 1071).
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func ids(t *testing.T, data, query string) map[string]int {
	t.Helper()
	type doc struct {
		Event struct{ ID string }
	}
	out := map[string]int{}
	for _, d := range lines[doc](t, must(t, data, "search", "--json", "--limit", "0", query)) {
		out[d.Event.ID]++
	}
	return out
}
