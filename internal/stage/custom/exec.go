package custom

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/proc"
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

// conversation is one process and what it has been asked.
type conversation struct {
	process *proc.Process
	began   time.Time
	stdin   *os.File
	stdout  *os.File
	ended   chan struct{}
	heard   atomic.Int64 // when it last wrote a line, Unix nanoseconds

	writing sync.Mutex
	mu      sync.Mutex
	next    uint64
	asked   map[uint64]asker
}

// asker waits for the answers to a question until it has gone.
type asker struct {
	answers chan answer
	gone    chan struct{}
}

func converse(config Exec, line func(string)) (*conversation, error) {
	childIn, ourIn, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("opening a pipe: %w", err)
	}
	defer childIn.Close()
	ourOut, childOut, err := os.Pipe()
	if err != nil {
		ourIn.Close()
		return nil, fmt.Errorf("opening a pipe: %w", err)
	}
	defer childOut.Close()
	process, err := proc.Start(proc.Command{
		Path: config.Command[0], Args: config.Command[1:], Dir: config.Dir, Line: line, Stdin: childIn, Stdout: childOut,
	})
	if err != nil {
		ourIn.Close()
		ourOut.Close()
		return nil, err
	}
	c := &conversation{
		process: process, began: time.Now(), stdin: ourIn, stdout: ourOut,
		ended: make(chan struct{}), asked: map[uint64]asker{},
	}
	go c.listen()
	return c, nil
}

// ask writes the question of a record. What the program answers comes on the
// channel; forget ends that.
func (c *conversation) ask(ctx context.Context, in *client.Record) (answers <-chan answer, forget func(), err error) {
	a := asker{answers: make(chan answer), gone: make(chan struct{})}
	c.mu.Lock()
	c.next++
	seq := c.next
	c.asked[seq] = a
	c.mu.Unlock()
	forget = func() {
		close(a.gone)
		c.mu.Lock()
		delete(c.asked, seq)
		c.mu.Unlock()
	}
	line, err := json.Marshal(questionOf(seq, in))
	if err == nil {
		err = c.write(ctx, append(line, '\n'))
	}
	if err != nil {
		forget()
		return nil, nil, fmt.Errorf("writing to the program: %w", err)
	}
	return a.answers, forget, nil
}

// replyTime is how long a program under doubt may take to answer.
const replyTime = 3 * time.Second

// replies reports whether the program answers a record with anything.
func (c *conversation) replies(ctx context.Context, in *client.Record) bool {
	ctx, cancel := context.WithTimeout(ctx, replyTime)
	defer cancel()
	answers, forget, err := c.ask(ctx, in)
	if err != nil {
		return false
	}
	defer forget()
	select {
	case <-answers:
		return true
	case <-c.ended:
	case <-ctx.Done():
	}
	return false
}

// end ends the process without a word.
func (c *conversation) end() {
	c.process.Kill()
	<-c.ended
}

// write gives up when ctx ends. A line written in part leaves the program with
// something it cannot understand, so it is ended.
func (c *conversation) write(ctx context.Context, line []byte) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = c.stdin.SetWriteDeadline(time.Now()) }) // it fails when the pipe is closed, as the write does
	_, err := c.stdin.Write(line)
	if !stop() || err != nil {
		c.process.Kill()
	}
	return err
}

func questionOf(seq uint64, in *client.Record) question {
	q := question{
		Seq: seq, Topic: in.Topic, Partition: in.Partition, Offset: in.Offset,
		Key: string(in.Key), Headers: map[string]string{}, Origin: in.Origin,
	}
	for _, h := range in.Headers {
		q.Headers[h.Key] = string(h.Value)
	}
	switch {
	case json.Valid(in.Value):
		q.Event = in.Value
	case utf8.Valid(in.Value):
		text := string(in.Value)
		q.Text = &text
	default:
		q.Bytes = in.Value
	}
	return q
}

// listen hands the program's lines to whom they are for, until it ends. A line
// that cannot be understood ends the program: nobody knows what it answers.
func (c *conversation) listen() {
	defer close(c.ended)
	defer c.stdin.Close()
	defer c.stdout.Close()
	defer c.process.Stop(stopGrace)
	lines := bufio.NewScanner(c.stdout)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() {
		var a answer
		if json.Unmarshal(lines.Bytes(), &a) != nil {
			return
		}
		c.heard.Store(time.Now().UnixNano())
		c.mu.Lock()
		to, waits := c.asked[a.Seq]
		c.mu.Unlock()
		if !waits {
			continue // the record was given up
		}
		select {
		case to.answers <- a:
		case <-to.gone:
		}
	}
}

// stop closes the program's input, gives it a moment, and waits for its end.
func (c *conversation) stop() {
	c.stdin.Close()
	select {
	case <-c.ended:
	case <-time.After(stopGrace):
		c.end()
	}
}
