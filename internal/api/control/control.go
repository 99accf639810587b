// Package control is the client of the API over the control socket of a data
// folder: what the decoder command speaks to a running instance with. It knows
// the API's types and nothing of what they are for.
package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/decodersring/decoder/internal/api"
)

// ErrNoInstance says that no instance runs on the folder.
var ErrNoInstance = errors.New("no instance runs on this data folder")

// maxLine is the longest line of a stream: a record of the log in base 64.
const maxLine = 128 << 20

// Client talks to one instance. It may be used concurrently.
type Client struct {
	http    *http.Client
	release func()
}

// Dial finds the instance that runs on the data folder. Without one the error
// is ErrNoInstance.
func Dial(ctx context.Context, dir string) (*Client, error) {
	path, release, err := api.SocketPath(dir, api.SocketName)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoInstance, dir)
	}
	if err != nil {
		return nil, err
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	c, err := dial(ctx, "", "")
	if err != nil {
		release()
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("%w: %s", ErrNoInstance, dir)
		}
		return nil, fmt.Errorf("reaching the instance on %s: %w", dir, err)
	}
	if err := c.Close(); err != nil {
		release()
		return nil, fmt.Errorf("reaching the instance on %s: %w", dir, err)
	}
	return &Client{http: &http.Client{Transport: &http.Transport{DialContext: dial}}, release: release}, nil
}

// Close ends the client's connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	c.release()
	return nil
}

// send makes a request; the caller closes the body. An answer that is an error
// is returned as an *api.Error.
func (c *Client) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	target := "http://decoder" + api.Prefix + api.EncodePath(path, in)
	var body io.Reader
	if method == http.MethodGet {
		if q := api.EncodeQuery(in); q != "" {
			target += "?" + q
		}
	} else {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encoding request: %w", err)
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("making request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking the instance: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }() // read as far as it matters
		return nil, readError(resp)
	}
	return resp, nil
}

func readError(resp *http.Response) error {
	var body struct {
		Error *api.Error `json:"error"`
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("reading the instance's answer: %w", err)
	}
	if json.Unmarshal(b, &body) != nil || body.Error == nil {
		return fmt.Errorf("the instance answers %s", resp.Status)
	}
	body.Error.Status = resp.StatusCode
	return body.Error
}

// call asks and decodes the answer.
func call[Out any](ctx context.Context, c *Client, method, path string, in any) (Out, error) {
	var out Out
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return out, err
	}
	defer func() { _ = resp.Body.Close() }() // was read to its end, or err says why not
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("reading the instance's answer: %w", err)
	}
	return out, nil
}

// lines asks and calls take for each line of the answer, which take must not
// keep. It returns nil at the stream's end, or the first error.
func lines(ctx context.Context, c *Client, method, path string, in any, take func([]byte) error) error {
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }() // was read to its end, or err says why not
	sc := bufio.NewScanner(resp.Body)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	for sc.Scan() {
		if err := streamError(sc.Bytes()); err != nil {
			return err
		}
		if err := take(sc.Bytes()); err != nil {
			return err
		}
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("reading the instance's answer: %w", err)
	}
	return nil
}

// streamError returns the error that a line is, if it is one: {"error":{"code"…
// and nothing else. Events have an error.* of ECS, whose code is beside other
// fields of the event.
func streamError(line []byte) error {
	if !bytes.HasPrefix(line, []byte(`{"error":{"code":`)) {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	var body struct {
		Error *api.Error `json:"error"`
	}
	if d.Decode(&body) != nil || body.Error == nil {
		return nil
	}
	return body.Error
}

func stream[Item any](ctx context.Context, c *Client, method, path string, in any, take func(Item) error) error {
	return lines(ctx, c, method, path, in, func(line []byte) error {
		var item Item
		if err := json.Unmarshal(line, &item); err != nil {
			return fmt.Errorf("reading the instance's answer: %w", err)
		}
		return take(item)
	})
}

// await reads a stream of progress to its result.
func await[T any](ctx context.Context, c *Client, path string, progress func(string)) (T, error) {
	var result *T
	err := stream(ctx, c, http.MethodPost, path, api.Empty{}, func(p api.Progress[T]) error {
		switch {
		case p.Error != nil:
			return p.Error
		case p.Result != nil:
			result = p.Result
		case progress != nil:
			progress(p.Line)
		}
		return nil
	})
	if err == nil && result == nil {
		err = errors.New("the instance ended before it was done")
	}
	if err != nil {
		var none T
		return none, err
	}
	return *result, nil
}
