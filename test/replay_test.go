package test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
}

func TestUnreadableCapturesAreNamedAndTheRestGoesOn(t *testing.T) {
	need(t, "suricata")
	dir, data := t.TempDir(), t.TempDir()
	rules := writeFile(t, dir, "own.rules", `alert icmp any any -> any any (msg:"echo"; itype:8; sid:1000001; rev:1;)`+"\n")
	good := writeFile(t, dir, "good.pcap", string(pingCapture(3)))
	bad := writeFile(t, dir, "bad.pcap", "this is no capture")
	missing := filepath.Join(dir, "missing.pcap")
	torn := writeFile(t, dir, "torn.pcap", string(pingCapture(3)[:24+16+10]))
	r := decoder(t, data, "replay", "--wait", "--json", "--rules", rules, bad, missing, good, torn)
	if r.code != 1 {
		t.Errorf("exit code %d, want 1", r.code)
	}
	for _, name := range []string{bad, missing, torn} {
		if !strings.Contains(r.stderr, name) {
			t.Errorf("%s is not named in\n%s", name, r.stderr)
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
