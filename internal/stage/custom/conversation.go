package custom

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/proc"
)

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
