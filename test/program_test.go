package test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hang is how long anything may take before a test calls it a hang.
const hang = 5 * time.Minute

// buildOnce builds the program when DECODER_BIN names none.
var buildOnce = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("DECODER_BIN"); bin != "" {
		return bin, nil
	}
	dir, err := os.MkdirTemp("", "decoder-bin-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "decoder")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/decoder").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return bin, nil
})

func program(t *testing.T) string {
	t.Helper()
	bin, err := buildOnce()
	if err != nil {
		t.Fatalf("building the program: %v", err)
	}
	return bin
}

// need skips the test when a program it runs is not installed.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("SKIPPED: needs %s: run scripts/install run build test", name)
		}
	}
}

// corpora returns the folder of real captures, rules and mail.
func corpora(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DECODER_CORPORA")
	if dir == "" {
		t.Skip("SKIPPED: needs the corpora: set DECODER_CORPORA to the folder they are unpacked in")
	}
	return dir
}

// result is how a command ended.
type result struct {
	code        int
	out, stderr string
}

// decoder runs a command of the program to its end.
func decoder(t *testing.T, data string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), hang)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), append(args, "--data", data)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatalf("running decoder %s: %v", strings.Join(args, " "), err)
	}
	if ctx.Err() != nil {
		t.Fatalf("decoder %s hangs; it wrote:\n%s", strings.Join(args, " "), &stderr)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// must runs a command that has to succeed and returns what it printed.
func must(t *testing.T, data string, args ...string) string {
	t.Helper()
	r := decoder(t, data, args...)
	if r.code != 0 {
		t.Fatalf("decoder %s: exit code %d\n%s%s", strings.Join(args, " "), r.code, r.out, r.stderr)
	}
	return r.out
}

// lines decodes one JSON object a line.
func lines[T any](t *testing.T, text string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(text) {
		var v T
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			t.Fatalf("%v in line %s", err, line)
		}
		all = append(all, v)
	}
	return all
}

// instance is a running decoder up.
type instance struct {
	data   string
	cmd    *exec.Cmd
	screen chan string // closed when the start screen is whole
	done   chan error
	mu     sync.Mutex
	log    bytes.Buffer
}

// up starts an instance on free ports that watches no interface unless told
// to, and waits until it has started.
func up(t *testing.T, data string, args ...string) *instance {
	t.Helper()
	i := start(t, data, args...)
	i.awaitScreen(t)
	return i
}

// awaitScreen returns when the instance has printed its start screen.
func (i *instance) awaitScreen(t *testing.T) {
	t.Helper()
	select {
	case <-i.screen:
	case err := <-i.done:
		t.Fatalf("decoder up ended: %v\n%s", err, i.written())
	case <-time.After(hang):
		t.Fatalf("decoder up does not start:\n%s", i.written())
	}
}

// start is up without waiting.
func start(t *testing.T, data string, args ...string) *instance {
	t.Helper()
	return launch(t, data, append([]string{program(t)}, upArgs(data, args)...))
}

// upIn is up within a network namespace.
func upIn(t *testing.T, ns, data string, args ...string) *instance {
	t.Helper()
	i := launch(t, data, append([]string{"ip", "netns", "exec", ns, program(t)}, upArgs(data, args)...))
	i.awaitScreen(t)
	return i
}

func upArgs(data string, args []string) []string {
	return append([]string{"up", "--data", data, "--listen", "http://127.0.0.1:0", "--kafka", "tcp://127.0.0.1:0"}, args...)
}

func launch(t *testing.T, data string, command []string) *instance {
	t.Helper()
	i := &instance{data: data, cmd: exec.Command(command[0], command[1:]...), screen: make(chan string), done: make(chan error, 1)}
	out, err := i.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	i.cmd.Stderr = i
	if err := i.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		started := false
		for sc := bufio.NewScanner(out); sc.Scan(); {
			_, _ = i.Write(append(sc.Bytes(), '\n'))
			if strings.Contains(sc.Text(), "  log ") && !started {
				started = true
				close(i.screen)
			}
		}
		i.done <- i.cmd.Wait()
	}()
	t.Cleanup(func() {
		i.kill()
		if t.Failed() {
			t.Logf("the instance wrote:\n%s", i.written())
		}
	})
	return i
}

// Write keeps what the instance writes.
func (i *instance) Write(b []byte) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.Write(b)
}

func (i *instance) written() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.log.String()
}

// kill ends the instance at once, as a power failure of the program would.
func (i *instance) kill() {
	_ = i.cmd.Process.Kill()
	select {
	case err := <-i.done:
		i.done <- err
	case <-time.After(hang):
	}
}

// terminate asks the instance to end in order and waits for it.
func (i *instance) terminate(t *testing.T) {
	t.Helper()
	if err := i.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-i.done:
		i.done <- err
		if err != nil {
			t.Fatalf("SIGTERM ends the instance with %v\n%s", err, i.written())
		}
	case <-time.After(hang):
		t.Fatalf("SIGTERM does not end the instance\n%s", i.written())
	}
}

// await calls check until it returns true.
func await(t *testing.T, what string, check func() bool) {
	t.Helper()
	deadline := time.After(hang)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %s for %s", hang, what)
		}
	}
}
