package test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail/mailtest"
)

// What a hostile message may take of the whole program, which holds the
// message, too.
const (
	hostileTime   = 5 * time.Second
	hostileMemory = 200 << 20
)

// TestHostileMailIsJudgedWithinItsLimits has the program judge each hostile
// message in a process of its own, and asks the system what that took.
func TestHostileMailIsJudgedWithinItsLimits(t *testing.T) {
	for _, b := range mailtest.Bombs() {
		t.Run(b.Name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bomb.eml")
			if err := os.WriteFile(path, b.Raw(), 0o600); err != nil {
				t.Fatal(err)
			}
			forgetPeak(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, program(t), "mail", "check", "--json", "--data", t.TempDir(), path)
			var out, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, &stderr)
			}
			var r struct {
				Defects []string
				Verdict struct{ Result string }
			}
			if err := json.Unmarshal(out.Bytes(), &r); err != nil {
				t.Fatalf("%v in %.200s", err, &out)
			}
			// Time of the processor, since what else the machine does is not the message's.
			took := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
			memory := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
			if took > hostileTime || memory > hostileMemory {
				t.Errorf("took %v and %d MB", took, memory>>20)
			}
			t.Logf("%v, %d MB, %s %v", took.Round(time.Millisecond), memory>>20, r.Verdict.Result, r.Defects)
			if r.Verdict.Result == "" || b.Defect != "" && !slices.Contains(r.Defects, b.Defect) {
				t.Errorf("verdict %q, defects %v, want %s", r.Verdict.Result, r.Defects, b.Defect)
			}
		})
	}
}

// forgetPeak makes the system forget how much memory this process once had: a
// child's peak begins with its parent's (proc(5), clear_refs).
func forgetPeak(t *testing.T) {
	t.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		t.Fatal(err)
	}
}
