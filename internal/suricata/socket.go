package suricata

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Client speaks to an engine's command socket: one JSON object a line, one
// request at a time. Its methods may be called concurrently; they wait for
// each other.
type Client struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

// maxAnswer bounds one answer of the engine; dump-counters gives 20 KB.
const maxAnswer = 8 << 20

// commandLimit is how long one request may take.
const commandLimit = time.Minute

// Dial connects to the command socket and agrees on the protocol's version.
func Dial(ctx context.Context, path string) (*Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("connecting to suricata: %w", err)
	}
	c := &Client{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	if _, err := c.exchange(ctx, map[string]string{"version": "0.2"}); err != nil {
		conn.Close()
		return nil, fmt.Errorf("connecting to suricata: %w", err)
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// RefusedError is the engine's answer that it did not do what it was told.
type RefusedError struct {
	Command string
	Message string
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("suricata refused %s: %s", e.Command, e.Message)
}

// Do sends a command and returns the answer's message. A command the engine
// does not do gives a *RefusedError. After any other error the client must be
// closed. A ctx without a deadline is given one of a minute: between two
// captures the engine answers only when it has put the first away.
func (c *Client) Do(ctx context.Context, command string, arguments any) (json.RawMessage, error) {
	request := map[string]any{"command": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	message, err := c.exchange(ctx, request)
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		refused.Command = command
		return nil, refused
	}
	if err != nil {
		return nil, fmt.Errorf("telling suricata %s: %w", command, err)
	}
	return message, nil
}

func (c *Client) exchange(ctx context.Context, request any) (json.RawMessage, error) {
	line, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, has := ctx.Deadline(); !has {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, commandLimit)
		defer cancel()
	}
	deadline, _ := ctx.Deadline()
	if err := c.conn.SetDeadline(deadline); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := c.conn.Write(append(line, '\n')); err != nil {
		return nil, err
	}
	answer, err := c.readLine()
	if err != nil {
		return nil, err
	}
	var a struct {
		Return  string          `json:"return"`
		Message json.RawMessage `json:"message"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if a.Return != "OK" {
		return nil, &RefusedError{Message: text(a.Message)}
	}
	return a.Message, nil
}

func (c *Client) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := c.in.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			return line, nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		if len(line) > maxAnswer {
			return nil, fmt.Errorf("answer is over %d bytes", maxAnswer)
		}
	}
}

func text(m json.RawMessage) string {
	var s string
	if json.Unmarshal(m, &s) == nil {
		return s
	}
	return string(m)
}

// longestSocket is the longest path that fits sockaddr_un, less its NUL.
const longestSocket = 107

// SocketPath returns where the command socket of an engine that works in dir
// lies: in dir, or, where that path is too long for a socket, in a folder of
// its own under the system's temporary folder, which only this user may enter.
func SocketPath(dir string) (string, error) {
	const name = "command.socket"
	if path := filepath.Join(dir, name); len(path) <= longestSocket {
		return path, nil
	}
	sum := sha256.Sum256([]byte(dir))
	short := filepath.Join(os.TempDir(), fmt.Sprintf("decoder-%d-%s", os.Getuid(), hex.EncodeToString(sum[:8])))
	if err := os.Mkdir(short, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("making a folder for the command socket: %w", err)
	}
	info, err := os.Lstat(short)
	if err != nil {
		return "", fmt.Errorf("making a folder for the command socket: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(owner.Uid) != os.Getuid() || info.Mode().Perm() != 0o700 {
		return "", fmt.Errorf("making a folder for the command socket: %s belongs to somebody else", short)
	}
	return filepath.Join(short, name), nil
}
