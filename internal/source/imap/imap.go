// Package imap reads mailboxes by IMAP (RFC 3501, RFC 9051) and appends what
// arrives in them to the log. It waits by IDLE where the server has it, polls
// besides, and goes on after a restart where it was: behind the last UID of
// which the log has acknowledged all before. It marks nothing as read.
package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bookmark"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/message"
)

// Config is one account.
type Config struct {
	Name         string        // of the account, in logs, health and file names
	Server       string        // imaps://HOST[:993], or imap://HOST[:143] with STARTTLS
	Insecure     bool          // allow imap:// without TLS, the password in clear
	User         string        //
	PasswordFile string        // read at each sign-in, so that it may change
	Mailboxes    []string      // INBOX by default; one connection each
	Poll         time.Duration // beside IDLE; 1 min
	MaxSize      int64         // of a message, in bytes; a larger one is passed over; 50 MB
	StateDir     string        // folder for the places in the mailboxes
	TLS          *tls.Config   // nil: the system's roots
}

// Source implements the component contract: New does no I/O, Run blocks.
type Source struct {
	config  Config
	addr    string
	direct  bool // TLS from the first byte
	log     bus.Appender
	scope   obs.Scope
	logger  *slog.Logger
	fetched *prometheus.CounterVec
}

// New returns the source.
func New(c Config, log bus.Appender, scope obs.Scope) (*Source, error) {
	u, err := url.Parse(c.Server)
	if err != nil || u.Scheme != "imap" && u.Scheme != "imaps" || u.Hostname() == "" {
		return nil, fmt.Errorf("server %q: want imaps://host or imap://host", c.Server)
	}
	if c.Name == "" || c.User == "" || c.PasswordFile == "" || c.StateDir == "" {
		return nil, errors.New("an account needs name, user, password file and state folder")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"imap": "143", "imaps": "993"}[u.Scheme]
	}
	if len(c.Mailboxes) == 0 {
		c.Mailboxes = []string{"INBOX"}
	}
	if c.Poll <= 0 {
		c.Poll = time.Minute
	}
	if c.MaxSize <= 0 {
		c.MaxSize = message.MaxSize
	}
	if c.TLS == nil {
		c.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	s := &Source{
		config: c, addr: net.JoinHostPort(u.Hostname(), port), direct: u.Scheme == "imaps",
		log: log, scope: scope, logger: scope.Logger().With("account", c.Name),
	}
	s.fetched = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "decoder_imap_messages_total", Help: "Messages found in mailboxes, by what became of them.",
		ConstLabels: prometheus.Labels{"account": c.Name},
	}, []string{"result"})
	scope.Register(s.fetched)
	return s, nil
}

// Run reads all mailboxes until ctx ends. A broken connection is built again
// with backoff.
func (s *Source) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, name := range s.config.Mailboxes {
		wg.Go(func() { s.mailbox(ctx, name) })
	}
	wg.Wait()
	return nil
}

// mailbox reads one mailbox, and connects again when that ends.
func (s *Source) mailbox(ctx context.Context, name string) {
	b := &box{source: s, name: name, mark: bookmark.New(s.markFile(name))}
	component := "imap/" + s.config.Name + "/" + name
	wait := time.Second
	for {
		s.scope.Set(component, obs.Starting, "connecting")
		err := b.read(ctx, func() {
			wait = time.Second
			s.scope.Set(component, obs.OK, "watching")
		})
		if ctx.Err() != nil {
			s.scope.Set(component, obs.OK, "stopped")
			return
		}
		s.scope.Set(component, obs.Degraded, err.Error())
		s.logger.Warn("mailbox not readable, will retry", "mailbox", name, "error", err, "after", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, time.Minute)
	}
}

// markFile names a mailbox's bookmark; the name is escaped, so that no mailbox
// can leave the folder.
func (s *Source) markFile(mailbox string) string {
	return filepath.Join(s.config.StateDir, url.QueryEscape(s.config.Name)+"-"+url.QueryEscape(mailbox)+".json")
}

func (s *Source) connect(ctx context.Context, changed func()) (*imapclient.Client, error) {
	o := &imapclient.Options{
		TLSConfig: s.config.TLS,
		//nolint:staticcheck // the library dials without a context; Cancel is how one ends it
		Dialer: &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second, Cancel: ctx.Done()},
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(d *imapclient.UnilateralDataMailbox) {
				if d.NumMessages != nil {
					changed()
				}
			},
		},
	}
	var c *imapclient.Client
	var err error
	switch {
	case s.direct:
		c, err = imapclient.DialTLS(s.addr, o)
	case s.config.Insecure:
		c, err = imapclient.DialInsecure(s.addr, o)
	default:
		c, err = imapclient.DialStartTLS(s.addr, o)
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to mail server: %w", err)
	}
	return c, nil
}

func (s *Source) signIn(c *imapclient.Client) error {
	b, err := os.ReadFile(s.config.PasswordFile)
	if err != nil {
		return fmt.Errorf("reading password file: %w", err)
	}
	if err := c.Login(s.config.User, strings.TrimRight(string(b), "\r\n")).Wait(); err != nil {
		return fmt.Errorf("signing in to mail server: %w", err)
	}
	return nil
}

// hasIdle reports whether the server can say by itself that mail has come.
func hasIdle(c *imapclient.Client) bool { return c.Caps().Has(imap.CapIdle) }
