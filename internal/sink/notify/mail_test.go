package notify

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
)

// postOffice is a mail server that says what it is told to.
type postOffice struct {
	t       testing.TB
	l       net.Listener
	secure  *tls.Config // with a certificate for 127.0.0.1
	client  *tls.Config // that trusts it
	offers  []string    // extensions
	replies map[string]string

	mu    sync.Mutex
	heard []string // commands
	mails []string
}

func openPostOffice(t testing.TB, direct bool, offers ...string) *postOffice {
	t.Helper()
	cert := httptest.NewUnstartedServer(http.NotFoundHandler())
	cert.Config.ErrorLog = log.New(io.Discard, "", 0)
	cert.StartTLS()
	t.Cleanup(cert.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &postOffice{t: t, l: l, offers: offers, secure: &tls.Config{Certificates: cert.TLS.Certificates}, client: cert.Client().Transport.(*http.Transport).TLSClientConfig, replies: map[string]string{}}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(conn, direct) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return p
}

func (p *postOffice) serve(conn net.Conn, direct bool) {
	defer func() { _ = conn.Close() }()
	if direct {
		conn = tls.Server(conn, p.secure)
	}
	c := textproto.NewConn(conn)
	say := func(line string) { _ = c.PrintfLine("%s", line) }
	say("220 mail.example")
	for {
		line, err := c.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(line, " ")
		p.mu.Lock()
		p.heard = append(p.heard, line)
		reply := cmp.Or(p.replies[line], p.replies[verb])
		p.mu.Unlock()
		switch {
		case reply == "hang up":
			return
		case reply == "say nothing":
			_, _ = io.Copy(io.Discard, conn)
			return
		case reply == "say all":
			for err = nil; err == nil; {
				_, err = io.WriteString(conn, "250-"+strings.Repeat("x", 1000))
			}
			return
		case reply != "":
			say(reply)
		case verb == "EHLO":
			say("250-" + strings.Join(append([]string{"mail.example"}, p.offers...), "\r\n250-"))
			say("250 8BITMIME")
		case verb == "STARTTLS":
			say("220 go")
			c = textproto.NewConn(tls.Server(conn, p.secure))
		case verb == "AUTH":
			say("235 yes")
		case verb == "DATA":
			say("354 go")
			body, err := io.ReadAll(c.DotReader())
			if err != nil {
				return
			}
			p.mu.Lock()
			p.mails = append(p.mails, string(body))
			after := p.replies["."]
			p.mu.Unlock()
			if after == "hang up" {
				return
			}
			say("250 taken")
		case verb == "QUIT":
			say("421 whatever")
			return
		default:
			say("250 ok")
		}
	}
}

// destination returns a mailer to the post office, as if it were another
// machine's unless plain.
func (p *postOffice) destination(scheme string, plain bool) *mailer {
	p.t.Helper()
	c := Config{Name: "x", Mail: &Mail{
		Server: scheme + "://" + p.l.Addr().String(), User: "decoder", Password: config.NewSecret("hush hush"),
		From: "d@mine.example", To: []string{"bob@mine.example", "eve@mine.example"},
	}}
	if err := c.Validate(); err != nil {
		p.t.Fatal(err)
	}
	m, err := newMailer(c, p.client)
	if err != nil {
		p.t.Fatal(err)
	}
	m.server.plain = plain
	return m
}

func TestMailGoesOutEncryptedAndSignedIn(t *testing.T) {
	want := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00decoder\x00hush hush"))
	for name, c := range map[string]struct {
		scheme string
		offers []string
		plain  bool
	}{
		"smtps":    {"smtps", []string{"AUTH PLAIN LOGIN"}, false},
		"STARTTLS": {"smtp", []string{"STARTTLS", "AUTH LOGIN PLAIN"}, false},
		"loopback": {"smtp", []string{"AUTH PLAIN"}, true},
	} {
		p := openPostOffice(t, c.scheme == "smtps", c.offers...)
		if err := p.destination(c.scheme, c.plain).send(t.Context(), told(t, record(t, nil))); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		heard := strings.Join(p.heard, "\n")
		if len(p.mails) != 1 || !strings.Contains(p.mails[0], "Subject: HIGH: Trojan calls evil[.]example\n") || !strings.Contains(heard, want) ||
			!strings.Contains(heard, "RCPT TO:<eve@mine.example>") || strings.Contains(heard, "STARTTLS") != (name == "STARTTLS") {
			t.Errorf("%s: heard\n%s\ngot %q", name, heard, p.mails)
		}
	}
}

func TestWhatAMailServerRefusesIsClassed(t *testing.T) {
	for name, c := range map[string]struct {
		verb, reply string
		class       fault.Class
		code, text  string
	}{
		"password shown": {"AUTH", "535 5.7.8 hush hush is wrong", fault.Throttled, codeDenied, "*** is wrong"},
		"password":       {"AUTH", "535 5.7.8 authentication failed", fault.Throttled, codeDenied, "does not accept user and password"},
		"auth later":     {"AUTH", "454 4.7.0 try later", fault.Throttled, codeBusy, "try later"},
		"sender":         {"MAIL", "550 5.1.8 who?", fault.Throttled, codeRefused, "who?"},
		"greylisted":     {"RCPT", "451 4.7.1 later", fault.Throttled, codeBusy, "later"},
		"no such person": {"RCPT", "550 5.1.1 no such person", fault.Throttled, codeRefused, "bob@mine.example"},
		"contents":       {"DATA", "554 5.7.1 spam", fault.Throttled, codeRefused, "spam"},
		"gone before":    {"MAIL", "hang up", fault.Retry, codeUnreachable, ""},
		"gone after":     {".", "hang up", fault.Retry, codeNoAnswer, ""},
	} {
		p := openPostOffice(t, false, "STARTTLS", "AUTH PLAIN")
		p.replies[c.verb] = c.reply
		err := p.destination("smtp", false).send(t.Context(), told(t, record(t, nil)))
		if err == nil {
			t.Errorf("%s: it is taken", name)
			continue
		}
		if got := fault.Of(err); got.Class != c.class || got.Code != c.code || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: got %v %v", name, got.Class, err)
		}
	}
}

func TestNothingIsSaidToAServerThatIsNotTrusted(t *testing.T) {
	msg := told(t, record(t, nil))
	none := openPostOffice(t, false, "AUTH PLAIN") // no STARTTLS
	strange := openPostOffice(t, false, "STARTTLS", "AUTH PLAIN")
	direct := openPostOffice(t, true, "AUTH PLAIN")
	for p, m := range map[*postOffice]*mailer{none: none.destination("smtp", false), strange: strange.destination("smtp", false), direct: direct.destination("smtps", false)} {
		if p != none {
			m.secure.RootCAs = nil
		}
		err := m.send(t.Context(), msg)
		if err == nil || fault.Of(err).Code != codeUnreachable {
			t.Errorf("got %v", err)
		}
		for _, said := range p.heard {
			if strings.HasPrefix(said, "AUTH") || strings.HasPrefix(said, "MAIL") {
				t.Errorf("it is told %q", said)
			}
		}
	}
	_ = none.l.Close()
	if err := none.destination("smtp", true).send(t.Context(), msg); err == nil || fault.Of(err).Code != codeUnreachable || fault.Of(err).Class != fault.Retry {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestAMailServerThatGoesOnForEverIsLeft(t *testing.T) {
	for reply, want := range map[string]string{"say all": "says more than any", "say nothing": ""} {
		for _, verb := range []string{"EHLO", "MAIL"} {
			p := openPostOffice(t, false, "AUTH PLAIN")
			p.replies[verb] = reply
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			if reply == "say nothing" {
				cancel()
				ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
			}
			began := time.Now()
			err := p.destination("smtp", true).send(ctx, told(t, record(t, nil)))
			if err == nil || !strings.Contains(err.Error(), want) || time.Since(began) > 4*time.Second {
				t.Errorf("%s to %s: %v after %v", reply, verb, err, time.Since(began))
			}
			cancel()
		}
	}
}

func TestOneWhoIsRefusedKeepsNobodyElseFromBeingTold(t *testing.T) {
	p := openPostOffice(t, false, "AUTH PLAIN")
	p.replies["RCPT TO:<bob@mine.example>"] = "550 5.1.1 no such person"
	m := p.destination("smtp", true)
	l := begin(t, t.TempDir(), listen(t).config())
	l.to = m
	l.raise("a/1/high")
	l.flush(nil)
	l.raise("a/2/high")
	l.flush(nil)
	if len(p.mails) != 1 || strings.Contains(p.mails[0], "bob@") || !strings.Contains(p.mails[0], "eve@mine.example") {
		t.Errorf("mails %q", p.mails)
	}
	if s, err := l.Status(t.Context()); err != nil || s.Waiting != 0 || s.Told.IsZero() || !strings.Contains(s.Error, "nothing for bob@mine.example; the others are told") {
		t.Errorf("%+v, %v", s, err)
	}
	if err := l.Test(t.Context()); err == nil {
		t.Error("a trial does not say so")
	}
	p.replies["RCPT TO:<eve@mine.example>"] = "550 5.1.1 nor she"
	if err := m.send(t.Context(), told(t, record(t, nil))); fault.Of(err).Code != codeRefused || !strings.Contains(err.Error(), "nor she") {
		t.Errorf("all are refused: %v", err)
	}
}

func TestTheDomainOfMessageIDsIsTheSenders(t *testing.T) {
	for _, from := range []string{"d@mine.example", "<d@mine.example>", "Decoder <d@mine.example>", "d@mine.example (the program)"} {
		m, err := newMailer(Config{Mail: &Mail{Server: "smtp://127.0.0.1", From: from, To: []string{"bob@mine.example"}}}, nil)
		if err != nil || m.domain != "mine.example" {
			t.Errorf("%s: %+v, %v", from, m, err)
		}
	}
}
