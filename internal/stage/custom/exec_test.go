package custom

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

func programOf(t *testing.T, scope obs.Scope) *program {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("the test program needs python3: install it")
	}
	p := newProgram(Config{Name: "mine", To: "out", Exec: &Exec{Command: []string{"python3", "testdata/program.py"}}}, scope)
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		goleak.VerifyNone(t, goleak.IgnoreTopFunction("testing.(*T).Run"), goleak.IgnoreTopFunction("testing.(*T).Parallel"))
	})
	return p
}

func TestAProgramEmitsAnyNumberOfDocuments(t *testing.T) {
	p := programOf(t, obs.Scope{})
	for value, want := range map[string]string{
		`"two"`:       `[out {"n":1} out {"n":2}]`,
		`{"a":1}`:     `[out {"was":{"a":1}}]`,
		"plain text":  `[out {"was":"plain text"}]`,
		"\xff\xfe":    `[out {"was":"bytes"}]`,
		`"release"`:   `[]`,
		`"line\nnl"`:  `[out {"was":"line\nnl"}]`,
		"line\nbreak": `[out {"was":"line\nbreak"}]`,
	} {
		if got := fmt.Sprint(outputs(t, p, value)); got != want {
			t.Errorf("%q: %s", value, got)
		}
	}
	made, err := client.Try(t.Context(), p, record(`"two"`))
	if err != nil || string(made[0].Key) != "k" || string(made[1].Key) != "other" {
		t.Errorf("keys of %v, %v", made, err)
	}
}

func TestAProgramsErrorsAreClassed(t *testing.T) {
	p := programOf(t, obs.Scope{})
	for value, want := range map[string]fault.Error{
		`"array"`:     {Class: fault.Permanent, Code: CodeAnswer},
		`"neither"`:   {Class: fault.Permanent, Code: CodeAnswer},
		`"throttled"`: {Class: fault.Throttled, Code: "busy", After: 2500 * time.Millisecond},
		`"odd code"`:  {Class: fault.Permanent, Code: CodeFailed},
	} {
		_, err := client.Try(t.Context(), p, record(value))
		if e := fault.Of(err); e.Class != want.Class || e.Code != want.Code || e.After != want.After {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestAProgramThatEndsIsStartedAgainWithBackoff(t *testing.T) {
	p := programOf(t, obs.Scope{})
	for _, value := range []string{`"crash"`, `"garbage"`} {
		_, err := client.Try(t.Context(), p, record(value))
		if e := fault.Of(err); e.Class != fault.Retry || e.Code != CodeProgram {
			t.Errorf("%s: %v", value, err)
		}
		began := time.Now()
		for p.Check(t.Context()) != nil { // not before its time
			if time.Since(began) > 20*time.Second {
				t.Fatal("the program does not come back")
			}
			<-time.After(5 * time.Millisecond)
		}
		if time.Since(began) < firstRestart/4 {
			t.Errorf("started again after %s", time.Since(began))
		}
		if got := fmt.Sprint(outputs(t, p, `"x"`)); got != `[out {"was":"x"}]` {
			t.Errorf("after %s: %s", value, got)
		}
	}
}

func TestAHangingProgramIsGivenUpByTheDeadlineAlone(t *testing.T) {
	p := programOf(t, obs.Scope{})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := client.Try(ctx, p, record(`"hang"`)); err == nil {
		t.Error("a record without an answer was handled")
	}
	if got := fmt.Sprint(outputs(t, p, `"x"`)); got != `[out {"was":"x"}]` {
		t.Errorf("the next record: %s", got)
	}
}

func TestAnswersMayComeInAnyOrder(t *testing.T) {
	p := programOf(t, obs.Scope{})
	if err := p.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	held := make(chan []string, 1)
	go func() { held <- outputs(t, p, `"hold"`) }()
	for { // until the first is held by the program, releasing does nothing for it
		outputs(t, p, `"release"`)
		select {
		case got := <-held:
			if fmt.Sprint(got) != `[out {"late":true}]` {
				t.Errorf("held: %s", got)
			}
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// lines is a writer that may be read while it is written to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestAProgramsStandardErrorIsLogged(t *testing.T) {
	var log lines
	p := programOf(t, obs.Scope{Log: slog.New(slog.NewTextHandler(&log, nil))})
	outputs(t, p, `"say"`)
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "hello from the program"); {
		if time.Now().After(deadline) {
			t.Fatalf("log has %q", log.String())
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestAMissingProgramIsAnOutage(t *testing.T) {
	p := newProgram(Config{Name: "mine", To: "out", Exec: &Exec{Command: []string{"no-such-program-anywhere"}}}, obs.Scope{})
	if err := p.Check(t.Context()); err == nil {
		t.Error("a program that is not there answers")
	}
	_, err := client.Try(t.Context(), p, record(`{}`))
	if e := fault.Of(err); e.Class != fault.Retry || e.Code != CodeProgram {
		t.Errorf("err = %v", err)
	}
}
