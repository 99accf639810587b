// Package examples_test runs the examples against the embedded log.
package examples_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/stage/custom"
)

const patience = 60 * time.Second

func python(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("the examples need python3: install it")
	}
	return path
}

// withKafka returns a Python that has kafka-python, in an environment of its
// own that is kept for the next time.
func withKafka(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	dir := filepath.Join(cache, "decoder-test", "examples-python")
	own := filepath.Join(dir, "bin", "python3")
	if exec.Command(own, "-c", "import kafka, snappy").Run() == nil {
		return own
	}
	for _, command := range [][]string{
		{python(t), "-m", "venv", dir},
		{own, "-m", "pip", "install", "--quiet", "-r", "../../examples/python-log/requirements.txt"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Skipf("the example needs kafka-python and python-snappy (and python3-venv to install it): %v\n%s", err, out)
		}
	}
	return own
}

func appendAll(t *testing.T, b *bus.Bus, topic string, values ...string) {
	t.Helper()
	for _, v := range values {
		if err := b.Append(t.Context(), &bus.Record{Topic: topic, Key: []byte("k"), Value: []byte(v),
			Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte("test:examples:" + v)}}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheExecExampleIsAStage(t *testing.T) {
	b := bustest.Open(t)
	spec, err := custom.Config{
		Name: "measure", From: []string{bus.TopicEvents}, To: "events_measured",
		Exec: &custom.Exec{Command: []string{python(t), "../../examples/python-exec/stage.py"}},
	}.Spec("test", obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	rt := client.NewRuntime(b, obs.Scope{})
	c, err := rt.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := c.Run(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	appendAll(t, b, bus.TopicEvents, `{"dns":{"question":{"name":"example.org"}}}`, `{"other":1}`, `{"dns":{"question":{"name":7}}}`, `no json`)
	bustest.Follow(t, b, "dead_measure", patience, func() func(*bus.Record) bool {
		n := 0
		return func(r *bus.Record) bool {
			if l := dead.Read(r); l.Code != "rejected" {
				t.Errorf("dead letter %+v", l)
			}
			n++
			return n < 2
		}
	}())
	bustest.Follow(t, b, "events_measured", patience, func(r *bus.Record) bool {
		var e struct {
			DNS struct {
				Question struct {
					Length int `json:"name_length"`
				}
			}
		}
		if err := json.Unmarshal(r.Value, &e); err != nil || e.DNS.Question.Length != len("example.org") {
			t.Errorf("measured %s, %v", r.Value, err)
		}
		return false
	})
}

func TestTheLogExampleKeepsTheContract(t *testing.T) {
	interpreter := withKafka(t)
	b := bustest.OpenConfig(t, bus.Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Open: true})
	for _, topic := range []bus.Topic{bus.DeadTopic("shout"), {Name: "shouted", Partitions: 1, MaxMessage: 1 << 20}} {
		if err := b.Ensure(t.Context(), topic); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(interpreter, "../../examples/python-log/client.py")
	cmd.Env = append(os.Environ(), "BROKERS="+b.Address())
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })

	good := `{"message":"hello"}`
	appendAll(t, b, bus.TopicJSON, good, `{"message":1}`)
	bustest.Follow(t, b, "shouted", patience, func(r *bus.Record) bool {
		if got, want := bus.Value(r, event.HeaderID), event.ID("test:examples:"+good, "shout", 0); got != want {
			t.Errorf("id %s, want %s", got, want)
		}
		return false
	})
	bustest.Follow(t, b, "dead_shout", patience, func(*bus.Record) bool { return false })

	letters := dead.New(b)
	open, err := letters.List(t.Context(), dead.Filter{Client: "shout"}, 10, nil)
	if err != nil || len(open) != 1 || open[0].Code != "rejected" || open[0].Record.Topic != bus.TopicJSON {
		t.Fatalf("letters %+v, %v", open, err)
	}
	if err := letters.Resend(t.Context(), "tester", "", dead.Edited(open[0].Letter, []byte(`{"message":"mended"}`))); err != nil {
		t.Fatal(err)
	}
	n := 0
	bustest.Follow(t, b, "shouted", patience, func(r *bus.Record) bool {
		n++
		return n < 2
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the example ended with %v", err)
	}
	at, err := b.Committed(t.Context(), "decoder-shout")
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for p, offset := range at {
		if p.Topic == bus.TopicJSON {
			sum += offset
		}
	}
	if sum != 2 {
		t.Errorf("%d records committed", sum)
	}
}
