// Package milter observes mail as a milter beside a mail server (Postfix,
// Sendmail): it sees the client's address, the envelope and the message, and
// appends it to the log. It changes nothing and refuses nothing. It speaks the
// milter protocol version 6.
package milter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gomilter "github.com/d--j/go-milter"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/batch"
	"github.com/decodersring/decoder/internal/source/message"
)

// Config says where the mail server connects.
type Config struct {
	Listen  string        // tcp://HOST:PORT or unix:///path
	MaxSize int           // of a message, in bytes; a larger one is let by unseen; 50 MB
	Wait    time.Duration // most that a message waits for the log; 2 s with Hold, else 100 ms
	// Hold answers 4xx when the log does not acknowledge, so that no message
	// passes unseen. Without it the message passes, and is appended once the
	// log takes it.
	Hold bool
}

// behindMost bounds the bytes of messages that have passed and the log does
// not have yet. What passes beyond is not seen.
const behindMost = 64 << 20

// Source implements the component contract: New does no I/O, Run blocks.
type Source struct {
	config Config
	log    bus.Appender
	scope  obs.Scope
	logger *slog.Logger
	seen   *prometheus.CounterVec
	ready  chan net.Addr

	appends sync.WaitGroup // of messages that have passed
	behind  atomic.Int64   // bytes of them
}

// New returns the source.
func New(c Config, log bus.Appender, scope obs.Scope) (*Source, error) {
	if c.MaxSize <= 0 {
		c.MaxSize = message.MaxSize
	}
	if c.Wait <= 0 {
		c.Wait = 100 * time.Millisecond
		if c.Hold {
			c.Wait = 2 * time.Second
		}
	}
	if _, _, err := parseListen(c.Listen); err != nil {
		return nil, err
	}
	s := &Source{config: c, log: log, scope: scope, logger: scope.Logger(), ready: make(chan net.Addr, 1)}
	s.seen = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "decoder_milter_messages_total", Help: "Messages seen by the milter, by what became of them.",
	}, []string{"result"})
	scope.Register(s.seen)
	return s, nil
}

func parseListen(s string) (network, addr string, err error) {
	u, err := url.Parse(s)
	switch {
	case err == nil && u.Scheme == "unix" && u.Path != "":
		return "unix", u.Path, nil
	case err == nil && u.Scheme == "tcp" && u.Port() != "":
		return "tcp", u.Host, nil
	}
	return "", "", fmt.Errorf("listen address %q: want tcp://host:port or unix:///path", s)
}

// Ready gives the address once the source listens.
func (s *Source) Ready() <-chan net.Addr { return s.ready }

// Run listens until ctx ends, then lets messages in hand finish for a while.
func (s *Source) Run(ctx context.Context) error {
	network, addr, err := parseListen(s.config.Listen)
	if err != nil {
		return err
	}
	l, err := message.Listen(ctx, network, addr)
	if err != nil {
		return err
	}
	appending, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer s.appends.Wait()
	defer stop()
	server := gomilter.NewServer(
		gomilter.WithMilter(func() gomilter.Milter { return &session{source: s, ctx: appending} }),
		gomilter.WithProtocols(gomilter.OptNoConnReply|gomilter.OptNoHeloReply|gomilter.OptNoMailReply|gomilter.OptNoRcptReply|
			gomilter.OptNoDataReply|gomilter.OptNoHeaderReply|gomilter.OptNoEOHReply|gomilter.OptNoBodyReply|
			gomilter.OptNoUnknown|gomilter.OptHeaderLeadingSpace),
		gomilter.WithReadTimeout(10*time.Minute),
	)
	s.scope.Set("milter", obs.OK, "listening on "+l.Addr().String())
	s.ready <- l.Addr()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return fmt.Errorf("serving milter: %w", err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		server.Close()
	}
	<-served //nolint:errcheck // it says that the server was closed
	appended := make(chan struct{})
	go func() { s.appends.Wait(); close(appended) }()
	select {
	case <-appended:
	case <-grace.Done():
	}
	return nil
}

// held appends a message and lets it pass once the log has it.
func (s *Source) held(ctx context.Context, rec *bus.Record) *gomilter.Response {
	ctx, cancel := context.WithTimeout(ctx, s.config.Wait)
	defer cancel()
	if err := s.log.Append(ctx, rec); err != nil {
		s.logger.Warn("message is held, the log did not acknowledge", "error", err)
		s.seen.WithLabelValues("deferred").Inc()
		return gomilter.RespTempFail
	}
	s.seen.WithLabelValues("appended").Inc()
	return gomilter.RespAccept
}

// observe appends a message. It returns when the log has it, and after a moment
// in any case: a message waits that long since one that had passed before would
// be missed if the program were killed in between.
func (s *Source) observe(ctx context.Context, rec *bus.Record) {
	size := int64(len(rec.Value))
	if s.behind.Add(size) > behindMost {
		s.behind.Add(-size)
		s.unseen(errors.New("too many wait for the log"))
		return
	}
	done := make(chan struct{})
	s.appends.Go(func() {
		defer close(done)
		defer s.behind.Add(-size)
		refused, err := batch.Append(ctx, s.log, s.scope, "milter", []*bus.Record{rec})
		switch {
		case err != nil:
			s.unseen(err)
		case len(refused) > 0:
			s.unseen(errors.New("the log cannot take it"))
		default:
			s.seen.WithLabelValues("appended").Inc()
		}
	})
	moment := time.NewTimer(s.config.Wait)
	defer moment.Stop()
	select {
	case <-done:
	case <-moment.C:
	}
}

func (s *Source) unseen(err error) {
	s.logger.Warn("message has passed unseen", "error", err)
	s.seen.WithLabelValues("unseen").Inc()
}

// session is one connection of the mail server; calls come from one goroutine.
type session struct {
	gomilter.NoOpMilter
	source *Source
	ctx    context.Context // ends some time after the source was told to

	ip     netip.Addr
	name   string
	helo   string
	from   string
	to     []string
	raw    bytes.Buffer
	tooBig bool
}

func (n *session) Connect(host, _ string, _ uint16, addr string, _ gomilter.Modifier) (*gomilter.Response, error) {
	n.ip, _ = netip.ParseAddr(strings.TrimPrefix(addr, "IPv6:"))
	n.ip = n.ip.Unmap()
	n.name = strings.ToLower(host)
	if strings.HasPrefix(host, "[") {
		n.name = "unknown"
	}
	return gomilter.RespContinue, nil
}

func (n *session) Helo(name string, _ gomilter.Modifier) (*gomilter.Response, error) {
	n.helo = name
	return gomilter.RespContinue, nil
}

func (n *session) MailFrom(from, _ string, _ gomilter.Modifier) (*gomilter.Response, error) {
	n.reset()
	n.from = from
	return gomilter.RespContinue, nil
}

func (n *session) RcptTo(to, _ string, _ gomilter.Modifier) (*gomilter.Response, error) {
	if len(n.to) < 200 {
		n.to = append(n.to, to)
	}
	return gomilter.RespContinue, nil
}

func (n *session) Header(name, value string, m gomilter.Modifier) (*gomilter.Response, error) {
	n.raw.WriteString(name)
	n.raw.WriteByte(':')
	if m.Protocol()&gomilter.OptHeaderLeadingSpace == 0 {
		n.raw.WriteByte(' ')
	}
	n.raw.WriteString(strings.ReplaceAll(strings.ReplaceAll(value, "\r\n", "\n"), "\n", "\r\n"))
	n.raw.WriteString("\r\n")
	return n.grown()
}

func (n *session) Headers(gomilter.Modifier) (*gomilter.Response, error) {
	n.raw.WriteString("\r\n")
	return gomilter.RespContinue, nil
}

func (n *session) BodyChunk(chunk []byte, _ gomilter.Modifier) (*gomilter.Response, error) {
	if !n.tooBig {
		n.raw.Write(chunk)
	}
	return n.grown()
}

// grown lets go of a message that has become too large.
func (n *session) grown() (*gomilter.Response, error) {
	if n.raw.Len() > n.source.config.MaxSize {
		n.tooBig = true
		n.raw.Reset()
	}
	return gomilter.RespContinue, nil
}

// EndOfMessage appends the message.
func (n *session) EndOfMessage(m gomilter.Modifier) (*gomilter.Response, error) {
	defer n.reset()
	if n.tooBig {
		n.source.seen.WithLabelValues("too_large").Inc()
		return gomilter.RespAccept, nil
	}
	rec, err := message.Record(bytes.Clone(n.raw.Bytes()), mail.Delivery{
		From: gomilter.RemoveAngle(n.from), Null: n.from == "" || n.from == "<>", To: n.to, HELO: n.helo,
		ClientIP: n.ip, ClientName: n.name, QueueID: m.Get(gomilter.MacroQueueId), Time: time.Now().UTC(),
	})
	if err != nil {
		return gomilter.RespAccept, nil
	}
	if n.source.config.Hold {
		return n.source.held(n.ctx, rec), nil
	}
	n.source.observe(n.ctx, rec)
	return gomilter.RespAccept, nil
}

func (n *session) Abort(gomilter.Modifier) error {
	n.reset()
	return nil
}

func (n *session) reset() {
	n.from, n.to, n.tooBig = "", nil, false
	if n.raw.Cap() > 1<<20 {
		n.raw = bytes.Buffer{} // one large message does not stay for the connection's life
	}
	n.raw.Reset()
}
