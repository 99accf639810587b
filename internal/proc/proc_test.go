package proc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const roleVariable = "DECODER_TEST_PROC_ROLE"

// TestMain lets the test binary be a program that has children and is killed.
func TestMain(m *testing.M) {
	dir := os.Getenv("DECODER_TEST_DIR")
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "parent":
		attached, err := Start(Command{Path: "sleep", Args: []string{"300"}})
		if err != nil {
			os.Exit(1)
		}
		detached, err := Start(Command{Path: "sh", Args: []string{"-c", "echo hello; exec sleep 300"}, Detached: true, Output: filepath.Join(dir, "out")})
		if err != nil {
			os.Exit(1)
		}
		_ = WriteRecord(filepath.Join(dir, "detached"), Record{Identity: detached.ID(), Config: "c"})
		_ = WriteRecord(filepath.Join(dir, "attached"), Record{Identity: attached.ID()})
		select {}
	}
}

// lines collects what a child writes.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); <-time.After(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatal(what)
}

func TestAnAttachedChildDiesWithTheProgramAndADetachedOneIsAdopted(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parent, err := Start(Command{Path: self, Env: []string{roleVariable + "=parent", "DECODER_TEST_DIR=" + dir}})
	if err != nil {
		t.Fatal(err)
	}
	var attached, detached Record
	eventually(t, "the children did not start", func() bool {
		var e1, e2 error
		attached, e1 = ReadRecord(filepath.Join(dir, "attached"))
		detached, e2 = ReadRecord(filepath.Join(dir, "detached"))
		return e1 == nil && e2 == nil
	})
	parent.Kill()
	eventually(t, "the attached child outlived the program", func() bool { return !attached.Alive() })
	if !detached.Alive() || detached.Config != "c" {
		t.Fatalf("the detached child is gone: %+v", detached)
	}
	p, ok := Adopt(detached.Identity, filepath.Join(dir, "out"), nil)
	if !ok {
		t.Fatal("the detached child was not adopted")
	}
	p.Stop(5 * time.Second)
	if detached.Alive() {
		t.Error("the adopted child was not ended")
	}
	if _, ok := Adopt(detached.Identity, filepath.Join(dir, "out"), nil); ok {
		t.Error("an ended process was adopted")
	}
}

func TestAProcessOfTheSamePidIsNotTakenForAnother(t *testing.T) {
	me, err := Identify(os.Getpid())
	if err != nil || !me.Alive() {
		t.Fatalf("identify myself: %+v, %v", me, err)
	}
	for _, other := range []Identity{
		{PID: me.PID, Started: me.Started + 1, Boot: me.Boot},
		{PID: me.PID, Started: me.Started, Boot: "another boot"},
		{PID: 0, Started: me.Started, Boot: me.Boot},
		{PID: 1}, {},
	} {
		if other.Alive() {
			t.Errorf("%+v was taken for a living process", other)
		}
	}
}

func TestHowAChildEndsIsTold(t *testing.T) {
	for _, tt := range []struct{ script, want string }{
		{"exit 0", "<nil>"},
		{"exit 3", "exit status 3"},
		{"kill -SEGV $$", "ended by signal 11 (segmentation fault)"},
	} {
		for _, detached := range []bool{false, true} {
			p, err := Start(Command{Path: "sh", Args: []string{"-c", tt.script}, Detached: detached, Output: filepath.Join(t.TempDir(), "out")})
			if err != nil {
				t.Fatal(err)
			}
			<-p.Done()
			if got := fmt.Sprint(p.Err()); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.script, got, tt.want)
			}
			if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("an ended process was signalled: %v", err)
			}
		}
	}
}

func TestEveryLineIsReadBeforeDone(t *testing.T) {
	for _, detached := range []bool{false, true} {
		var got lines
		p, err := Start(Command{
			Path: "sh", Args: []string{"-c", "for i in 1 2 3; do echo line $i; done; echo last >&2; printf torn"},
			Line: got.add, Detached: detached, Output: filepath.Join(t.TempDir(), "out"),
		})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if want := []string{"line 1", "line 2", "line 3", "last", "torn"}; !slices.Equal(got.get(), want) {
			t.Errorf("detached %v: %q", detached, got.get())
		}
	}
}

func TestTheOutputOfADetachedChildIsBounded(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	var got lines
	p, err := Start(Command{
		Path: "sh", Args: []string{"-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; sleep 0.3; echo end; sleep 300"},
		Line: got.add, Detached: true, Output: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill()
	eventually(t, "what came after the cut was not read", func() bool { return slices.Contains(got.get(), "end") })
	if info, err := os.Stat(out); err != nil || info.Size() > maxOutput {
		t.Errorf("output: %v, %v", info.Size(), err)
	}
}

func TestStopEndsEvenWhatIgnoresSIGTERM(t *testing.T) {
	var got lines
	p, err := Start(Command{Path: "sh", Args: []string{"-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done"}, Line: got.add})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "no output", func() bool { return len(got.get()) > 0 })
	p.Stop(50 * time.Millisecond)
	if p.ID().Alive() {
		t.Error("the child still runs")
	}
	p.Stop(time.Second) // again does no harm
}

func TestRunGivesOutputAndReason(t *testing.T) {
	out, err := Run(t.Context(), Command{Path: "sh", Args: []string{"-c", "echo a; echo b >&2; exit 2"}})
	if out != "a\nb\n" || err == nil || !strings.Contains(err.Error(), "exit status 2: a; b") {
		t.Errorf("Run: %q, %v", out, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, Command{Path: "sleep", Args: []string{"300"}}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run over its time: %v", err)
	}
	if _, err := Run(t.Context(), Command{Path: "no-such-program-" + strconv.Itoa(os.Getpid())}); err == nil {
		t.Error("a missing program ran")
	}
}

func TestATornRecordIsNone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pid")
	for _, text := range []string{"", "{", `{"pid":"x"}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadRecord(path); !errors.Is(err, ErrNoRecord) {
			t.Errorf("%q: %v", text, err)
		}
	}
}
