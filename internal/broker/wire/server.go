package wire

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// Config says how a server treats its peers.
type Config struct {
	Log *slog.Logger
	// Advertise is the host:port clients are told to connect to; "" is the
	// address they connected to.
	Advertise string
	// TLS of the listener; nil: none.
	TLS *tls.Config
	// SignIn is asked before anything else is answered to a connection of the
	// listener without a client certificate; nil lets everybody in.
	SignIn SignIn
	// AutoCreate returns the topic to create when an unknown one is asked for.
	AutoCreate func(name string) (storage.TopicSpec, bool)
	// Partitions of a topic created without a number; 0: 1.
	Partitions int

	MaxConnections  int           // 0: 1000
	MaxRequestBytes int           // largest produce request; 0: 132 MiB
	MaxInFlight     int64         // bytes of large batches in memory at once, and of batches being sent; 0: twice the largest request
	SignInTimeout   time.Duration // 0: 10 s
	IdleTimeout     time.Duration // 0: 10 min
	StallTimeout    time.Duration // for the rest of a frame, and for a write; 0: 1 min
	Metrics         Metrics
}

// Metrics is told what the server does. It must be safe for concurrent use.
type Metrics interface {
	Request(key int16, took time.Duration)
	Appended(topic string, bytes, records int)
	Fetched(topic string, bytes int)
	Connections(change int)
	SignInFailed()
}

// Server answers Kafka requests.
type Server struct {
	cfg    Config
	store  *storage.Store
	groups *groups.Manager
	apis   map[int16]api
	memory *weight
	unsent atomic.Int64 // bytes that answers to outside clients may still take

	mu        sync.Mutex
	conns     map[*conn]struct{}
	strangers map[*conn]struct{} // of them, those that have not signed in
	remote    int                // connections of the listener
	closed    bool
	wg        sync.WaitGroup
}

// New returns a server that has opened nothing.
func New(cfg Config, store *storage.Store, gm *groups.Manager) *Server {
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, 1000)
	cfg.MaxRequestBytes = cmp.Or(cfg.MaxRequestBytes, 132<<20)
	cfg.MaxInFlight = cmp.Or(cfg.MaxInFlight, 2*int64(cfg.MaxRequestBytes))
	cfg.SignInTimeout = cmp.Or(cfg.SignInTimeout, 10*time.Second)
	cfg.IdleTimeout = cmp.Or(cfg.IdleTimeout, 10*time.Minute)
	cfg.StallTimeout = cmp.Or(cfg.StallTimeout, time.Minute)
	cfg.Partitions = cmp.Or(cfg.Partitions, 1)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	s := &Server{
		cfg: cfg, store: store, groups: gm, apis: apis(),
		memory: newWeight(cfg.MaxInFlight), conns: map[*conn]struct{}{}, strangers: map[*conn]struct{}{},
	}
	s.unsent.Store(cfg.MaxInFlight)
	return s
}

// Serve accepts connections until ctx ends, and closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.accept(ctx, nc)
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accepting connections: %w", err)
		default: // out of file descriptors: wait for some to come free
			s.cfg.Log.Warn("accepting a connection", "error", err)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (s *Server) accept(ctx context.Context, nc net.Conn) {
	c := &conn{server: s, net: nc, remote: true, host: hostOf(nc.RemoteAddr())}
	if s.cfg.TLS != nil {
		c.net = tls.Server(nc, s.cfg.TLS)
	}
	if !s.start(ctx, c) {
		_ = nc.Close()
	}
}

// Attach serves a connection from within the process, without sign-in.
func (s *Server) Attach(ctx context.Context, nc net.Conn) error {
	if !s.start(ctx, &conn{server: s, net: nc, host: "embedded", signedIn: true}) {
		return errors.Join(net.ErrClosed, nc.Close())
	}
	return nil
}

func (s *Server) start(ctx context.Context, c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || c.remote && s.remote >= s.cfg.MaxConnections && !s.makeRoom() {
		return false
	}
	s.conns[c] = struct{}{}
	if c.remote {
		s.remote++
	}
	if !c.signedIn {
		s.strangers[c] = struct{}{}
	}
	s.cfg.Metrics.Connections(1)
	s.wg.Go(func() {
		c.serve(ctx)
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, c)
		delete(s.strangers, c)
		if c.remote {
			s.remote--
		}
		s.cfg.Metrics.Connections(-1)
	})
	return true
}

// makeRoom hangs up on any one that has not signed in: who cannot must not
// keep out who can. The caller holds s.mu.
func (s *Server) makeRoom() bool {
	for c := range s.strangers {
		delete(s.strangers, c)
		s.wg.Go(func() { _ = c.net.Close() }) // with TLS it may wait for the peer
		return true
	}
	return false
}

// enter signs a connection in.
func (c *conn) enter(user string) {
	c.signedIn, c.user = true, user
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	delete(c.server.strangers, c)
}

// Close ends every connection and returns when all are gone.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		_ = c.net.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func hostOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

type noMetrics struct{}

func (noMetrics) Request(int16, time.Duration) {}
func (noMetrics) Appended(string, int, int)    {}
func (noMetrics) Fetched(string, int)          {}
func (noMetrics) Connections(int)              {}
func (noMetrics) SignInFailed()                {}

// weight is a semaphore of bytes.
type weight struct {
	mu   sync.Mutex
	free sync.Cond
	left int64
}

func newWeight(n int64) *weight {
	w := &weight{left: n}
	w.free.L = &w.mu
	return w
}

func (w *weight) take(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.left < n {
		w.free.Wait()
	}
	w.left -= n
}

func (w *weight) give(n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left += n
	w.free.Broadcast()
}
