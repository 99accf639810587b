package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/decodersring/decoder/internal/fault"
)

// mailer tells by mail.
type mailer struct {
	config Mail
	server server
	secure *tls.Config
	domain string // of Message-IDs: the sender's
}

func newMailer(c Config, secure *tls.Config) (*mailer, error) {
	s, err := c.Mail.parse()
	if err != nil {
		return nil, err
	}
	s.plain = !s.tls && (c.Insecure || loopback(s.host))
	if secure == nil {
		secure = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	secure = secure.Clone()
	secure.ServerName = s.host
	from, err := mail.ParseAddress(c.Mail.From)
	if err != nil {
		return nil, fmt.Errorf("reading the sender's address: %w", err)
	}
	return &mailer{*c.Mail, s, secure, from.Address[strings.LastIndexByte(from.Address, '@')+1:]}, nil
}

func (m *mailer) send(ctx context.Context, msg *message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	out, err := m.message(msg, m.config.To...)
	if err != nil {
		return fault.NewThrottled(codeRefused, forPerson, err)
	}
	c, err := m.client(func(dialing context.Context, network, address string) (net.Conn, error) {
		conn, err := m.dial(dialing, network, address)
		if err == nil {
			// The library leaves it open when it does not come to terms with
			// the server, and heeds no context once it is connected.
			context.AfterFunc(ctx, func() { _ = conn.Close() })
		}
		return conn, err
	})
	if err != nil {
		return fault.NewThrottled(codeRefused, forPerson, err)
	}
	if err := c.DialWithContext(ctx); err != nil {
		return m.class(err, codeUnreachable)
	}
	err = c.Send(out)
	if e, ok := errors.AsType[*gomail.SendError](err); ok && e.Reason == gomail.ErrSMTPRcptTo && e.ErrorCode() >= 500 && len(m.config.To) > 1 {
		if some := m.oneByOne(c, msg); some != nil {
			return some
		}
	}
	if err != nil && !out.IsDelivered() {
		code := codeUnreachable
		if e, ok := errors.AsType[*gomail.SendError](err); ok && e.Reason == gomail.ErrSMTPDataClose {
			code = codeNoAnswer // it had all of the message
		}
		return m.class(err, code)
	}
	_ = c.Close() // the message is the server's by now, whatever it says to QUIT
	return nil
}

// oneByOne tells those whom the server does not refuse, when it refuses some:
// one that has left keeps nobody else from being told. It returns nil if it
// refuses all.
func (m *mailer) oneByOne(c *gomail.Client, msg *message) error {
	var refused []string
	for _, to := range m.config.To {
		out, err := m.message(msg, to)
		if err == nil {
			err = c.Send(out)
		}
		if err != nil && !out.IsDelivered() {
			refused = append(refused, to)
		}
	}
	if len(refused) == len(m.config.To) {
		return nil
	}
	return &partly{fmt.Errorf("mail server %s takes nothing for %s; the others are told", m.server.host, strings.Join(refused, ", "))}
}

// client returns a client for one message.
func (m *mailer) client(dial gomail.DialContextFunc) (*gomail.Client, error) {
	port, err := strconv.Atoi(m.server.port)
	if err != nil {
		return nil, fmt.Errorf("reading the port of the mail server: %w", err)
	}
	policy := gomail.TLSMandatory
	if m.server.plain {
		policy = gomail.NoTLS
	}
	options := []gomail.Option{
		gomail.WithPort(port), gomail.WithTimeout(sendTimeout), gomail.WithTLSConfig(m.secure), gomail.WithoutNoop(),
		gomail.WithTLSPolicy(policy), gomail.WithDialContextFunc(dial),
	}
	if m.server.tls { // by dial
		options = append(options, gomail.WithSSL())
	}
	if m.config.User != "" {
		options = append(options, gomail.WithSMTPAuthCustom(&signIn{m: m}))
	}
	return gomail.NewClient(m.server.host, options...)
}

// dial connects, for no longer than the context: the library bounds no reading
// before the first command.
func (m *mailer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if until, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(until); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	conn = &bounded{conn, maxReplies}
	if !m.server.tls {
		return conn, nil
	}
	secured := tls.Client(conn, m.secure)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// maxReplies bounds what a server may say in all, certificates included: the
// library reads lines of any length, and any number.
const maxReplies = 1 << 20

type bounded struct {
	net.Conn
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("it says more than any mail server has to")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// signIn signs in by what the server offers. The connection is encrypted by
// now, unless the configuration wants it otherwise.
type signIn struct {
	m *mailer
	smtp.Auth
}

// Start implements smtp.Auth.
func (s *signIn) Start(server *smtp.ServerInfo) (proto string, toServer []byte, err error) {
	user, password, host, plain := s.m.config.User, s.m.config.Password.Reveal(), s.m.server.host, s.m.server.plain
	for _, way := range []struct {
		name string
		smtp.Auth
	}{
		{"PLAIN", smtp.PlainAuth("", user, password, host, plain)},
		{"LOGIN", smtp.LoginAuth(user, password, host, plain)},
		{"SCRAM-SHA-256", smtp.ScramSHA256Auth(user, password)},
		{"CRAM-MD5", smtp.CRAMMD5Auth(user, password)},
	} {
		if slices.Contains(server.Auth, way.name) {
			s.Auth = way.Auth
			return s.Auth.Start(server)
		}
	}
	return "", nil, fmt.Errorf("the server takes no password in a way known here; it offers %q", server.Auth)
}

// message makes the mail: text alone, with what keeps it from being answered by
// a machine (RFC 3834) and puts those of one group into one thread.
func (m *mailer) message(msg *message, to ...string) (*gomail.Msg, error) {
	out := gomail.NewMsg(gomail.WithNoDefaultUserAgent())
	if err := errors.Join(out.From(m.config.From), out.To(to...)); err != nil {
		return nil, fmt.Errorf("writing the mail's addresses: %w", err)
	}
	out.Subject(msg.Title)
	out.SetDateWithValue(time.Now())
	out.SetMessageIDWithValue(msg.ID + "@" + m.domain)
	if msg.Group != "" {
		sum := sha256.Sum256([]byte(msg.Group))
		thread := "<group-" + hex.EncodeToString(sum[:16]) + "@" + m.domain + ">"
		out.SetGenHeader(gomail.HeaderInReplyTo, thread)
		out.SetGenHeader(gomail.HeaderReferences, thread)
	}
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetGenHeader("X-Auto-Response-Suppress", "All") // Exchange's own
	if msg.Rank >= 3 {
		out.SetImportance(gomail.ImportanceHigh)
	}
	out.SetBodyString(gomail.TypeTextPlain, strings.ReplaceAll(msg.whole(maxMail), "\n", "\r\n"))
	return out, nil
}

const maxMail = 64 << 10

// class classes what the server answered, or that it did not.
func (m *mailer) class(err error, unanswered string) error {
	code := 0
	if e, ok := errors.AsType[*gomail.SendError](err); ok {
		code = e.ErrorCode()
	}
	if e, ok := errors.AsType[*textproto.Error](err); ok && code == 0 {
		code = e.Code
	}
	said := fmt.Errorf("mail server %s: %s", m.server.host, clean(hiding(m.config.Password.Reveal()).Replace(err.Error()), 2*maxReason))
	return ofReply(code, unanswered, said)
}

// ofReply classes an SMTP reply (RFC 5321, 4.2; RFC 4954, 6).
func ofReply(code int, unanswered string, said error) error {
	switch {
	case code >= 400 && code < 500:
		return fault.NewThrottled(codeBusy, aWhile, said)
	case code == 530, code == 534, code == 535, code == 538:
		return fault.NewThrottled(codeDenied, forPerson, fmt.Errorf("%w: it does not accept user and password", said))
	case code >= 500:
		return fault.NewThrottled(codeRefused, forPerson, said)
	}
	return fault.NewRetry(unanswered, said)
}
