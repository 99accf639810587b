package suricata

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// RefusedRule is a rule that an engine could not load.
type RefusedRule struct {
	File   string // as the engine was given it
	Line   int
	Reason string // what the engine says is wrong with it
}

// String is "own.rules:3: unknown rule keyword 'contents'".
func (r RefusedRule) String() string {
	return fmt.Sprintf("%s:%d: %s", filepath.Base(r.File), r.Line, r.Reason)
}

// keptRefused is how many refused rules are kept with their reason.
const keptRefused = 10

// refusals gathers the rules that an engine says it cannot load. It says so in
// two lines or more, the reason first (Suricata 7):
//
//	E: detect-parse: unknown rule keyword 'contents'.
//	E: detect: error parsing signature "alert …" from file /x/own.rules at line 5
type refusals struct {
	reason string
	rules  []RefusedRule
}

var refusedAt = regexp.MustCompile(`^detect: error parsing signature "(?s:.*)" from file (.+) at line ([0-9]+)$`)

// line takes an error line of the engine's console.
func (r *refusals) line(text string) {
	at := refusedAt.FindStringSubmatch(text)
	if at == nil {
		module, said, _ := strings.Cut(text, ": ")
		if r.reason == "" && strings.HasPrefix(module, "detect") { // those that follow are of its callers
			r.reason = strings.TrimSuffix(said, ".")
		}
		return
	}
	n, _ := strconv.Atoi(at[2])
	if len(r.rules) < keptRefused {
		r.rules = append(r.rules, RefusedRule{File: at[1], Line: n, Reason: shorten(orElse(r.reason, "it cannot be parsed"))})
	}
	r.reason = ""
}

// shorten keeps what may quote a whole rule to a line's length.
func shorten(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Refused returns the first rules that the engine could not load, of failed
// ones. Its console is read beside its socket: it may be a moment behind.
func (w *Worker) Refused(ctx context.Context, failed int) []RefusedRule {
	if failed == 0 {
		return nil
	}
	limit := time.NewTimer(time.Second)
	defer limit.Stop()
	select {
	case <-w.output.startedSignal():
	case <-limit.C:
	case <-ctx.Done():
	}
	return w.output.refusedRules()
}
