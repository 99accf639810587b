package suricata

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode"
)

// TestNothingOfRealEventsIsLost decodes all events that Suricata writes of the
// captures of the corpora, and finds each value of each line in its event.
func TestNothingOfRealEventsIsLost(t *testing.T) {
	corpora := os.Getenv("DECODER_CORPORA")
	if corpora == "" {
		t.Skip("set DECODER_CORPORA to the folder of the unpacked corpora")
	}
	eve := runSuricata(t, corpora)
	f, err := os.Open(eve)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := newDecoder(t, Options{})
	check := checker()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, decode.MaxLine)
	count := 0
	for lines.Scan() {
		line := lines.Bytes()
		ev, err := d.Decode(line, goldenMeta, nil)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		check.Complete(t, line, ev.JSON)
		check.Schema(t, ev.JSON)
		if count++; t.Failed() {
			t.FailNow()
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if count < 5000 {
		t.Errorf("Suricata wrote %d events only", count)
	}
	t.Logf("%d events", count)
}

// runSuricata runs Suricata over all captures with the rules of the corpora
// and every kind of event on, and returns the file it wrote.
func runSuricata(t *testing.T, corpora string) string {
	t.Helper()
	program, err := exec.LookPath("suricata")
	if err != nil {
		t.Skip("install suricata")
	}
	const installed = "/etc/suricata/suricata.yaml"
	config, err := os.ReadFile(installed)
	if err != nil {
		t.Skip("no " + installed)
	}
	dir := t.TempDir()
	rules := filepath.Join(dir, "test.rules")
	unpack(t, filepath.Join(corpora, "rules", "et-open-composite-2025-08.rules.gz"), rules)
	own := filepath.Join(dir, "suricata.yaml")
	if err := os.WriteFile(own, withEverything(t, config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "-c", own, "-S", rules, "-k", "none", "--runmode", "single",
		"-r", filepath.Join(corpora, "pcap"), "-l", dir,
		"--set", "app-layer.protocols.pgsql.enabled=yes", "--set", "app-layer.protocols.ssh.hassh=yes",
		"--set", "app-layer.protocols.tls.ja3-fingerprints=yes", "--set", "app-layer.protocols.tls.ja4-fingerprints=yes")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("running suricata: %v\n%s", err, out)
	}
	return filepath.Join(dir, "eve.json")
}

func unpack(t *testing.T, from, to string) {
	t.Helper()
	f, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// withEverything puts an EVE output with all event types and all that can be
// added to them in the place of the one that the configuration has.
func withEverything(t *testing.T, config []byte) []byte {
	t.Helper()
	const head = "\n  - eve-log:"
	before, rest, ok := bytes.Cut(config, []byte(head))
	if !ok {
		t.Fatal("the installed configuration has no eve-log")
	}
	end := len(rest)
	for line := range strings.Lines("\n  - \n  # ") {
		if n := bytes.Index(rest, []byte("\n"+strings.TrimSuffix(line, "\n"))); line != "\n" && n >= 0 {
			end = min(end, n)
		}
	}
	out := append(bytes.Clone(before), head...)
	out = append(out, everything...)
	return append(out, rest[end:]...)
}

const everything = `
      enabled: yes
      filetype: regular
      filename: eve.json
      pcap-file: true
      community-id: true
      ethernet: yes
      types:
        - alert:
            payload: yes
            payload-printable: yes
            packet: yes
            http-body: yes
            http-body-printable: yes
            metadata: {app-layer: true, flow: true, rule: {metadata: true, raw: true, reference: true}}
            tagged-packets: yes
            verdict: yes
        - anomaly: {enabled: yes, types: {decode: yes, stream: yes, applayer: yes}, packethdr: yes}
        - http: {extended: yes, dump-all-headers: both}
        - tls: {extended: yes, session-resumption: yes}
        - files: {force-magic: yes, force-hash: [md5, sha1, sha256]}
        - smtp: {extended: yes, md5: [body, subject]}
        - dhcp: {enabled: yes, extended: yes}
        - pgsql: {enabled: yes, passwords: yes}
        - mqtt: {passwords: yes}
        - stats: {totals: yes, threads: no, deltas: yes}
        - drop: {alerts: yes}
        - dns
        - ftp
        - rdp
        - nfs
        - smb
        - tftp
        - ike
        - dcerpc
        - krb5
        - bittorrent-dht
        - snmp
        - rfb
        - sip
        - quic
        - ssh
        - http2
        - modbus
        - dnp3
        - flow
        - netflow
        - metadata
`
