package suricata

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

func needEngine(t *testing.T) Binary {
	t.Helper()
	b, err := Find(t.Context())
	if err != nil {
		t.Skipf("SKIPPED: needs Suricata 7 (apt-get install suricata): %v", err)
	}
	return b
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheEngineTakesTheGeneratedConfiguration(t *testing.T) {
	b := needEngine(t)
	classification, reference := DefaultFiles()
	// A folder with a name that YAML might read otherwise.
	dir := filepath.Join(t.TempDir(), `odd: "name" #1`)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	rules := write(t, filepath.Join(dir, "a.rules"), `alert ip any any -> $HOME_NET any (msg:"x"; sid:1000001; rev:1; classtype:bad-unknown; reference:cve,2021-1;)`+"\n")
	for name, c := range map[string]Config{
		"captures":  {},
		"interface": {Interface: "lo", HomeNet: []netip.Prefix{netip.MustParsePrefix("192.0.2.17/24"), netip.MustParsePrefix("2001:db8::1/64")}},
		"modbus":    {Modbus: true, ExternalNet: "!$HOME_NET"},
		"no rules":  {},
	} {
		c.Dir, c.Socket = dir, filepath.Join(dir, "s")
		if name != "no rules" {
			c.Rules = RuleSet{Files: []string{rules}, Classification: classification, Reference: reference,
				Threshold: write(t, filepath.Join(dir, "threshold.config"), "suppress gen_id 1, sig_id 1000001, track by_src, ip 192.0.2.1\n")}
		}
		text, err := Generate(c)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Generate(c)
		if err != nil || again != text {
			t.Errorf("%s: the text differs from one call to the next", name)
		}
		out, err := proc.Run(t.Context(), proc.Command{Path: b.Path, Args: []string{"-T", "-c", write(t, filepath.Join(dir, "c.yaml"), text), "-l", dir}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for line := range strings.SplitSeq(out, "\n") {
			if errorLine(line) != "" || strings.HasPrefix(line, "Warning:") && name != "no rules" {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func TestTheHashIsOfWhatTheEngineFindsAndNotOfWhereFilesLie(t *testing.T) {
	set := func(rule string) Config {
		dir := t.TempDir()
		return Config{Dir: dir, Socket: filepath.Join(dir, "s"), Rules: RuleSet{Files: []string{write(t, filepath.Join(dir, "a.rules"), rule)}}}
	}
	hash := func(c Config, version string) string {
		h, err := c.Hash(version)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	first := hash(set("a"), "7.0.10")
	if hash(set("a"), "7.0.10") != first {
		t.Error("the same rules in another folder have another hash")
	}
	other := set("a")
	other.HomeNet = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
	for name, h := range map[string]string{
		"rules": hash(set("b"), "7.0.10"), "version": hash(set("a"), "7.0.11"), "home networks": hash(other, "7.0.10"),
	} {
		if h == first {
			t.Errorf("other %s have the same hash", name)
		}
	}
	if _, err := (Config{Rules: RuleSet{Files: []string{"/not/there"}}}).Hash("7"); err == nil {
		t.Error("a missing rule file was hashed")
	}
}

// fakeSocket answers each request by what answer returns for its command.
func fakeSocket(t *testing.T, answer func(command string) string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for s := bufio.NewScanner(conn); s.Scan(); {
					var q struct{ Version, Command string }
					_ = json.Unmarshal(s.Bytes(), &q)
					text := `{"return":"OK"}`
					if q.Version == "" {
						text = answer(q.Command)
					}
					if text == "" {
						return
					}
					fmt.Fprintln(conn, text)
				}
			}()
		}
	}()
	return path
}

func TestAnswersOfTheEngine(t *testing.T) {
	path := fakeSocket(t, func(command string) string {
		switch command {
		case "good":
			return `{"return":"OK","message":{"a":1}}`
		case "refused":
			return `{"return":"NOK","message":"not now"}`
		case "long":
			return `{"return":"OK","message":"` + strings.Repeat("x", 300<<10) + `"}`
		case "silent":
			select {}
		case "broken":
			return `{"return":`
		}
		return "" // the engine is gone
	})
	dial := func() *Client {
		c, err := Dial(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	c := dial()
	if m, err := c.Do(t.Context(), "good", map[string]string{"x": "y"}); err != nil || string(m) != `{"a":1}` {
		t.Errorf("good: %s, %v", m, err)
	}
	if m, err := c.Do(t.Context(), "long", nil); err != nil || len(m) < 300<<10 {
		t.Errorf("long: %d bytes, %v", len(m), err)
	}
	_, err := c.Do(t.Context(), "refused", nil)
	if refused, ok := errors.AsType[*RefusedError](err); !ok || refused.Error() != "suricata refused refused: not now" {
		t.Errorf("refused: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := dial().Do(ctx, "silent", nil); err == nil {
		t.Error("silence was an answer")
	}
	for _, command := range []string{"broken", "gone"} {
		if _, err := dial().Do(t.Context(), command, nil); err == nil {
			t.Errorf("%s was an answer", command)
		}
	}
	if _, err := Dial(t.Context(), path+"x"); err == nil {
		t.Error("a socket that is not there was reached")
	}
}

func TestAnEngineThatCannotStartSaysWhy(t *testing.T) {
	b := needEngine(t)
	dir := t.TempDir()
	_, err := StartWorker(t.Context(), b, Config{HomeNet: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, ExternalNet: "nonsense",
		Rules: RuleSet{Files: []string{write(t, filepath.Join(dir, "r"), `alert ip $EXTERNAL_NET any -> any any (sid:1;)`)}}}, dir, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("got %v", err)
	}
}

func TestALeftoverWorkerIsEnded(t *testing.T) {
	b := needEngine(t)
	dir := t.TempDir()
	first, err := StartWorker(t.Context(), b, Config{}, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	second, err := StartWorker(t.Context(), b, Config{}, dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if first.Alive() {
		t.Error("two workers live in one folder")
	}
	if s, err := second.RuleStats(t.Context()); err != nil || s.Loaded != 0 {
		t.Errorf("RuleStats: %+v, %v", s, err)
	}
}

func TestASocketPathTooLongIsMadeShort(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	short, err := SocketPath("/var/lib/decoder")
	if err != nil || short != "/var/lib/decoder/command.socket" {
		t.Errorf("short: %s, %v", short, err)
	}
	long := "/" + strings.Repeat("long/", 40)
	a, err := SocketPath(long)
	if err != nil || len(a) > longestSocket {
		t.Fatalf("long: %s, %v", a, err)
	}
	if b, err := SocketPath(long); err != nil || b != a {
		t.Errorf("again: %s, %v", b, err)
	}
	if err := os.Chmod(filepath.Dir(a), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := SocketPath(long); err == nil {
		t.Error("a folder open to all was used")
	}
}

func TestDefaultRoutes(t *testing.T) {
	for _, tt := range []struct {
		line, name string
		v6         bool
	}{
		{"eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0", "eth0", false},
		{"eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0", "", false},
		{"Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask", "", false},
		{"00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003 wlan0", "wlan0", true},
		{"00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200 lo", "", true},
		{"fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0", "", true},
	} {
		read := routeV4
		if tt.v6 {
			read = routeV6
		}
		if name, _, ok := read(strings.Fields(tt.line)); ok != (tt.name != "") || ok && name != tt.name {
			t.Errorf("%s: %s, %v", tt.line, name, ok)
		}
	}
}

func TestStatsSayWhatIsWrong(t *testing.T) {
	read := func(line string) Stats {
		s, err := ParseStats([]byte(line))
		if err != nil || !IsStats([]byte(line)) {
			t.Fatalf("%s: %v", line, err)
		}
		return s
	}
	before := read(`{"timestamp":"t","event_type":"stats","stats":{"uptime":8,"capture":{"kernel_packets":1000,"kernel_drops":0},"decoder":{"pkts":1000,"invalid":0},"tcp":{"memuse":5,"ssn_memcap_drop":0},"flow":{"memcap":0},"memcap_pressure":5}}`)
	after := read(`{"timestamp":"t","event_type":"stats","stats":{"uptime":16,"capture":{"kernel_packets":1900,"kernel_drops":100},"decoder":{"pkts":1900,"invalid":90},"tcp":{"memuse":5,"ssn_memcap_drop":2},"flow":{"memcap":1},"http":{"memcap":4},"memcap_pressure":5}}`)
	if p := before.Problem(); p != "" {
		t.Errorf("a good sensor has the problem %s", p)
	}
	got := after.Since(before)
	if want := (Stats{Uptime: 16, Packets: 900, KernelDrops: 100, DecoderErrors: 90, MemcapHits: 7}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want := "10.0 % of packets were dropped by the kernel; 10.0 % of packets could not be decoded; memory limits left out 7 flows, segments or transactions"
	if p := got.Problem(); p != want {
		t.Errorf("got %s, want %s", p, want)
	}
	if again := before.Since(after); again != before {
		t.Errorf("an engine started anew: %+v", again)
	}
	for _, bad := range []string{`{`, `{"event_type":"stats","stats":{"uptime":"x"}}`} {
		if _, err := ParseStats([]byte(bad)); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}

func TestCaptureRight(t *testing.T) {
	if err := CheckCapture("none0"); err == nil {
		t.Error("a missing interface can be captured on")
	}
	e := &CaptureRightError{Interface: "eth0", Program: "/opt/decoder"}
	if want := "capturing on eth0 needs the capability CAP_NET_RAW; give it with: sudo setcap cap_net_raw+ep /opt/decoder"; e.Error() != want {
		t.Errorf("got %s", e)
	}
}
