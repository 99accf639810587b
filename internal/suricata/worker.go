package suricata

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

// Worker is an engine that has its rules loaded and reads captures one after
// the other. It dies with the program.
type Worker struct {
	log    *slog.Logger
	proc   *proc.Process
	client *Client
	dir    string
	output *engineOutput

	mu   sync.Mutex // one capture at a time
	used bool       // nothing was read yet, or a capture since the last reset
}

const pidFile = "engine.pid"

// startLimit is how long an engine may take to load its rules. 36,000 take 18 s
// on one fast core.
const startLimit = 10 * time.Minute

// StartWorker starts a worker that lives in dir and returns when it can take
// captures. A worker an earlier run left in dir is ended first. Dir and Socket
// of the configuration are set here.
func StartWorker(ctx context.Context, b Binary, c Config, dir string, log *slog.Logger) (*Worker, error) {
	EndLeftover(dir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("starting a capture worker: %w", err)
	}
	socket, err := SocketPath(dir)
	if err != nil {
		return nil, fmt.Errorf("starting a capture worker: %w", err)
	}
	c.Dir, c.Socket, c.Interface, c.Major = dir, socket, "", b.Major
	path, err := writeConfig(c)
	if err != nil {
		return nil, fmt.Errorf("starting a capture worker: %w", err)
	}
	_ = os.Remove(socket)
	w := &Worker{log: log, dir: dir, used: true, output: newEngineOutput(log, "suricata_captures", slog.LevelInfo)} // who asked for a replay is told
	w.proc, err = proc.Start(proc.Command{
		Path: b.Path,
		Args: []string{"-c", path, "--unix-socket=" + socket, "-l", dir},
		Dir:  dir,
		Line: w.output.line,
	})
	if err != nil {
		return nil, fmt.Errorf("starting a capture worker: %w", err)
	}
	if err := proc.WriteRecord(filepath.Join(dir, pidFile), proc.Record{Identity: w.proc.ID()}); err != nil {
		w.proc.Kill()
		return nil, fmt.Errorf("starting a capture worker: %w", err)
	}
	w.client, err = awaitSocket(ctx, socket, w.proc)
	if err != nil {
		w.proc.Kill()
		return nil, fmt.Errorf("starting a capture worker: %w%s", err, w.output.because())
	}
	return w, nil
}

// EndLeftover ends the worker that an earlier run of the program left in dir,
// if any still runs.
func EndLeftover(dir string) {
	r, err := proc.ReadRecord(filepath.Join(dir, pidFile))
	if err != nil {
		return
	}
	if p, alive := proc.Adopt(r.Identity, "", nil); alive {
		p.Kill()
	}
	_ = os.Remove(filepath.Join(dir, pidFile))
}

func writeConfig(c Config) (string, error) {
	text, err := Generate(c)
	if err != nil {
		return "", err
	}
	path := filepath.Join(c.Dir, "suricata.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return "", fmt.Errorf("writing the engine's configuration: %w", err)
	}
	return path, nil
}

// awaitSocket returns a client once the engine answers.
func awaitSocket(ctx context.Context, socket string, p *proc.Process) (*Client, error) {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := Dial(ctx, socket); err == nil {
			return c, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limit.C:
			return nil, fmt.Errorf("suricata did not answer within %s", startLimit)
		case <-p.Done():
			return nil, fmt.Errorf("suricata ended while starting: %w", orEnded(p.Err()))
		case <-tick.C:
		}
	}
}

var errEnded = errors.New("it ended")

func orEnded(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// Alive says whether the worker still runs.
func (w *Worker) Alive() bool {
	select {
	case <-w.proc.Done():
		return false
	default:
		return true
	}
}

// Close ends the worker and returns when it has ended.
func (w *Worker) Close() {
	w.client.Close()
	w.proc.Kill() // it holds nothing that a capture does not still have
	_ = os.Remove(filepath.Join(w.dir, pidFile))
}

// CrashError says that the engine ended while it read a capture.
type CrashError struct{ Err error }

func (e *CrashError) Error() string {
	return "suricata ended while reading the capture: " + e.Err.Error()
}

// Unwrap returns how it ended.
func (e *CrashError) Unwrap() error { return e.Err }

// Read has the engine read one capture and write its EVE file, eve.json, to
// the folder out, which must exist. It returns what the engine complained of,
// one sentence each, when it is done; the EVE file's statistics say how much
// of the capture it read. A *CrashError means that the worker is gone;
// cancelling ctx ends the worker too, since a capture cannot be taken back.
func (w *Worker) Read(ctx context.Context, capture, out string) (complaints []string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used {
		err = w.reset(ctx)
	}
	if err == nil {
		w.output.takeErrors()
		w.used = true
		err = w.read(ctx, capture, out)
	}
	if err == nil {
		return w.output.takeErrors(), nil
	}
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return nil, refused
	}
	if ctx.Err() != nil {
		w.Close()
		return nil, ctx.Err()
	}
	// A broken connection is how a crash shows first.
	select {
	case <-w.proc.Done():
		return nil, &CrashError{Err: w.output.blamed(orEnded(w.proc.Err()))}
	case <-time.After(5 * time.Second):
		w.Close()
		return nil, &CrashError{Err: err}
	}
}

// reset has the engine read a capture of one packet from the first second of
// 1970. Without that its flow manager, which runs beside the packets, begins
// the next capture with the time the last one ended at. Where that is later, it
// may time out flows in the middle: of 45 captures of different years in random
// order, one to five then had other events, and not the same each time.
//
// The first capture of an engine has one before it too: an engine that has never
// seen a packet hangs for a minute and ends when it cannot open what it is given.
func (w *Worker) reset(ctx context.Context) error {
	out := filepath.Join(w.dir, "reset")
	if err := os.MkdirAll(out, 0o700); err != nil {
		return fmt.Errorf("resetting a capture worker: %w", err)
	}
	capture := filepath.Join(out, "reset.pcap")
	if err := os.WriteFile(capture, resetCapture(), 0o600); err != nil {
		return fmt.Errorf("resetting a capture worker: %w", err)
	}
	err := w.read(ctx, capture, out)
	_ = os.Remove(filepath.Join(out, "eve.json"))
	w.used = err != nil
	return err
}

// resetCapture is a pcap file with an empty ARP frame, which makes no flow.
func resetCapture() []byte {
	frame := make([]byte, 60)
	copy(frame, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x08, 0x06})
	header := []uint32{0xa1b2c3d4, 4<<16 | 2, 0, 0, 65535, 1, 1, 0, uint32(len(frame)), uint32(len(frame))}
	var b []byte
	for _, word := range header {
		b = binary.LittleEndian.AppendUint32(b, word)
	}
	return append(b, frame...)
}

func (w *Worker) read(ctx context.Context, capture, out string) error {
	_, err := w.client.Do(ctx, "pcap-file", map[string]any{"filename": capture, "output-dir": out})
	if err != nil {
		return err
	}
	wait := time.Millisecond
	for {
		idle, err := w.idle(ctx)
		if err != nil || idle {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-w.proc.Done():
			return orEnded(w.proc.Err())
		case <-time.After(wait):
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

func (w *Worker) idle(ctx context.Context) (bool, error) {
	current, err := w.client.Do(ctx, "pcap-current", nil)
	if err != nil {
		return false, err
	}
	if text(current) != "None" {
		return false, nil
	}
	queued, err := w.client.Do(ctx, "pcap-file-number", nil)
	return string(queued) == "0", err
}

// RuleStats is how many rules an engine loaded, and how many it could not.
type RuleStats struct {
	Loaded  int `json:"rules_loaded"`
	Failed  int `json:"rules_failed"`
	Skipped int `json:"rules_skipped"`
}

// RuleStats asks the engine what became of its rules.
func (w *Worker) RuleStats(ctx context.Context) (RuleStats, error) { return ruleStats(ctx, w.client) }

func ruleStats(ctx context.Context, c *Client) (RuleStats, error) {
	answer, err := c.Do(ctx, "ruleset-stats", nil)
	if err != nil {
		return RuleStats{}, err
	}
	return readRuleStats(answer)
}

func readRuleStats(answer json.RawMessage) (RuleStats, error) {
	var tenants []RuleStats
	if err := json.Unmarshal(answer, &tenants); err != nil || len(tenants) == 0 {
		return RuleStats{}, fmt.Errorf("reading ruleset-stats: unexpected answer %.200s", answer)
	}
	return tenants[0], nil
}
