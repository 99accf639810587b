// Package milter observes mail as a milter beside a mail server (Postfix,
// Sendmail): it sees the client's address, the envelope and the message, and
// appends it to the log. It changes nothing and refuses nothing. It speaks the
// milter protocol version 6.
package milter

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	gomilter "github.com/d--j/go-milter"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/message"
)

// Config says where the mail server connects.
type Config struct {
	Listen  string        // tcp://HOST:PORT or unix:///path
	MaxSize int           // of a message, in bytes; a larger one is let by unseen; 50 MB
	Wait    time.Duration // most that a message waits for the log; 2 s
	// Hold answers 4xx when the log does not acknowledge, so that no message
	// passes unseen. Without it the message passes.
	Hold bool
}

// Source implements the component contract: New does no I/O, Run blocks.
type Source struct {
	config Config
	log    bus.Appender
	scope  obs.Scope
	logger *slog.Logger
	seen   *prometheus.CounterVec
	ready  chan net.Addr
}

// New returns the source.
func New(c Config, log bus.Appender, scope obs.Scope) (*Source, error) {
	if c.MaxSize <= 0 {
		c.MaxSize = message.MaxSize
	}
	if c.Wait <= 0 {
		c.Wait = 2 * time.Second
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
	server := gomilter.NewServer(
		gomilter.WithMilter(func() gomilter.Milter { return &session{source: s, ctx: ctx} }),
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
	return nil
}

// session is one connection of the mail server; calls come from one goroutine.
type session struct {
	gomilter.NoOpMilter
	source *Source
	ctx    context.Context

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

// EndOfMessage appends the message. It waits for the log for a moment: a
// server that was told to accept before would lose the message from the log
// when the program is killed in between.
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
	ctx, cancel := context.WithTimeout(context.WithoutCancel(n.ctx), n.source.config.Wait)
	defer cancel()
	if err := n.source.log.Append(ctx, rec); err != nil {
		n.source.logger.Warn("message not appended, the log did not acknowledge", "error", err, "held", n.source.config.Hold)
		if n.source.config.Hold {
			n.source.seen.WithLabelValues("deferred").Inc()
			return gomilter.RespTempFail, nil
		}
		n.source.seen.WithLabelValues("unseen").Inc()
		return gomilter.RespAccept, nil
	}
	n.source.seen.WithLabelValues("appended").Inc()
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
