package suricata

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/proc"
)

// LiveOptions say what a Live watches and where it works.
type LiveOptions struct {
	Dir    string // the engine's folder: configuration, socket, pid file, messages
	Eve    string // folder the engine writes eve.json to; Dir/eve when ""
	Config Config // Dir, Socket and Major are set here

	// Rules returns the rules as they are now. It is asked before every start
	// and every reload.
	Rules func() (RuleSet, error)
	// Find returns the engine; [Find] when nil.
	Find func(context.Context) (Binary, error)
	// BeforeStart is called before the engine is started, never before it is
	// adopted. An error puts the start off.
	BeforeStart func() error
	// Watching is called when the engine begins to watch the interface. Adopted
	// says that it had been watching all along.
	Watching func(adopted bool)
	// Ended is called when the engine has ended, unless Run or Pause stopped
	// it, with the reason, and whether it had watched until now.
	Ended func(reason string, watched bool)
}

// Live keeps an engine watching an interface. The engine is a process of its
// own that survives the program's sudden end; the next Live adopts it, if its
// configuration still is the wanted one. Its methods may be called
// concurrently with Run.
type Live struct {
	opts   LiveOptions
	log    *slog.Logger
	output *engineOutput

	mu     sync.Mutex
	status LiveStatus
	client *Client // nil while no engine answers
	record proc.Record
	paused string
	wake   chan struct{}
}

// LiveStatus is what a Live does now.
type LiveStatus struct {
	State     LiveState `json:"state"`
	Interface string    `json:"interface"`
	Since     time.Time `json:"since"` // of the state
	PID       int       `json:"pid,omitempty"`
	Adopted   bool      `json:"adopted"` // started by an earlier run of the program
	Version   string    `json:"version"`
	Rules     RuleStats `json:"rules"`
	Restarts  int       `json:"restarts"`          // after it ended by itself
	Problem   string    `json:"problem,omitempty"` // why it does not watch
}

// LiveState is a step in a live engine's life.
type LiveState string

// The states of a live engine.
const (
	LiveStarting LiveState = "starting" // loads its rules; nothing is watched
	LiveWatching LiveState = "watching"
	LiveWaiting  LiveState = "waiting" // ended by itself, is started again soon
	LivePaused   LiveState = "paused"  // stopped on purpose: see Problem
	LiveStopped  LiveState = "stopped"
)

const (
	stopGrace    = 60 * time.Second // an engine writes out its flows first
	firstBackoff = time.Second
	lastBackoff  = time.Minute
	calmAfter    = 2 * time.Minute // of watching, after which backoff starts anew
)

// NewLive returns a Live that does nothing until Run.
func NewLive(o LiveOptions, log *slog.Logger) *Live {
	if o.Find == nil {
		o.Find = Find
	}
	if o.Eve == "" {
		o.Eve = filepath.Join(o.Dir, "eve")
	}
	return &Live{
		opts: o, log: log, output: newEngineOutput(log, "suricata"), wake: make(chan struct{}, 1),
		status: LiveStatus{State: LiveStarting, Interface: o.Config.Interface, Since: time.Now()},
	}
}

// Status returns what the engine does now.
func (l *Live) Status() LiveStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status
}

func (l *Live) set(state LiveState, problem string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.status.State != state {
		l.status.Since = time.Now()
	}
	l.status.State, l.status.Problem = state, problem
}

// Run keeps the engine running until ctx ends, then stops it and returns when
// it has written out all it saw.
func (l *Live) Run(ctx context.Context) error {
	if err := CheckCapture(l.opts.Config.Interface); err != nil {
		return err
	}
	for _, dir := range []string{l.opts.Dir, l.opts.Eve} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the engine's folder: %w", err)
		}
	}
	backoff := firstBackoff
	for ctx.Err() == nil {
		if reason := l.pausedFor(); reason != "" {
			l.set(LivePaused, reason)
			l.sleep(ctx, time.Hour)
			continue
		}
		began := time.Now()
		reason, watched := l.once(ctx)
		if ctx.Err() != nil {
			break
		}
		if l.pausedFor() != "" {
			continue
		}
		if time.Since(began) > calmAfter {
			backoff = firstBackoff
		}
		l.log.Warn("engine ended, will start again", "reason", reason, "wait", backoff)
		l.set(LiveWaiting, reason)
		l.mu.Lock()
		l.status.Restarts++
		l.mu.Unlock()
		if l.opts.Ended != nil {
			l.opts.Ended(reason, watched)
		}
		l.sleep(ctx, backoff)
		backoff = min(2*backoff, lastBackoff)
	}
	l.set(LiveStopped, "")
	return nil
}

// once adopts or starts an engine and stays with it to its end. It returns why
// it ended, and whether it had watched.
func (l *Live) once(ctx context.Context) (reason string, watched bool) {
	l.set(LiveStarting, "")
	p, adopted, err := l.obtain(ctx)
	if err != nil {
		return err.Error(), false
	}
	defer func() {
		l.mu.Lock()
		if l.client != nil {
			l.client.Close()
			l.client = nil
		}
		l.status.PID = 0
		l.mu.Unlock()
	}()
	if err := l.awaitWatching(ctx, p, adopted); err != nil {
		if ctx.Err() != nil {
			p.Stop(stopGrace)
		} else {
			p.Kill()
		}
		_ = os.Remove(l.pidPath())
		return err.Error() + l.output.because(), adopted
	}
	l.log.Info("engine watches", "interface", l.opts.Config.Interface, "pid", p.ID().PID, "adopted", adopted)
	l.output.takeErrors() // what it said while it started is no reason for its end
	l.set(LiveWatching, "")
	if l.opts.Watching != nil {
		l.opts.Watching(adopted)
	}
	for {
		select {
		case <-ctx.Done():
		case <-l.wake:
			if l.pausedFor() == "" {
				continue
			}
		case <-p.Done():
			_ = os.Remove(l.pidPath())
			return "suricata ended: " + orEnded(p.Err()).Error() + l.output.because(), true
		}
		p.Stop(stopGrace)
		_ = os.Remove(l.pidPath())
		return "stopped", true
	}
}

func (l *Live) pidPath() string { return filepath.Join(l.opts.Dir, pidFile) }

// obtain returns a running engine with the wanted configuration.
func (l *Live) obtain(ctx context.Context) (p *proc.Process, adopted bool, err error) {
	binary, err := l.opts.Find(ctx)
	if err != nil {
		return nil, false, err
	}
	rules, err := l.opts.Rules()
	if err != nil {
		return nil, false, err
	}
	loaded, err := rules.Hash()
	if err != nil {
		return nil, false, err
	}
	socket, err := SocketPath(l.opts.Dir)
	if err != nil {
		return nil, false, err
	}
	c := l.opts.Config
	c.Dir, c.Socket, c.Rules, c.Major = l.opts.Eve, socket, rules, binary.Major
	text, err := Generate(c)
	if err != nil {
		return nil, false, err
	}
	sum := sha256.Sum256([]byte(binary.Path + "\n" + binary.Version + "\n" + text))
	want := proc.Record{Config: hex.EncodeToString(sum[:]), Loaded: loaded}
	l.mu.Lock()
	l.status.Version = binary.Version
	l.mu.Unlock()

	output := filepath.Join(l.opts.Dir, "engine.log")
	if p := l.adopt(ctx, want, socket, output); p != nil {
		return p, true, nil
	}
	p, err = l.start(binary, text, socket, output, want)
	return p, false, err
}

// adopt returns the engine an earlier run left watching, when it runs under
// the wanted configuration and answers; another one it ends.
func (l *Live) adopt(ctx context.Context, want proc.Record, socket, output string) *proc.Process {
	have, err := proc.ReadRecord(l.pidPath())
	if err != nil {
		l.endUnrecorded(ctx, socket)
		return nil
	}
	p, alive := proc.Adopt(have.Identity, output, l.output.line)
	if !alive {
		return nil
	}
	if have.Config == want.Config {
		if c, err := Dial(ctx, socket); err == nil {
			c.Close()
			l.keep(p, have, true)
			return p
		}
	}
	l.log.Info("engine of an earlier run is ended", "pid", have.PID, "same_configuration", have.Config == want.Config)
	p.Stop(stopGrace)
	_ = os.Remove(l.pidPath())
	if l.opts.Ended != nil {
		l.opts.Ended("the engine is started anew with another configuration", true)
	}
	return nil
}

// endUnrecorded ends an engine that was started when the program was killed
// before it could note the pid.
func (l *Live) endUnrecorded(ctx context.Context, socket string) {
	c, err := Dial(ctx, socket)
	if err != nil {
		return
	}
	defer c.Close()
	l.log.Warn("engine without a pid file is ended")
	_, _ = c.Do(ctx, "shutdown", nil)
	for range 100 {
		other, err := Dial(ctx, socket)
		if err != nil {
			return
		}
		other.Close()
		l.sleep(ctx, 100*time.Millisecond)
	}
}

func (l *Live) start(b Binary, text, socket, output string, want proc.Record) (*proc.Process, error) {
	if l.opts.BeforeStart != nil {
		if err := l.opts.BeforeStart(); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(l.opts.Dir, "suricata.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the engine's configuration: %w", err)
	}
	_ = os.Remove(socket)
	l.output.forget()
	p, err := proc.Start(proc.Command{
		Path: b.Path,
		Args: []string{"-c", path, "--af-packet=" + l.opts.Config.Interface, "-l", l.opts.Eve},
		Dir:  l.opts.Dir, Line: l.output.line,
		Detached: true, Output: output, Capabilities: captureCapabilities(),
	})
	if err != nil {
		return nil, err
	}
	want.Identity = p.ID()
	if err := proc.WriteRecord(l.pidPath(), want); err != nil {
		p.Kill()
		return nil, err
	}
	l.keep(p, want, false)
	return p, nil
}

func (l *Live) keep(p *proc.Process, r proc.Record, adopted bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record, l.status.PID, l.status.Adopted = r, p.ID().PID, adopted
}

// awaitWatching returns when the engine has its rules loaded and captures.
func (l *Live) awaitWatching(ctx context.Context, p *proc.Process, adopted bool) error {
	socket, err := SocketPath(l.opts.Dir)
	if err != nil {
		return err
	}
	c, err := awaitSocket(ctx, socket, p)
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.client = c
	l.mu.Unlock()
	if !adopted {
		if err := l.awaitCapture(ctx, p); err != nil {
			return err
		}
	}
	if adopted {
		l.reloadIfChanged(ctx)
	}
	l.noteRules(ctx)
	return nil
}

// The capture threads begin after the socket answers, which the engine tells on
// its console; then each throws away what came before all of them were there,
// which it does not tell. One round of their polling, 100 ms, ends that.
const (
	captureSettles = 250 * time.Millisecond
	captureUntold  = 10 * time.Second // for an engine that words it otherwise
)

func (l *Live) awaitCapture(ctx context.Context, p *proc.Process) error {
	untold := time.After(captureUntold)
	started := l.output.startedSignal()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Done():
			return fmt.Errorf("suricata ended while starting: %w", orEnded(p.Err()))
		case <-untold:
			return nil
		case <-started:
			started, untold = nil, time.After(captureSettles)
		}
	}
}

func (l *Live) noteRules(ctx context.Context) {
	if c := l.connection(); c != nil {
		if s, err := ruleStats(ctx, c); err == nil {
			l.mu.Lock()
			l.status.Rules = s
			l.mu.Unlock()
		}
	}
}

func (l *Live) connection() *Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client
}

// ErrNotWatching is returned by what needs a running engine.
var ErrNotWatching = errors.New("the engine is not running")

// command sends a command on a connection of its own: a broken one must not be
// used again, and commands are rare.
func (l *Live) command(ctx context.Context, name string, arguments any) (json.RawMessage, error) {
	if l.connection() == nil {
		return nil, ErrNotWatching
	}
	socket, err := SocketPath(l.opts.Dir)
	if err != nil {
		return nil, err
	}
	c, err := Dial(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(ctx, name, arguments)
}

// Reopen has the engine close eve.json and open it anew, so that one renamed
// in between is complete once a new one exists.
func (l *Live) Reopen(ctx context.Context) error {
	_, err := l.command(ctx, "reopen-log-files", nil)
	return err
}

// Reload has the engine load the rules anew while it goes on watching, and
// returns what became of them. It takes as long as loading takes. An engine
// that is not running loads the present rules when it starts.
func (l *Live) Reload(ctx context.Context) (RuleStats, error) {
	rules, err := l.opts.Rules()
	if err != nil {
		return RuleStats{}, err
	}
	loaded, err := rules.Hash()
	if err != nil {
		return RuleStats{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if _, err := l.command(ctx, "ruleset-reload-rules", nil); err != nil {
		return RuleStats{}, err
	}
	answer, err := l.command(ctx, "ruleset-stats", nil)
	if err != nil {
		return RuleStats{}, err
	}
	s, err := readRuleStats(answer)
	if err != nil {
		return RuleStats{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.status.Rules = s
	l.record.Loaded = loaded
	return s, proc.WriteRecord(l.pidPath(), l.record)
}

func (l *Live) reloadIfChanged(ctx context.Context) {
	rules, err := l.opts.Rules()
	if err != nil {
		return
	}
	l.mu.Lock()
	have := l.record.Loaded
	l.mu.Unlock()
	if now, err := rules.Hash(); err != nil || now == have {
		return
	}
	if _, err := l.Reload(ctx); err != nil {
		l.log.Warn("rules changed, the adopted engine did not load them", "error", err)
	}
}

// Pause stops the engine until Resume, and says why in the status.
func (l *Live) Pause(reason string) { l.setPaused(reason) }

// Resume ends a pause.
func (l *Live) Resume() { l.setPaused("") }

func (l *Live) setPaused(reason string) {
	l.mu.Lock()
	l.paused = reason
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Live) pausedFor() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.paused
}

func (l *Live) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-t.C:
	}
}

// SetHomeNet says what is defended. It must be called before Run.
func (l *Live) SetHomeNet(nets []netip.Prefix) { l.opts.Config.HomeNet = nets }
