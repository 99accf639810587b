package app

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

// supervise runs a shell script as the worker. The script finds the number
// of its run in $run, and what it writes to $seen is returned.
func supervise(ctx context.Context, t *testing.T, script string) (code int, out, stderr string) {
	t.Helper()
	dir := t.TempDir()
	worker := filepath.Join(dir, "worker")
	text := "#!/bin/sh\ncd " + dir + "\nrun=$(ls run.* 2>/dev/null | wc -l); touch run.$run\n" + script
	if err := os.WriteFile(worker, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	var outBuf, errBuf bytes.Buffer
	s := &supervisor{
		command: proc.Command{Path: worker}, out: &outBuf, err: &errBuf, log: slog.New(slog.DiscardHandler),
		now: time.Now, backoff: func(int) time.Duration { return time.Millisecond },
	}
	code, err := s.run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return code, outBuf.String(), errBuf.String()
}

func TestWorkerThatCrashesIsStartedAgain(t *testing.T) {
	code, _, stderr := supervise(t.Context(), t, `
echo "run $run as $DECODER_WORKER" >&2
case $run in
0) kill -9 $$ ;;
1) exit 2 ;;
2) exit 21 ;;
*) exit 20 ;;
esac`)
	if code != 0 || strings.Count(stderr, "as 1\n") != 4 {
		t.Errorf("code %d, want 0 after four runs:\n%s", code, stderr)
	}
}

func TestStartThatCannotSucceedIsNotTriedAgain(t *testing.T) {
	code, _, stderr := supervise(t.Context(), t, `echo "run $run" >&2; exit 12`)
	if code != 2 || stderr != "run 0\n" {
		t.Errorf("code %d, want 2 after one run:\n%s", code, stderr)
	}
}

func TestRestartThatFindsTheFolderInUseIsTriedAgain(t *testing.T) {
	code, _, stderr := supervise(t.Context(), t, `
echo "run $run" >&2
case $run in
0) exit 2 ;;
1|2) exit 11 ;;
*) exit 20 ;;
esac`)
	if code != 0 || strings.Count(stderr, "run ") != 4 {
		t.Errorf("code %d, want 0 after four runs:\n%s", code, stderr)
	}
}

func TestStoreThatEndsTheWorkerIsLeftOut(t *testing.T) {
	code, _, stderr := supervise(t.Context(), t, `
echo "mode $DECODER_WORKER" >&2
[ "$DECODER_WORKER" = without-store ] && exit 20
echo "panic: damaged" >&2
echo "github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage.mustOpen(...)" >&2
exit 2`)
	if code != 0 || strings.Count(stderr, "mode 1\n") != storeDeaths || strings.Count(stderr, "mode without-store\n") != 1 {
		t.Errorf("code %d, want 0 with %d runs with the store and one without:\n%s", code, storeDeaths, stderr)
	}
}

func TestStoreIsNotLeftOutForAFullDisk(t *testing.T) {
	code, _, stderr := supervise(t.Context(), t, `
echo "mode $DECODER_WORKER" >&2
[ $run -gt 5 ] && exit 20
echo "panic: FATAL: cannot write 7202 bytes: no space left on device" >&2
echo "github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage.(*writerWithStats).MustWrite(...)" >&2
exit 2`)
	if code != 0 || strings.Contains(stderr, WithoutStore) {
		t.Errorf("code %d:\n%s", code, stderr)
	}
}

func TestOutputOfTheWorkerGoesWhereItWouldWriteIt(t *testing.T) {
	_, out, stderr := supervise(t.Context(), t, "printf '\\036the screen\\n'; echo a log line >&2; exit 20")
	if out != "the screen\n" || stderr != "a log line\n" {
		t.Errorf("out %q, err %q", out, stderr)
	}
}

func TestWorkerIsAskedToStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	started := filepath.Join(dir, "started")
	go func() {
		defer cancel()
		for range 10_000 {
			if _, err := os.Stat(started); err == nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	code, _, stderr := supervise(ctx, t, `
trap 'echo stopping in order >&2; exit 20' TERM
touch `+started+`
while :; do sleep 0.01; done`)
	if code != 0 || stderr != "stopping in order\n" {
		t.Errorf("code %d, %q", code, stderr)
	}
}
