package suricata

import (
	"context"
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
		opts: o, log: log, output: newEngineOutput(log, "suricata", slog.LevelWarn), wake: make(chan struct{}, 1),
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
