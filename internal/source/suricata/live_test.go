package suricata

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/selftest"
	engine "github.com/decodersring/decoder/internal/suricata"
)

// The test binary is also the programs that the live test starts within its
// network namespaces: a sensor, a web server, a browser.
const roleVariable = "DECODER_TEST_ROLE"

func TestMain(m *testing.M) {
	dir := os.Getenv("DECODER_TEST_DIR")
	var err error
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "sensor":
		err = runSensor(dir)
	case "server":
		err = http.ListenAndServe("10.77.0.1:80", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "uid=0(root) gid=0(root) groups=0(root)\n")
		}))
	case "selftest":
		_, err = selftest.Send("veth0")
	case "browser":
		var r *http.Response
		if r, err = http.Get("http://10.77.0.1/" + os.Getenv("DECODER_TEST_PATH")); err == nil {
			_, err = io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fileLog is a log that outlives a killed process: a line a record.
type fileLog struct {
	mu   sync.Mutex
	path string
}

func (l *fileLog) Append(_ context.Context, rs ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, r := range rs {
		if _, err := fmt.Fprintf(f, "%s %s\n", bus.Value(r, event.HeaderOrigin), r.Value); err != nil {
			return err
		}
	}
	return nil
}

// each calls do for every whole record.
func (l *fileLog) each(do func(origin, value string)) error {
	f, err := os.Open(l.path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		if origin, value, ok := strings.Cut(s.Text(), " "); ok && json.Valid([]byte(value)) {
			do(origin, value)
		}
	}
	return s.Err()
}

func (l *fileLog) LastOrigin(_ context.Context, _, _, prefix string) (last string, err error) {
	err = l.each(func(origin, _ string) {
		if strings.HasPrefix(origin, prefix) {
			last = origin
		}
	})
	return last, err
}

func sensorSource(dir string, log *fileLog) (*Source, error) {
	classification, reference := engine.DefaultFiles()
	return New(Options{
		Dir: filepath.Join(dir, "sensor"), Topic: "suricata_ingest", Sensor: "test", Interface: "veth0", RotateAt: 64 << 10,
	}, Deps{
		Log: log, Origins: log,
		Scope: obs.Scope{Log: slog.New(slog.NewTextHandler(os.Stdout, nil))},
		Rules: func() (engine.RuleSet, error) {
			return engine.RuleSet{Files: []string{filepath.Join(dir, "own.rules")}, Classification: classification, Reference: reference}, nil
		},
	})
}

// runSensor runs the source until SIGTERM and leaves its status in a file.
func runSensor(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := sensorSource(dir, &fileLog{path: filepath.Join(dir, "log")})
	if err != nil {
		return err
	}
	go func() {
		for ctx.Err() == nil {
			b, _ := json.Marshal(s.Status())
			_ = os.WriteFile(filepath.Join(dir, "status.new"), b, 0o600)
			_ = os.Rename(filepath.Join(dir, "status.new"), filepath.Join(dir, "status"))
			<-time.After(50 * time.Millisecond)
		}
	}()
	return s.Run(ctx)
}

// lab is two network namespaces joined by a pair of virtual cards, a sensor on
// one of them and a web server behind it.
type lab struct {
	t    *testing.T
	dir  string
	a, b string
	log  *fileLog
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root, to make network namespaces")
	}
	if _, err := proc.LookPath("ip"); err != nil {
		t.Skip("SKIPPED: needs ip (apt-get install iproute2)")
	}
	if _, err := engine.Find(t.Context()); err != nil {
		t.Skipf("SKIPPED: needs Suricata 7 (apt-get install suricata): %v", err)
	}
	l := &lab{t: t, dir: t.TempDir()}
	l.a, l.b = fmt.Sprintf("decoder-%d-a", os.Getpid()), fmt.Sprintf("decoder-%d-b", os.Getpid())
	l.log = &fileLog{path: filepath.Join(l.dir, "log")}
	t.Cleanup(func() {
		// An engine outlives its program, and so a test that failed.
		if r, err := proc.ReadRecord(filepath.Join(l.dir, "sensor", "engine.pid")); err == nil {
			if p, alive := proc.Adopt(r.Identity, "", nil); alive {
				p.Kill()
			}
		}
		for _, ns := range []string{l.a, l.b} {
			_, _ = proc.Run(context.Background(), proc.Command{Path: "ip", Args: []string{"netns", "del", ns}})
		}
	})
	for _, args := range []string{
		"netns add " + l.a, "netns add " + l.b,
		"-n " + l.a + " link add veth0 type veth peer name veth1 netns " + l.b,
		"-n " + l.a + " addr add 10.77.0.1/24 dev veth0", "-n " + l.b + " addr add 10.77.0.2/24 dev veth1",
		"-n " + l.a + " link set veth0 up", "-n " + l.b + " link set veth1 up", "-n " + l.a + " link set lo up",
	} {
		if _, err := proc.Run(t.Context(), proc.Command{Path: "ip", Args: strings.Fields(args)}); err != nil {
			t.Skipf("SKIPPED: needs the right to make network namespaces: %v", err)
		}
	}
	own, err := os.ReadFile(filepath.Join("..", "..", "rules", "selftest.rules"))
	if err != nil {
		t.Fatal(err)
	}
	rule := string(own) + `alert ip any any -> any any (msg:"GPL ATTACK_RESPONSE id check returned root"; content:"uid=0|28|root|29|"; classtype:bad-unknown; sid:2100498; rev:7;)` + "\n"
	if err := os.WriteFile(filepath.Join(l.dir, "own.rules"), []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	l.start(l.a, "server", "")
	return l
}

func (l *lab) start(ns, role, path string) *proc.Process {
	l.t.Helper()
	self, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	t := l.t
	p, err := proc.Start(proc.Command{
		Path: "ip", Args: []string{"netns", "exec", ns, self},
		Env:  []string{roleVariable + "=" + role, "DECODER_TEST_DIR=" + l.dir, "DECODER_TEST_PATH=" + path},
		Line: func(s string) { fmt.Fprintln(t.Output(), role+":", s) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Kill)
	return p
}

// browse fetches the page, again until the server is there.
func (l *lab) browse(path string) {
	l.t.Helper()
	for range 100 {
		p := l.start(l.b, "browser", path)
		<-p.Done()
		if p.Err() == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
	l.t.Fatal("the page cannot be fetched")
}

func (l *lab) awaitStatus(what string, ok func(Status) bool) Status {
	l.t.Helper()
	var s Status
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); <-time.After(10 * time.Millisecond) {
		b, err := os.ReadFile(filepath.Join(l.dir, "status"))
		if err == nil && json.Unmarshal(b, &s) == nil && ok(s) {
			return s
		}
	}
	l.t.Fatalf("the sensor did not get to %s: %+v", what, s)
	return s
}

func watching(s Status) bool { return s.Engine.State == engine.LiveWatching }

// awaitLine returns the first record whose value holds all the words.
func (l *lab) awaitLine(words ...string) string {
	l.t.Helper()
	found := ""
	for limit := time.Now().Add(20 * time.Second); time.Now().Before(limit); <-time.After(5 * time.Millisecond) {
		err := l.log.each(func(_, value string) {
			for _, w := range words {
				if !strings.Contains(value, w) {
					return
				}
			}
			found = value
		})
		if err != nil {
			l.t.Fatal(err)
		}
		if found != "" {
			return found
		}
	}
	all, _ := os.ReadFile(l.log.path)
	l.t.Fatalf("no line with %q reached the log:\n%.4000s", words, all)
	return ""
}

func TestAPacketOnTheWireBecomesALineOnTheLogWhateverEnds(t *testing.T) {
	l := newLab(t)
	sensor := l.start(l.a, "sensor", "")
	first := l.awaitStatus("watching", watching)
	if first.Engine.Adopted || first.Engine.Rules.Loaded != 2 {
		t.Errorf("first start: %+v", first.Engine)
	}
	l.browse("one")
	began := time.Now()
	l.awaitLine(`"event_type":"alert"`, `"signature_id":2100498`, `"url":"/one"`)
	t.Logf("the alert was on the log %s after the page was fetched", time.Since(began))

	// The self-test's exchange passes through the watched interface.
	<-l.start(l.a, "selftest", "").Done()
	l.awaitLine(`"event_type":"alert"`, `"signature_id":1900000`, `"src_ip":"203.0.113.7"`)

	// The program is killed: the engine goes on, and the next start adopts it.
	sensor.Kill()
	if err := os.Remove(filepath.Join(l.dir, "status")); err != nil {
		t.Fatal(err)
	}
	l.browse("unsupervised")
	sensor = l.start(l.a, "sensor", "")
	second := l.awaitStatus("watching again", watching)
	if !second.Engine.Adopted || second.Engine.PID != first.Engine.PID {
		t.Errorf("the engine was not adopted: %+v, was %d", second.Engine, first.Engine.PID)
	}
	l.awaitLine(`"signature_id":2100498`, `"url":"/unsupervised"`)

	// The engine crashes: it is started again, and the gap is told.
	if err := syscall.Kill(second.Engine.PID, syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	third := l.awaitStatus("watching after a crash", func(s Status) bool { return watching(s) && s.Engine.PID != second.Engine.PID })
	if third.Engine.Restarts != 1 {
		t.Errorf("restarts: %+v", third.Engine)
	}
	gap := l.awaitLine(`"event_type":"decoder_gap"`, `suricata ended`)
	l.browse("three")
	l.awaitLine(`"signature_id":2100498`, `"url":"/three"`)
	t.Logf("gap: %s", gap)

	// It is stopped in order: the engine writes out the flow it still holds.
	l.browse("last")
	sensor.Stop(30 * time.Second)
	if sensor.Err() != nil {
		t.Errorf("the sensor ended with %v", sensor.Err())
	}
	l.awaitLine(`"event_type":"flow"`, `"dest_port":80`)
	if _, err := proc.Identify(third.Engine.PID); err == nil {
		t.Error("the engine was left running")
	}
	l.checkOrigins()
}

// checkOrigins holds that no line has two origins and no origin two lines.
func (l *lab) checkOrigins() {
	l.t.Helper()
	lines, origins := map[string]string{}, map[string]string{}
	err := l.log.each(func(origin, value string) {
		if o, seen := lines[value]; seen && o != origin {
			l.t.Errorf("a line has two origins: %s, %s", o, origin)
		}
		if v, seen := origins[origin]; seen && v != value {
			l.t.Errorf("origin %s stands for two lines", origin)
		}
		lines[value], origins[origin] = origin, value
	})
	if err != nil {
		l.t.Error(err)
	}
}

func TestTheEveFileIsRotatedAndWhatIsAcknowledgedRemoved(t *testing.T) {
	l := newLab(t)
	sensor := l.start(l.a, "sensor", "")
	l.awaitStatus("watching", watching)
	seen := map[string]bool{}
	for i := 0; len(seen) < 3 && i < 400; i++ {
		l.browse(fmt.Sprintf("page-%d-%s", i, strings.Repeat("x", 6000)))
		err := l.log.each(func(origin, _ string) {
			if f := strings.Split(origin, ":"); len(f) == 3 {
				seen[f[1]] = true
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(seen) < 3 {
		t.Fatalf("%d EVE files were used, want 3", len(seen))
	}
	sensor.Stop(30 * time.Second)
	left, err := filepath.Glob(filepath.Join(l.dir, "sensor", "eve", "eve.json*"))
	if err != nil || len(left) > 2 {
		t.Errorf("EVE files left: %v, %v", left, err)
	}
	l.checkOrigins()
}
