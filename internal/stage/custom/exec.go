package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// Codes of failures of a program.
const (
	CodeProgram = "exec_program" // it cannot be started, or has ended
	CodeAnswer  = "exec_answer"  // it answered what cannot be understood
	CodeFailed  = "exec_failed"  // it reported an error without a code
)

const (
	maxLine      = 64 << 20 // of an answer
	firstRestart = 200 * time.Millisecond
	lastRestart  = 30 * time.Second
	stopGrace    = 5 * time.Second
)

// question is the line a program gets for a record. The value is in Event if
// it is JSON, in Text if it is UTF-8, else in Bytes (base 64).
type question struct {
	Seq       uint64            `json:"seq"`
	Topic     string            `json:"topic"`
	Partition int32             `json:"partition"`
	Offset    int64             `json:"offset"`
	Key       string            `json:"key"`
	Headers   map[string]string `json:"headers"`
	Origin    string            `json:"origin"`
	Event     json.RawMessage   `json:"event,omitempty"`
	Text      *string           `json:"text,omitempty"`
	Bytes     []byte            `json:"bytes,omitempty"`
}

// answer is a line a program writes: a document of the record's, or the end of
// the record, as done or as an error.
type answer struct {
	Seq   uint64          `json:"seq"`
	Emit  json.RawMessage `json:"emit"`
	Key   *string         `json:"key"`
	Done  bool            `json:"done"`
	Error string          `json:"error"`
	Class string          `json:"class"` // permanent, retry (if empty) or throttled
	Code  string          `json:"code"`
	After float64         `json:"after"` // seconds; throttled
}

// program keeps one process running and talks to it. Records may be answered
// in any order.
type program struct {
	name   string
	to     string
	config Exec
	scope  obs.Scope

	mu       sync.Mutex
	now      *conversation // nil: none runs
	doubted  bool          // it has left a record unanswered, and said nothing since it was asked
	failures int
	retryAt  time.Time
	asked    sample

	said   sync.Mutex
	second time.Time // since which lines of standard error are counted
	lines  int
}

func newProgram(c Config, scope obs.Scope) *program {
	return &program{name: c.Name, to: c.To, config: *c.Exec, scope: scope}
}

// Handle implements [client.Stage].
func (p *program) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	c, err := p.running()
	if err != nil {
		return fault.NewRetry(CodeProgram, err)
	}
	answers, forget, err := c.ask(ctx, in)
	if err != nil {
		return fault.NewRetry(CodeProgram, err)
	}
	defer forget()
	began := time.Now()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				p.unanswered(c, in, began)
			}
			return ctx.Err()
		case <-c.ended:
			return fault.NewRetry(CodeProgram, errors.New("the program has ended before it answered"))
		case a := <-answers:
			if end, err := p.take(a, in, out, &n); end {
				if err == nil {
					p.asked.answered(in)
					p.doubt(false)
				}
				return err
			}
		}
	}
}

// take deals with one line, and reports whether it was the record's last.
func (p *program) take(a answer, in *client.Record, out *client.Output, n *int) (bool, error) {
	switch {
	case a.Error != "":
		return true, a.fault()
	case a.Done:
		return true, nil
	case a.Emit == nil:
		return true, fault.NewPermanent(CodeAnswer, errors.New("the answer neither emits nor ends"))
	}
	var document map[string]any
	if err := json.Unmarshal(a.Emit, &document); err != nil || document == nil {
		return true, fault.NewPermanent(CodeAnswer, fmt.Errorf("what is emitted is no object: %w", errors.Join(err)))
	}
	key := in.Key
	if a.Key != nil {
		key = []byte(*a.Key)
	}
	err := emit(out, in, p.name, p.to, key, document, *n)
	*n++
	return err != nil, err
}

func (a answer) fault() error {
	code, err := a.Code, errors.New(a.Error)
	if !stageName.MatchString(code) {
		code = CodeFailed
	}
	switch a.Class {
	case "permanent":
		return fault.NewPermanent(code, err)
	case "throttled":
		return fault.NewThrottled(code, time.Duration(a.After*float64(time.Second)), err)
	default:
		return fault.NewRetry(code, err)
	}
}

// unanswered notes a record whose time is over.
func (p *program) unanswered(c *conversation, in *client.Record, began time.Time) {
	if time.Unix(0, c.heard.Load()).After(began) {
		return // it answers others
	}
	p.asked.failed(in)
	p.doubt(true)
}

func (p *program) doubt(whether bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doubted = whether
}

// Check implements [client.Checker]: the program is the other side. One that
// has fallen silent is asked with a record that it has answered before, and
// when it does not answer that either, started again and asked once more.
func (p *program) Check(ctx context.Context) error {
	c, err := p.running()
	if err != nil {
		return err
	}
	p.mu.Lock()
	doubted := p.doubted
	p.mu.Unlock()
	if !doubted {
		return nil
	}
	known := p.asked.pick()
	if known == nil || c.replies(ctx, known) {
		p.doubt(false)
		return nil
	}
	if c, err = p.again(c); err != nil {
		return err
	}
	if !c.replies(ctx, known) {
		c.end()
		return errors.New("the program does not answer, and did not when it was started again")
	}
	p.doubt(false)
	return nil
}

// again ends the process and starts another at once.
func (p *program) again(c *conversation) (*conversation, error) {
	c.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != c && p.now != nil {
		return p.now, nil
	}
	p.now, p.retryAt = nil, time.Time{}
	next, err := converse(p.config, p.line)
	if err != nil {
		p.delay()
		return nil, err
	}
	p.now = next
	return next, nil
}

// Close implements [client.Closer].
func (p *program) Close() error {
	p.mu.Lock()
	c := p.now
	p.now = nil
	p.mu.Unlock()
	if c != nil {
		c.stop()
	}
	return nil
}

// running returns the process, started if need be, but not sooner after the
// last end than the backoff says.
func (p *program) running() (*conversation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now != nil {
		select {
		case <-p.now.ended:
			if time.Since(p.now.began) > time.Minute {
				p.failures = 0
			}
			p.delay()
			p.now = nil
		default:
			return p.now, nil
		}
	}
	if wait := time.Until(p.retryAt); wait > 0 {
		return nil, fmt.Errorf("the program has ended and is started again in %s", wait.Round(time.Millisecond))
	}
	c, err := converse(p.config, p.line)
	if err != nil {
		p.delay()
		return nil, err
	}
	p.now = c
	return c, nil
}

// delay puts the next start off. The caller holds mu.
func (p *program) delay() {
	d := min(firstRestart<<min(p.failures, 10), lastRestart)
	p.failures++
	p.retryAt = time.Now().Add(d/2 + rand.N(d/2))
}

// linesLogged bounds what a program may write to the log in a second.
const linesLogged = 100

// line logs what the program says on its standard error.
func (p *program) line(text string) {
	p.said.Lock()
	defer p.said.Unlock()
	if now := time.Now(); now.Sub(p.second) > time.Second {
		if left := p.lines - linesLogged; left > 0 {
			p.scope.Logger().Warn("program says too much, lines are left out", "stage", p.name, "lines", left)
		}
		p.second, p.lines = now, 0
	}
	if p.lines++; p.lines <= linesLogged {
		p.scope.Logger().LogAttrs(context.Background(), slog.LevelInfo, "program says", slog.String("stage", p.name), slog.String("line", text))
	}
}
