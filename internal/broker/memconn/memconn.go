// Package memconn connects two parties within the process: a pair of
// net.Conns with a bounded buffer each way, so that neither side waits for the
// other to read, as it would with net.Pipe.
package memconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// Addr is the address of both ends, as net.Addr wants it.
type Addr string

// Network implements net.Addr.
func (Addr) Network() string { return "memory" }

// String implements net.Addr; it looks like host:port.
func (a Addr) String() string { return string(a) }

// Pipe returns the two ends of a connection that buffers up to size bytes in
// each direction.
func Pipe(a Addr, size int) (net.Conn, net.Conn) {
	x, y := newHalf(size), newHalf(size)
	return &conn{addr: a, in: x, out: y}, &conn{addr: a, in: y, out: x}
}

type conn struct {
	addr    Addr
	in, out *half
}

func (c *conn) Read(b []byte) (int, error)  { return c.in.read(b) }
func (c *conn) Write(b []byte) (int, error) { return c.out.write(b) }
func (c *conn) LocalAddr() net.Addr         { return c.addr }
func (c *conn) RemoteAddr() net.Addr        { return c.addr }

// Close ends both directions. What was written can still be read.
func (c *conn) Close() error {
	c.in.close(true)
	c.out.close(false)
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	c.in.readBy.set(t)
	c.out.writeBy.set(t)
	return nil
}

func (c *conn) SetReadDeadline(t time.Time) error  { c.in.readBy.set(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.out.writeBy.set(t); return nil }

// half is one direction: a ring of bytes that grows up to its limit.
type half struct {
	mu       sync.Mutex
	changed  sync.Cond
	buf      []byte
	from, n  int
	limit    int
	noReader bool
	noWriter bool
	readBy   deadline
	writeBy  deadline
}

const firstSize = 4 << 10

func newHalf(limit int) *half {
	h := &half{limit: limit}
	h.changed.L = &h.mu
	h.readBy.half, h.writeBy.half = h, h
	return h
}

func (h *half) read(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		switch {
		case h.noReader:
			return 0, io.ErrClosedPipe
		case h.readBy.passed:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case h.n > 0:
			return h.take(b), nil
		case h.noWriter:
			return 0, io.EOF
		}
		h.changed.Wait()
	}
}

func (h *half) take(b []byte) int {
	total := 0
	for h.n > 0 && total < len(b) {
		n := copy(b[total:], h.buf[h.from:min(h.from+h.n, len(h.buf))])
		h.from = (h.from + n) % len(h.buf)
		h.n -= n
		total += n
	}
	if h.n == 0 {
		h.from = 0
	}
	h.changed.Broadcast()
	return total
}

func (h *half) write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	total := 0
	for {
		switch {
		case h.noWriter || h.noReader:
			return total, io.ErrClosedPipe
		case h.writeBy.passed:
			return total, os.ErrDeadlineExceeded
		case total == len(b):
			return total, nil
		case h.n < h.limit:
			total += h.put(b[total:])
			continue
		}
		h.changed.Wait()
	}
}

func (h *half) put(b []byte) int {
	if h.n+len(b) > len(h.buf) && len(h.buf) < h.limit {
		h.grow(min(h.limit, max(firstSize, 2*len(h.buf), h.n+len(b))))
	}
	total := 0
	for h.n < len(h.buf) && total < len(b) {
		at := (h.from + h.n) % len(h.buf)
		room := h.buf[at:min(len(h.buf), at+len(h.buf)-h.n)]
		n := copy(room, b[total:])
		h.n += n
		total += n
	}
	h.changed.Broadcast()
	return total
}

func (h *half) grow(size int) {
	buf := make([]byte, size)
	n := h.n
	k := copy(buf, h.buf[h.from:min(h.from+n, len(h.buf))])
	copy(buf[k:], h.buf[:n-k])
	h.buf, h.from = buf, 0
}

func (h *half) close(reader bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reader {
		h.noReader = true
		h.buf, h.n, h.from = nil, 0, 0
	} else {
		h.noWriter = true
	}
	h.readBy.stop()
	h.writeBy.stop()
	h.changed.Broadcast()
}

// deadline wakes a half's waiters when its time has come. Everything is under
// the half's lock.
type deadline struct {
	half   *half
	timer  *time.Timer
	round  int
	passed bool
}

func (d *deadline) set(t time.Time) {
	d.half.mu.Lock()
	defer d.half.mu.Unlock()
	d.stop()
	d.round++
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		d.half.changed.Broadcast()
		return
	}
	round := d.round
	d.timer = time.AfterFunc(left, func() {
		d.half.mu.Lock()
		defer d.half.mu.Unlock()
		if d.round == round {
			d.passed = true
			d.half.changed.Broadcast()
		}
	})
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
