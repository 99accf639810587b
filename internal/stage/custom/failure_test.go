package custom

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
)

// bench runs a stage in the runtime.
type bench struct {
	t   *testing.T
	log *bus.Bus
	rt  *client.Runtime
	n   int // records sent
}

func running(t *testing.T, c Config) *bench {
	t.Helper()
	c.Name, c.From, c.To, c.Attempts = "mine", []string{bus.TopicJSON}, "out", 2
	b := &bench{t: t, log: bustest.Open(t)}
	b.rt = client.NewRuntime(b.log, obs.Scope{})
	spec, err := c.Spec("test", obs.Scope{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	spec.Backoff = 10 * time.Millisecond
	stage, err := b.rt.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stage.Run(t.Context()) }()
	t.Cleanup(func() { // the test's context has ended
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return b
}

func (b *bench) send(values ...string) {
	b.t.Helper()
	var records []*bus.Record
	for _, v := range values {
		b.n++
		records = append(records, &bus.Record{Topic: bus.TopicJSON, Key: []byte("k"), Value: []byte(v),
			Headers: []bus.Header{{Key: event.HeaderOrigin, Value: fmt.Append(nil, "test:x:", b.n)}}})
	}
	if err := b.log.Append(b.t.Context(), records...); err != nil {
		b.t.Fatal(err)
	}
}

// awaits waits until the client does that.
func (b *bench) awaits(kind client.Kind) {
	b.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); b.rt.Client("mine").Status().Kind != kind; {
		if time.Now().After(deadline) {
			b.t.Fatalf("never %s: %+v", kind, b.rt.Status())
		}
		<-time.After(10 * time.Millisecond)
	}
}

// done waits until all is handled, and wants so many outputs and those dead.
func (b *bench) done(outputs int, letters ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 60*time.Second)
	defer cancel()
	if err := b.rt.Drain(ctx, "mine"); err != nil {
		b.t.Fatalf("%v: %+v", err, b.rt.Status())
	}
	ids := map[string]bool{}
	for _, r := range bustest.All(b.t, b.log, "out") {
		ids[bus.Value(r, event.HeaderID)] = true
	}
	if len(ids) != outputs {
		b.t.Errorf("%d outputs, want %d", len(ids), outputs)
	}
	var got []string
	for _, r := range bustest.All(b.t, b.log, "dead_mine") {
		got = append(got, dead.Read(r).Code+" "+string(r.Value))
	}
	if strings.Join(got, ",") != strings.Join(letters, ",") {
		b.t.Errorf("dead letters %q, want %q", got, letters)
	}
}

func several(value string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = value
	}
	return all
}

// TestAServiceThatIsAwayMakesNoDeadLetters has a service fail in every way in
// which none can be blamed on a record.
func TestAServiceThatIsAwayMakesNoDeadLetters(t *testing.T) {
	for name, fail := range map[string]http.HandlerFunc{
		"server error": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"credentials":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"silence": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // a server hears that the client has left once it has read all
			<-r.Context().Done()
		},
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte("{")) // the client finds out
		},
	} {
		for _, before := range []int{0, 5} { // records that it has answered
			t.Run(fmt.Sprint(name, " after ", before), func(t *testing.T) {
				var away atomic.Bool
				service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if away.Load() {
						fail(w, r)
						return
					}
					_, _ = w.Write([]byte(`{"ok":true}`)) // the client finds out
				}))
				t.Cleanup(service.Close)
				b := running(t, Config{HTTP: &HTTP{URL: service.URL, Merge: "answer"}, Timeout: config.Duration(200 * time.Millisecond)})
				b.send(several(`{}`, before)...)
				b.done(before)
				away.Store(true)
				b.send(several(`{}`, 20)...)
				b.awaits(client.PhaseOutage)
				away.Store(false)
				b.done(before + 20)
			})
		}
	}
}

func TestARecordThatTheServiceCannotAnswerIsDeadAndNoOther(t *testing.T) {
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 10 {
			w.WriteHeader(http.StatusInternalServerError)
		}
		_, _ = w.Write([]byte(`{"ok":true}`)) // the client finds out
	}))
	t.Cleanup(service.Close)
	b := running(t, Config{HTTP: &HTTP{URL: service.URL, Merge: "answer"}, Timeout: config.Duration(time.Second)})
	b.send(`{}`, `{"long":"enough"}`, `{}`)
	b.done(2, `http_500 {"long":"enough"}`)
}

// runningProgram runs the test program in the runtime.
func runningProgram(t *testing.T, concurrency int) *bench {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("the test program needs python3: install it")
	}
	return running(t, Config{Exec: &Exec{Command: []string{"python3", "testdata/program.py"}}, Concurrency: concurrency, Timeout: config.Duration(500 * time.Millisecond)})
}

func TestAProgramThatEndsAmidRecordsLosesNone(t *testing.T) {
	for _, concurrency := range []int{0, 8} {
		t.Run(fmt.Sprint("concurrency ", concurrency), func(t *testing.T) {
			b := runningProgram(t, concurrency)
			var values []string
			for i := range 40 {
				values = append(values, "plain")
				if i%10 == 5 {
					values = append(values, "once "+filepath.Join(t.TempDir(), strconv.Itoa(i)))
				}
			}
			b.send(values...)
			b.done(len(values))
		})
	}
}

func TestARecordThatStopsTheProgramIsDeadAndNoOther(t *testing.T) {
	b := runningProgram(t, 0)
	b.send("first", "stop", "last")
	b.done(2, "timeout stop")
}

func TestAProgramThatStopsForAllIsAnOutage(t *testing.T) {
	b := runningProgram(t, 0)
	b.send("one")
	b.done(1)
	file := filepath.Join(t.TempDir(), "down")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// The program stops at each of these, and answers those before.
	b.send(several("down "+file, 3)...)
	time.AfterFunc(2*time.Second, func() { _ = os.Remove(file) }) // the test finds out
	b.done(1)
}

func TestAProgramThatFloodsItsStandardErrorIsHeardInPart(t *testing.T) {
	var log lines
	p := programOf(t, obs.Scope{Log: slog.New(slog.NewTextHandler(&log, nil))})
	outputs(t, p, `"flood"`)
	outputs(t, p, `"x"`)
	if n := strings.Count(log.String(), "program says\""); n == 0 || n > 50*linesLogged {
		t.Errorf("%d lines of 200,000 are logged", n)
	}
}
