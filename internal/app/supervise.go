package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

// WorkerEnv is set in the environment of a worker: "1", or "without-store".
const WorkerEnv = "DECODER_WORKER"

// WithoutStore is the value of WorkerEnv for a worker without the store.
const WithoutStore = "without-store"

// A worker ends with its exit code plus one of these, so that its supervisor
// can tell an end in order from a crash (a panic of Go exits with 2), and a
// start that cannot succeed from a failure worth another try.
const (
	startFailed = 10 // before it was ready: trying again would end the same
	runFailed   = 20 // after it was ready
)

// WorkerExit is the status a worker ends with.
func WorkerExit(code int, wasReady bool) int {
	if wasReady {
		return runFailed + code
	}
	return startFailed + code
}

// When the store ends the worker so often within the window, the next worker
// starts without it.
const (
	storeDeaths      = 3
	storeDeathWindow = 5 * time.Minute
)

// workerStop is how long a worker may take to stop in order.
const workerStop = 2 * time.Minute

// supervisor runs the program again as a worker, and again when it dies.
type supervisor struct {
	command  proc.Command
	out, err io.Writer
	log      *slog.Logger
	now      func() time.Time
	backoff  func(failures int) time.Duration

	deaths  []time.Time // by the store, within the window
	noStore bool
}

// Supervise runs path with args as a worker until ctx ends or the worker ends
// in order, and returns its exit code. The worker's output is passed on.
func Supervise(ctx context.Context, path string, args []string, out, stderr io.Writer, log *slog.Logger) (int, error) {
	s := &supervisor{
		command: proc.Command{Path: path, Args: args}, out: out, err: stderr, log: log,
		now: time.Now, backoff: restartDelay,
	}
	return s.run(ctx)
}

// restartDelay grows from a second to a minute.
func restartDelay(failures int) time.Duration {
	return min(time.Second<<min(failures, 6), time.Minute)
}

func (s *supervisor) run(ctx context.Context) (int, error) {
	again := false // a worker has died, and this is a later one
	for failures := 0; ; failures++ {
		began := s.now()
		status, byStore, err := s.once(ctx)
		if err != nil {
			return 1, err
		}
		if code, over := s.over(ctx, status, again); over {
			return code, nil
		}
		if s.now().Sub(began) > storeDeathWindow {
			failures = 0
		}
		again = true
		if byStore {
			s.countStoreDeath()
		}
		delay := s.backoff(failures)
		s.log.Error("worker died and is started again", "exit_status", status, "by_store", byStore, "without_store", s.noStore, "delay", delay)
		select {
		case <-ctx.Done():
			return 0, nil
		case <-time.After(delay):
		}
	}
}

// over reports whether the worker's end is the program's, and its exit code.
// A worker that is started again and cannot is not given up: a command that
// found no instance meanwhile may have the data folder, or the disk is full.
func (s *supervisor) over(ctx context.Context, status int, again bool) (int, bool) {
	switch {
	case status >= startFailed && status < runFailed && (!again || ctx.Err() != nil):
		return status - startFailed, true
	case status == runFailed, ctx.Err() != nil:
		return max(status-runFailed, 0), true
	}
	return 0, false
}

func (s *supervisor) countStoreDeath() {
	now := s.now()
	kept := s.deaths[:0]
	for _, t := range append(s.deaths, now) {
		if now.Sub(t) < storeDeathWindow {
			kept = append(kept, t)
		}
	}
	s.deaths = kept
	s.noStore = s.noStore || len(s.deaths) >= storeDeaths
}

// once runs one worker to its end. The status of one that a signal ended is
// negative.
func (s *supervisor) once(ctx context.Context) (status int, byStore bool, err error) {
	mode := "1"
	if s.noStore {
		mode = WithoutStore
	}
	c := s.command
	c.Env = append(c.Env, WorkerEnv+"="+mode)
	var mu sync.Mutex
	noRoom := false // that is the disk's fault: without the store nothing would be better
	c.Line = func(line string) {
		mu.Lock()
		defer mu.Unlock()
		byStore = byStore || strings.Contains(line, "/lib/logstorage") || strings.Contains(line, "/internal/store/vlogs")
		noRoom = noRoom || strings.Contains(line, "no space left on device")
		s.pass(line)
	}
	p, err := proc.Start(c)
	if err != nil {
		return 0, false, fmt.Errorf("starting the worker: %w", err)
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Stop(workerStop)
	}
	mu.Lock()
	defer mu.Unlock()
	if exit, ok := errors.AsType[*proc.ExitError](p.Err()); ok {
		status = exit.Status
		if exit.Signal != 0 {
			status = -int(exit.Signal)
		}
	} else if p.Err() != nil {
		return 0, false, fmt.Errorf("running the worker: %w", p.Err())
	}
	return status, byStore && !noRoom, nil
}

// screenPrefix marks the lines of a worker that are for standard output.
const screenPrefix = "\x1e"

// pass gives a line of the worker to where it would have written it.
func (s *supervisor) pass(line string) {
	if text, screen := strings.CutPrefix(line, screenPrefix); screen {
		fmt.Fprintln(s.out, text)
		return
	}
	fmt.Fprintln(s.err, line)
}

// Screen is where a worker writes what is for standard output.
type Screen struct{ w io.Writer }

// NewScreen returns a Screen over the worker's own output.
func NewScreen(w io.Writer) Screen { return Screen{w} }

// Write marks each line of text, which ends with a newline.
func (s Screen) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		if _, err := io.WriteString(s.w, screenPrefix+line); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}
