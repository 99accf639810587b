package mail_test

import (
	"fmt"
	"io"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// mailboxes is an LMTP server that keeps what Postfix delivers.
type mailboxes struct{ got chan *mail.Message }

func (b *mailboxes) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return &session{b: b}, nil }

type session struct {
	b  *mailboxes
	to string
}

func (s *session) Reset()                                      {}
func (s *session) Logout() error                               { return nil }
func (s *session) Mail(string, *gosmtp.MailOptions) error      { return nil }
func (s *session) Rcpt(to string, _ *gosmtp.RcptOptions) error { s.to = to; return nil }
func (s *session) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	m.Body = strings.NewReader(string(body))
	if strings.HasPrefix(s.to, "on-call@") {
		s.b.got <- m
	}
	return nil
}

// TestANotificationArrivesByPostfixOverAKill takes bad mail in by a real
// Postfix, and has it tell of it. The program's own notifications pass through
// the same Postfix, and so through the program: it must not tell of those.
func TestANotificationArrivesByPostfixOverAKill(t *testing.T) {
	programs := need(t, "postfix")
	c := childConfig{Dir: t.TempDir(), LMTP: freePort(t), Milter: freePort(t)}
	o := postfixOptions{smtp: freePort(t), mailbox: freePort(t), journal: c.LMTP}
	c.More = fmt.Sprintf(`notify:
  - name: on-call
    severity: low
    every: 1s
    mail: {server: "smtp://127.0.0.1:%d", from: "Decoder Ring <decoder@example.test>", to: [on-call@example.test]}
`, o.smtp)
	box := &mailboxes{make(chan *mail.Message, 100)}
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", o.mailbox))
	if err != nil {
		t.Fatal(err)
	}
	server := gosmtp.NewServer(box)
	server.LMTP, server.Domain = true, "mailbox.test"
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	postfix(t, programs, o)

	seen := map[string]int{} // how often each Message-ID came
	arrives := func(about string) *mail.Message {
		t.Helper()
		for {
			select {
			case m := <-box.got:
				id := m.Header.Get("Message-Id")
				if seen[id]++; seen[id] == 1 {
					if subject := m.Header.Get("Subject"); !strings.Contains(subject, about) {
						t.Errorf("told of %q", subject)
					}
					return m
				}
			case <-time.After(60 * time.Second):
				t.Fatalf("nobody is told of %s", about)
			}
		}
	}
	forged := func(n int) {
		t.Helper()
		text := fmt.Sprintf("Date: %s\r\nFrom: PayPal Service ,_<x@paypa%d.example>\r\nTo: bob@example.test\r\nSubject: Final notice %d\r\nMessage-ID: <%d@x>\r\n\r\nhttps://x%d.sbs/\r\n",
			time.Now().Format(time.RFC1123Z), n, n, n, n)
		if err := send(o.smtp, fmt.Sprintf("x@paypa%d.example", n), text); err != nil {
			t.Fatal(err)
		}
	}
	ch := startChild(t, c)
	forged(1)
	m := arrives("paypa1")
	ch.kill()
	body, err := io.ReadAll(m.Body)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(body); strings.Contains(text, "://x1") || !strings.Contains(text, "Harmless if") || m.Header.Get("Auto-Submitted") != "auto-generated" || m.Header.Get("References") == "" {
		t.Errorf("it was told\n%v\n%s", m.Header, text)
	}
	ch = startChild(t, c)
	forged(2)
	arrives("paypa2")
	stored, _ := ch.await(t, 4, 60*time.Second) // two of others, two of its own
	ch.stop(t)
	if log := ch.log.String(); stored < 4 || strings.Contains(log, "panic") {
		t.Errorf("%d verdicts\n%s", stored, log)
	}
	if len(box.got) > 0 {
		more := <-box.got
		if id := more.Header.Get("Message-Id"); seen[id] == 0 {
			t.Errorf("it tells of its own notification, or twice: %v", more.Header)
		}
	}
	if len(seen) != 2 {
		t.Errorf("%d messages, want 2: %v", len(seen), seen)
	}
}
