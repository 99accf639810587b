// Package smtp receives mail by SMTP or LMTP, as the target of a mail server's
// journal or always_bcc, and appends it to the log. A message is acknowledged
// only after the log has acknowledged it; else the answer is a 4xx, and the
// server keeps it. It relays nothing and knows no mailboxes: every recipient is
// taken.
package smtp

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/message"
)

// Config says where and from whom mail is taken.
type Config struct {
	Listen   string         // smtp://HOST:PORT, lmtp://HOST:PORT or lmtp:///path of a socket
	Hostname string         // in the greeting; the machine's by default
	From     []netip.Prefix // clients that may deliver; loopback by default
	MaxSize  int64          // of a message, in bytes; 50 MB
	MaxConns int            // connections at once; 100
	Wait     time.Duration  // for the log's acknowledgement; 60 s
	TLS      *tls.Config    // offers STARTTLS
	// Delivered says that the peer is the host the message came from: its
	// address is the client's. A journal's peer is one's own server.
	Delivered bool
}

// Source implements the component contract: New does no I/O, Run blocks.
type Source struct {
	config   Config
	log      bus.Appender
	scope    obs.Scope
	logger   *slog.Logger
	conns    atomic.Int64
	received *prometheus.CounterVec
	ready    chan net.Addr
}

// New returns the source.
func New(c Config, log bus.Appender, scope obs.Scope) (*Source, error) {
	if c.MaxSize <= 0 {
		c.MaxSize = message.MaxSize
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 100
	}
	if c.Wait <= 0 {
		c.Wait = time.Minute
	}
	if len(c.From) == 0 {
		c.From = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	}
	if _, _, _, err := parseListen(c.Listen); err != nil {
		return nil, err
	}
	s := &Source{config: c, log: log, scope: scope, logger: scope.Logger(), ready: make(chan net.Addr, 1)}
	s.received = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "decoder_smtp_messages_total", Help: "Messages offered by SMTP or LMTP, by what became of them.",
		ConstLabels: prometheus.Labels{"listen": c.Listen},
	}, []string{"result"})
	scope.Register(s.received)
	return s, nil
}

func parseListen(s string) (network, addr string, lmtp bool, err error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "lmtp" {
		return "", "", false, fmt.Errorf("listen address %q: want smtp://host:port, lmtp://host:port or lmtp:///path", s)
	}
	if u.Host == "" && u.Path != "" && u.Scheme == "lmtp" {
		return "unix", u.Path, true, nil
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", "", false, fmt.Errorf("listen address %q: %w", s, err)
	}
	return "tcp", u.Host, u.Scheme == "lmtp", nil
}

// Ready gives the address once the source listens.
func (s *Source) Ready() <-chan net.Addr { return s.ready }

// Run listens until ctx ends, then lets open transactions finish for a while.
func (s *Source) Run(ctx context.Context) error {
	network, addr, lmtp, err := parseListen(s.config.Listen)
	if err != nil {
		return err
	}
	l, err := message.Listen(ctx, network, addr)
	if err != nil {
		return err
	}
	server := s.server(ctx, lmtp)
	s.scope.Set("receive/"+s.config.Listen, obs.OK, "listening on "+l.Addr().String())
	s.ready <- l.Addr()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving mail: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close()
	}
	<-served //nolint:errcheck // it says that the server was closed
	return nil
}

func (s *Source) server(ctx context.Context, lmtp bool) *gosmtp.Server {
	srv := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) {
		return s.session(ctx, c)
	}))
	srv.LMTP = lmtp
	srv.Domain = s.config.Hostname
	if srv.Domain == "" {
		srv.Domain, _ = os.Hostname()
	}
	srv.MaxMessageBytes = s.config.MaxSize
	srv.MaxRecipients = 10_000
	srv.MaxLineLength = 1 << 20 // servers pass on what they took, however long
	srv.ReadTimeout, srv.WriteTimeout = 5*time.Minute, time.Minute
	srv.EnableSMTPUTF8 = true
	srv.TLSConfig = s.config.TLS
	srv.ErrorLog = slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug)
	return srv
}

// Refusals. All but the last two let the server try again.
var (
	errBusy    = &gosmtp.SMTPError{Code: 421, EnhancedCode: gosmtp.EnhancedCode{4, 3, 2}, Message: "too many connections"}
	errLog     = &gosmtp.SMTPError{Code: 451, EnhancedCode: gosmtp.EnhancedCode{4, 3, 0}, Message: "the log did not acknowledge, try again"}
	errTooBig  = &gosmtp.SMTPError{Code: 552, EnhancedCode: gosmtp.EnhancedCode{5, 3, 4}, Message: "message too large"}
	errUnknown = &gosmtp.SMTPError{Code: 554, EnhancedCode: gosmtp.EnhancedCode{5, 7, 1}, Message: "this host may not deliver here"}
)

func (s *Source) session(ctx context.Context, c *gosmtp.Conn) (gosmtp.Session, error) {
	peer := netip.Addr{}
	if ap, err := netip.ParseAddrPort(c.Conn().RemoteAddr().String()); err == nil {
		peer = ap.Addr().Unmap()
		if !s.allowed(peer) {
			s.received.WithLabelValues("refused").Inc()
			return nil, errUnknown
		}
	}
	if s.conns.Add(1) > int64(s.config.MaxConns) {
		s.conns.Add(-1)
		return nil, errBusy
	}
	return &session{source: s, ctx: ctx, conn: c, peer: peer}, nil
}

func (s *Source) allowed(a netip.Addr) bool {
	for _, p := range s.config.From {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// session is one connection. The server calls it from one goroutine.
type session struct {
	source   *Source
	ctx      context.Context
	conn     *gosmtp.Conn
	peer     netip.Addr
	delivery mail.Delivery
}

func (n *session) Reset() { n.delivery = mail.Delivery{} }

func (n *session) Logout() error {
	n.source.conns.Add(-1)
	return nil
}

func (n *session) Mail(from string, _ *gosmtp.MailOptions) error {
	n.delivery = mail.Delivery{From: from, Null: from == "", HELO: n.conn.Hostname()}
	if n.source.config.Delivered {
		n.delivery.ClientIP = n.peer
	} else {
		n.delivery.HELO = ""
	}
	return nil
}

func (n *session) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if len(n.delivery.To) < 200 {
		n.delivery.To = append(n.delivery.To, to)
	}
	return nil
}

// Data implements gosmtp.Session; LMTP uses it for all recipients at once.
func (n *session) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err // too large, or the connection broke
	}
	n.delivery.Time = time.Now().UTC()
	rec, err := message.Record(raw, n.delivery)
	if err != nil {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 6, 0}, Message: "the message is empty"}
	}
	// The transaction outlives the order to stop: a server that is told 4xx
	// though the log has the message would only send it again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), n.source.config.Wait)
	defer cancel()
	if err := n.source.log.Append(ctx, rec); err != nil {
		return n.refuse(err)
	}
	n.source.received.WithLabelValues("appended").Inc()
	return nil
}

func (n *session) refuse(err error) error {
	if f := fault.Of(err); f.Class == fault.Permanent && f.Code == bus.CodeTooLarge {
		n.source.received.WithLabelValues("too_large").Inc()
		return errTooBig
	}
	n.source.received.WithLabelValues("deferred").Inc()
	n.source.logger.Warn("mail deferred, the log did not acknowledge", "error", err)
	return errLog
}
