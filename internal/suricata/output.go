package suricata

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// engineOutput keeps what an engine says on its console: "E: pcap: …".
type engineOutput struct {
	log     *slog.Logger
	name    string
	level   slog.Level // of what it complains of
	mu      sync.Mutex
	errors  []string
	total   int // bytes in errors
	last    string
	refused refusals

	started chan struct{} // closed when the engine says that it has started
}

func newEngineOutput(log *slog.Logger, name string, complaints slog.Level) *engineOutput {
	return &engineOutput{log: log, name: name, level: complaints, started: make(chan struct{})}
}

func (o *engineOutput) line(s string) {
	level := slog.LevelDebug
	o.mu.Lock()
	switch {
	case errorLine(s) != "":
		level = o.level
		o.refused.line(errorLine(s))
		if o.total < 16<<10 {
			o.errors = append(o.errors, errorLine(s))
			o.total += len(s)
		}
	case strings.HasSuffix(s, "Engine started."):
		select {
		case <-o.started:
		default:
			close(o.started)
		}
	default:
		o.last = s
	}
	o.mu.Unlock()
	o.log.Log(context.Background(), level, "engine wrote", "engine", o.name, "line", s)
}

// forget drops what an engine before this one wrote.
func (o *engineOutput) forget() {
	o.takeErrors()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last, o.refused, o.started = "", refusals{}, make(chan struct{})
}

func (o *engineOutput) startedSignal() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.started
}

func (o *engineOutput) refusedRules() []RefusedRule {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.refused.rules)
}

func (o *engineOutput) takeErrors() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	e := o.errors
	o.errors, o.total = nil, 0
	return e
}

// blamed adds to an error the first ones that the engine wrote, if any.
func (o *engineOutput) blamed(err error) error {
	if e := o.takeErrors(); len(e) > 0 {
		return fmt.Errorf("%w: %s", err, shorten(strings.Join(e[:min(len(e), 3)], "; ")))
	}
	return err
}

// because returns ": <the first errors the engine wrote>", or its last line
// where it wrote none, or "".
func (o *engineOutput) because() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.errors) > 0 {
		return ": " + strings.Join(o.errors[:min(len(o.errors), 3)], "; ")
	}
	if o.last == "" {
		return ""
	}
	return ": " + o.last
}

// errorLine returns what an error line of the console says, or "". The engine
// writes "E: pcap: …" to a terminal or where its level is notice, and
// "Error: pcap: …" elsewhere.
func errorLine(s string) string {
	for _, prefix := range []string{"E: ", "Error: "} {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			return rest
		}
	}
	return ""
}
