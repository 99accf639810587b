package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/obs"
)

// Options say where the API is served.
type Options struct {
	// Listen is an address such as http://127.0.0.1:9600 or https://[::]:9600;
	// "" does not listen on TCP. Port 0 takes a free one.
	Listen string
	// Probes is an address of the same form for tools that watch the program;
	// what is served there needs no sign-in. "" serves none.
	Probes string
	// CertFile and KeyFile are PEM files, needed for https.
	CertFile, KeyFile string
	// Hosts are names by which browsers may call it, besides localhost, the
	// machine's own name and any IP address. A name not among them is refused,
	// so that a page elsewhere cannot reach it by DNS rebinding.
	Hosts []string
	// SocketDir is the folder of control.sock; "" has none.
	SocketDir string
}

// Server serves the API.
type Server struct {
	options Options
	deps    Deps
	scope   obs.Scope
	address *url.URL
	probes  *url.URL
	hosts   hosts
	limits  limits
	metrics metrics
	users   *users
	queries chan struct{} // a place for each question to the store

	ready     chan struct{}
	url       string
	probesURL string
	watchers  chan struct{}   // a place for each reader of live news
	closing   context.Context // done when streams must end
	close     context.CancelFunc
}

// New returns a server that does nothing yet.
func New(o Options, d Deps, scope obs.Scope) (*Server, error) {
	if b, ok := d.Log.(*bus.Bus); ok && d.DeadLetters == nil {
		d.DeadLetters = letters{dead: dead.New(b), clients: d.Clients}
	}
	s := &Server{
		options: o, deps: d, scope: scope, hosts: newHosts(o.Hosts), limits: newLimits(),
		metrics: newMetrics(scope), ready: make(chan struct{}), queries: make(chan struct{}, maxQueries), watchers: make(chan struct{}, maxLive),
	}
	var err error
	if s.address, err = o.address(o.Listen); err != nil {
		return nil, err
	}
	if s.probes, err = o.address(o.Probes); err != nil {
		return nil, err
	}
	if s.address != nil && d.State == nil {
		return nil, errors.New("listening needs a place for users")
	}
	s.users = &users{db: d.State, now: time.Now}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// address parses an address to listen on; nil for none.
func (o Options) address(listen string) (*url.URL, error) {
	if listen == "" {
		return nil, nil
	}
	u, err := url.Parse(listen)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("listen address %q is not http://HOST:PORT or https://HOST:PORT", listen)
	}
	if u.Scheme == "https" && (o.CertFile == "" || o.KeyFile == "") {
		return nil, fmt.Errorf("listen address %s needs a certificate and its key", listen)
	}
	return u, nil
}

// Ready is closed when the server listens, on all it was told to.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// URL is the address of the UI, with the true port; "" before Ready and
// without TCP.
func (s *Server) URL() string { return s.url }

// ProbesURL is URL for the probes.
func (s *Server) ProbesURL() string { return s.probesURL }

// Run serves until ctx ends, then lets requests end, streams at once.
func (s *Server) Run(ctx context.Context) error {
	defer s.close()
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	failed := make(chan error, len(listeners))
	var running sync.WaitGroup
	for _, l := range listeners {
		running.Go(func() {
			if err := l.server.Serve(l.listener); !errors.Is(err, http.ErrServerClosed) {
				failed <- fmt.Errorf("serving %s: %w", l.listener.Addr(), err)
			}
		})
	}
	close(s.ready)
	s.scope.Set("api", obs.OK, "")
	err = nil
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	s.close()
	for _, l := range listeners {
		err = errors.Join(err, l.stop())
	}
	running.Wait()
	return err
}

// listening is one address served.
type listening struct {
	listener net.Listener
	server   *http.Server
}

// shutdownTime is how long requests may take to end.
const shutdownTime = 5 * time.Second

func (l listening) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := l.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("ending requests: %w", err), l.server.Close())
	}
	return nil
}

func (s *Server) listen(ctx context.Context) (ls []listening, err error) {
	defer func() {
		if err != nil {
			for _, l := range ls {
				_ = l.listener.Close()
			}
		}
	}()
	if s.options.SocketDir != "" {
		l, err := listenSocket(ctx, s.options.SocketDir)
		if err != nil {
			return ls, err
		}
		server := s.httpServer(s.LocalHandler())
		server.ConnContext = withPeer
		ls = append(ls, listening{l, server})
	}
	if s.address != nil {
		l, err := s.listenTCP(ctx, s.address, s.Handler())
		if err != nil {
			return ls, err
		}
		ls, s.url = append(ls, l), shownURL(s.address, l.listener)
	}
	if s.probes != nil {
		l, err := s.listenTCP(ctx, s.probes, s.Probes())
		if err != nil {
			return ls, err
		}
		ls, s.probesURL = append(ls, l), shownURL(s.probes, l.listener)
	}
	return ls, nil
}

func (s *Server) listenTCP(ctx context.Context, address *url.URL, h http.Handler) (listening, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address.Host)
	if err != nil {
		return listening{}, fmt.Errorf("listening on %s: %w", address, err)
	}
	if address.Scheme == "https" {
		cert, err := tls.LoadX509KeyPair(s.options.CertFile, s.options.KeyFile)
		if err != nil {
			return listening{}, errors.Join(fmt.Errorf("loading certificate: %w", err), l.Close())
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	}
	return listening{l, s.httpServer(h)}, nil
}

func shownURL(address *url.URL, l net.Listener) string {
	return address.Scheme + "://" + net.JoinHostPort(shownHost(address.Hostname()), port(l.Addr()))
}

// shownHost is what a person on this machine types for a listening address.
func shownHost(host string) string {
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil && name != "" {
			return name
		}
		return "localhost"
	}
	return host
}

func port(a net.Addr) string {
	_, p, _ := net.SplitHostPort(a.String()) // a listener's address has a port
	return p
}

func (s *Server) httpServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       answerTimeout,
		WriteTimeout:      2 * answerTimeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          errorLog(s.scope.Logger()),
	}
}

// streaming returns a context that ends with the request or the server.
func (s *Server) streaming(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.closing, cancel)
	return ctx, func() { stop(); cancel() }
}
