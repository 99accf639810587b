package suricata

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/decodersring/decoder/internal/proc"
)

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
