package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/groups"
)

// maxPipelined is how many requests of a connection may be begun and not yet
// answered. Clients keep five or fewer.
const maxPipelined = 16

// conn is one client's connection.
type conn struct {
	server   *Server
	net      net.Conn
	remote   bool
	host     string
	signedIn bool
	user     string
	sasl     Exchange     // between handshake and the end of sign-in
	out      []byte       // of whoever answers
	waiting  atomic.Int32 // requests the writer has to answer
}

// reply is the second half of a request: it may wait, and returns the
// response, or nil when none is wanted.
type reply func(context.Context) kmsg.Response

// answered is a reply that is there already.
func answered(r kmsg.Response) reply {
	return func(context.Context) kmsg.Response { return r }
}

// pending is a request that has been begun.
type pending struct {
	correlationID int32
	key           int16
	begun         time.Time
	reply         reply
	brief         func() bool // does what the reply waits for, unless others do; nil: it is not for who has read it
}

func (c *conn) serve(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = c.net.Close() })
	defer stop()
	out := make(chan pending, maxPipelined)
	var writer sync.WaitGroup
	var wrote error
	writer.Go(func() {
		defer cancel() // ends the reader too
		wrote = c.write(ctx, out)
	})
	read := c.read(ctx, out)
	close(out)
	cancel() // nobody is there to wait for
	writer.Wait()
	c.report(read)
	c.report(wrote)
}

// report logs why a connection ended, unless that is ordinary.
func (c *conn) report(err error) {
	ordinary := err == nil || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled)
	if !ordinary {
		c.server.cfg.Log.Warn("connection ended", "peer", c.host, "user", c.user, "error", err)
	}
}

// recovered turns a panic into an error: one bad request ends one connection.
func (c *conn) recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic: %v", r)
		c.server.cfg.Log.Error("request handler panicked", "panic", r, "stack", string(debug.Stack()))
	}
}

func (c *conn) read(ctx context.Context, out chan<- pending) (err error) {
	defer c.recovered(&err)
	if c.remote {
		if err := c.handshake(ctx); err != nil {
			return err
		}
	}
	r := bufio.NewReaderSize(c.net, 16<<10)
	for {
		if err := c.next(ctx, r, out); err != nil {
			return err
		}
	}
}

// handshake finishes TLS; a verified client certificate is a sign-in.
func (c *conn) handshake(ctx context.Context) error {
	if err := c.net.SetDeadline(time.Now().Add(c.server.cfg.SignInTimeout)); err != nil {
		return err
	}
	var chains [][]*x509.Certificate
	if t, ok := c.net.(*tls.Conn); ok {
		if err := t.HandshakeContext(ctx); err != nil {
			return fmt.Errorf("shaking hands: %w", err)
		}
		chains = t.ConnectionState().VerifiedChains
	}
	switch {
	case len(chains) > 0:
		c.enter(chains[0][0].Subject.CommonName)
	case c.server.cfg.SignIn == nil:
		c.enter("")
	}
	return nil
}

// next reads one request, begins it and hands it to the writer.
func (c *conn) next(ctx context.Context, r *bufio.Reader, out chan<- pending) error {
	if c.remote && c.signedIn {
		if err := c.net.SetReadDeadline(time.Now().Add(c.server.cfg.IdleTimeout)); err != nil {
			return err
		}
	}
	head, err := r.Peek(8)
	if err != nil {
		return err
	}
	if c.remote && c.signedIn {
		if err := c.net.SetReadDeadline(time.Now().Add(c.server.cfg.StallTimeout)); err != nil {
			return err
		}
	}
	size, key := int(int32(binary.BigEndian.Uint32(head))), int16(binary.BigEndian.Uint16(head[4:]))
	if size < minFrame || size > c.limit(key) {
		return fmt.Errorf("%w: %d bytes for request key %d", errFrame, size, key)
	}
	if _, err := r.Discard(4); err != nil {
		return err
	}
	p, err := c.receive(ctx, r, key, size)
	if err != nil {
		return err
	}
	if p.brief != nil && r.Buffered() == 0 && c.waiting.Load() == 0 && p.brief() {
		return c.answer(ctx, p) // at once: to wake the writer takes longer
	}
	c.waiting.Add(1)
	select {
	case out <- p:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// receive reads the rest of a frame, and begins the request in it.
func (c *conn) receive(ctx context.Context, r *bufio.Reader, key int16, size int) (pending, error) {
	if key == int16(kmsg.Produce) {
		return c.beginProduce(ctx, r, size)
	}
	buf := frames.Get().(*[]byte)
	var err error
	if *buf, err = readFrame(r, *buf, size); err != nil {
		return pending{}, err
	}
	p, reuse, err := c.begin(ctx, *buf)
	if reuse {
		frames.Put(buf)
	}
	return p, err
}

const (
	// keepFrame is the largest buffer kept for the next batches.
	keepFrame = 6 << 20
	// keepOut is the largest buffer a connection keeps for its next answer.
	keepOut = 16 << 10
)

var frames = sync.Pool{New: func() any { return new([]byte) }}

// limit is how long a frame may be: short before sign-in, long only where
// records are in it.
func (c *conn) limit(key int16) int {
	switch {
	case !c.signedIn:
		return maxUnsigned
	case key == int16(kmsg.Produce):
		return c.server.cfg.MaxRequestBytes
	default:
		return maxPlain
	}
}

// begin starts a request. reuse says that nothing refers to the frame any
// more.
func (c *conn) begin(ctx context.Context, frame []byte) (p pending, reuse bool, err error) {
	h, body, err := parseHead(frame)
	if err != nil {
		return p, false, err
	}
	p = pending{correlationID: h.correlationID, key: h.key, begun: time.Now()}
	if h.key == int16(kmsg.ApiVersions) && h.version > c.server.apis[h.key].max {
		p.reply = answered(c.server.tooNew())
		return p, false, nil
	}
	a, ok := c.server.apis[h.key]
	if !ok || h.version < a.min || h.version > a.max {
		return p, false, fmt.Errorf("%w: key %d version %d is not served", errFrame, h.key, h.version)
	}
	if !c.signedIn && !a.unsigned {
		return p, false, fmt.Errorf("%w: request key %d before sign-in", errSignIn, h.key)
	}
	req, err := a.parse(h, body)
	if err != nil {
		return p, false, err
	}
	p.reply = a.handle(request{conn: c, ctx: ctx, clientID: h.clientID}, req)
	return p, a.reuse, nil
}

// request is what a handler knows of who asks.
type request struct {
	*conn
	ctx      context.Context
	clientID string
}

func (r request) client() groups.Client { return groups.Client{ID: r.clientID, Host: "/" + r.host} }

func (c *conn) write(ctx context.Context, out <-chan pending) (err error) {
	defer c.recovered(&err)
	for p := range out {
		if err := c.answer(ctx, p); err != nil {
			return err
		}
		c.waiting.Add(-1)
	}
	return nil
}

// answer waits for a request's reply and sends it.
func (c *conn) answer(ctx context.Context, p pending) error {
	resp := p.reply(ctx)
	if r, ok := resp.(insetter); ok {
		defer r.release()
	}
	c.server.cfg.Metrics.Request(p.key, time.Since(p.begun))
	if ctx.Err() != nil {
		return ctx.Err() // what waited was cut short: no answer is better
	}
	if resp == nil {
		return nil
	}
	if err := c.send(p.correlationID, resp); err != nil {
		return err
	}
	if end, ok := resp.(*kmsg.SASLAuthenticateResponse); ok && end.ErrorCode != 0 {
		return errSignIn
	}
	return nil
}

// insetter is a response of which a part is sent from where it lies, and then
// given back.
type insetter interface {
	kmsg.Response
	appendInset(b []byte) (out []byte, insets []inset)
	release()
}

func (c *conn) send(correlationID int32, resp kmsg.Response) error {
	out, insets := appendResponse(c.out[:0], correlationID, resp)
	if c.out = out; cap(out) > keepOut {
		c.out = nil
	}
	if c.remote {
		if err := c.net.SetWriteDeadline(time.Now().Add(c.server.cfg.StallTimeout)); err != nil {
			return err
		}
	}
	return writeInset(c.net, out, insets)
}

func writeInset(w io.Writer, b []byte, insets []inset) error {
	if len(insets) == 0 {
		_, err := w.Write(b)
		return err
	}
	var pieces net.Buffers
	from := 0
	for _, in := range insets {
		pieces = append(pieces, b[from:in.at], in.bytes)
		from = in.at
	}
	_, err := new(append(pieces, b[from:])).WriteTo(w)
	return err
}
