package imap

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/message/messagetest"
)

// certificate makes one for 127.0.0.1.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	c, err = x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// serve starts an IMAP server in memory; direct says TLS from the first byte.
func serve(t *testing.T, direct bool, caps ...goimap.Cap) (addr string, user *imapmemserver.User, pool *x509.CertPool) {
	t.Helper()
	if len(caps) == 0 {
		caps = []goimap.Cap{goimap.CapIMAP4rev1, goimap.CapIMAP4rev2}
	}
	has := goimap.CapSet{}
	for _, c := range caps {
		has[c] = struct{}{}
	}
	cert, pool := certificate(t)
	mem := imapmemserver.New()
	user = imapmemserver.NewUser("bob", "secret")
	mem.AddUser(user)
	for _, name := range []string{"INBOX", "Junk"} {
		if err := user.Create(name, nil); err != nil {
			t.Fatal(err)
		}
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert}}
	s := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps: has, TLSConfig: conf,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = l.Addr().String()
	if direct {
		l = tls.NewListener(l, conf)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return addr, user, pool
}

type literal struct{ *bytes.Reader }

func (l literal) Size() int64 { return l.Reader.Size() }

func deliver(t *testing.T, user *imapmemserver.User, box string, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		b := fmt.Appendf(nil, "From: a@example.com\r\nSubject: %s %d\r\n\r\nbody %d\r\n", box, n, n)
		if _, err := user.Append(box, literal{bytes.NewReader(b)}, &goimap.AppendOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func start(t *testing.T, c Config, log bus.Appender) (stop func()) {
	t.Helper()
	s, err := New(c, log, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func account(t *testing.T, scheme, addr string, pool *x509.CertPool) Config {
	t.Helper()
	pass := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(pass, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{
		Name: "test", Server: scheme + "://" + addr, User: "bob", PasswordFile: pass, Mailboxes: []string{"INBOX", "Junk"},
		StateDir: t.TempDir(), Poll: 200 * time.Millisecond, TLS: &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"},
	}
}

func TestMailboxesAreReadOnceOverRestartsAndOutagesByTLS(t *testing.T) {
	for _, scheme := range []string{"imaps", "imap"} {
		t.Run(scheme, func(t *testing.T) {
			addr, user, pool := serve(t, scheme == "imaps")
			log := messagetest.New()
			c := account(t, scheme, addr, pool)
			deliver(t, user, "INBOX", 0, 250)
			deliver(t, user, "Junk", 0, 20)
			stop := start(t, c, log)
			log.Await(t, 270)
			deliver(t, user, "INBOX", 250, 260)
			log.Await(t, 280)
			stop()
			deliver(t, user, "INBOX", 260, 270)
			log.Down(true)
			stop = start(t, c, log)
			<-log.Tried()
			log.Down(false)
			log.Await(t, 290)
			stop()
			log.Once(t)
		})
	}
}

func TestNewMailIsHeardOfWithIDLEAndFoundWithout(t *testing.T) {
	for name, tt := range map[string]struct {
		caps []goimap.Cap
		poll time.Duration
	}{
		"IDLE":         {[]goimap.Cap{goimap.CapIMAP4rev1, goimap.CapIdle}, time.Hour},
		"polling only": {[]goimap.Cap{goimap.CapIMAP4rev1}, 100 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			addr, user, pool := serve(t, true, tt.caps...)
			log := messagetest.New()
			c := account(t, "imaps", addr, pool)
			c.Poll = tt.poll
			stop := start(t, c, log)
			deliver(t, user, "INBOX", 0, 5)
			log.Await(t, 5)
			// The server in memory says nothing of what came between the last
			// command and IDLE, as real ones do: some message falls into it.
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for n := 5; log.Len() == 5; n++ {
				if n == 200 {
					t.Fatal("new mail is not heard of")
				}
				deliver(t, user, "INBOX", n, n+1)
				<-tick.C
			}
			stop()
			log.Once(t)
		})
	}
}

func TestAMailboxMadeAnewIsReadFromItsStart(t *testing.T) {
	addr, user, pool := serve(t, true)
	log := messagetest.New()
	c := account(t, "imaps", addr, pool)
	c.Mailboxes = []string{"Junk"}
	deliver(t, user, "Junk", 0, 10)
	stop := start(t, c, log)
	log.Await(t, 10)
	stop()
	if err := user.Delete("Junk"); err != nil {
		t.Fatal(err)
	}
	if err := user.Create("Junk", nil); err != nil {
		t.Fatal(err)
	}
	deliver(t, user, "Junk", 100, 105)
	stop = start(t, c, log)
	log.Await(t, 15)
	stop()
}

func TestLargeMessagesArePassedOver(t *testing.T) {
	addr, user, pool := serve(t, true)
	log := messagetest.New()
	c := account(t, "imaps", addr, pool)
	c.MaxSize = 200
	deliver(t, user, "INBOX", 0, 1)
	if _, err := user.Append("INBOX", literal{bytes.NewReader(make([]byte, 300))}, &goimap.AppendOptions{}); err != nil {
		t.Fatal(err)
	}
	deliver(t, user, "INBOX", 1, 2)
	stop := start(t, c, log)
	log.Await(t, 2)
	stop()
	if log.Len() != 2 {
		t.Errorf("%d messages", log.Len())
	}
}

func TestPasswordIsNotSentWithoutTLSUnlessAllowed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	said := make(chan string, 10)
	go func() { // a server that has no TLS
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "* OK [CAPABILITY IMAP4rev1] ready\r\n")
			b := make([]byte, 1000)
			n, _ := conn.Read(b)
			said <- string(b[:n])
			conn.Close()
		}
	}()
	c := account(t, "imap", l.Addr().String(), nil)
	c.Mailboxes = []string{"INBOX"}
	stop := start(t, c, messagetest.New())
	if s := <-said; !bytes.Contains([]byte(s), []byte("STARTTLS")) || bytes.Contains([]byte(s), []byte("LOGIN")) {
		t.Errorf("said %q", s)
	}
	stop()
}

func TestAccountsAreChecked(t *testing.T) {
	ok := Config{Name: "x", Server: "imaps://h", User: "u", PasswordFile: "p", StateDir: "d"}
	if _, err := New(ok, messagetest.New(), obs.Scope{}); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Name = "" }, func(c *Config) { c.Server = "h:993" }, func(c *Config) { c.User = "" },
		func(c *Config) { c.PasswordFile = "" }, func(c *Config) { c.StateDir = "" },
	} {
		c := ok
		change(&c)
		if _, err := New(c, messagetest.New(), obs.Scope{}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}
