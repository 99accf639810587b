// Package mail_test runs mail through real servers, Debian's Postfix and
// Dovecot as plain processes on loopback ports, into log, stages and store.
package mail_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// deliver sends messages first to last (exclusive) to Postfix over a few
// connections, each until it is accepted.
func deliver(t *testing.T, port, first, last int) {
	t.Helper()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := range next {
				deadline := time.Now().Add(60 * time.Second)
				for {
					err := send(port, fmt.Sprintf("ada%d@example.net", n), letter(n))
					if err == nil {
						break
					}
					if time.Now().After(deadline) {
						t.Errorf("message %d: %v", n, err)
						break
					}
					time.Sleep(100 * time.Millisecond) // as a mail server does: there is no event for "the peer is back"
				}
			}
		})
	}
	for n := first; n < last; n++ {
		next <- n
	}
	close(next)
	wg.Wait()
}

// send hands one message to Postfix.
func send(port int, from, text string) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), 5*time.Second)
	if err != nil {
		return err
	}
	c := gosmtp.NewClient(conn)
	defer c.Close()
	if err := c.Hello("sender.example.net"); err != nil {
		return err
	}
	return c.SendMail(from, []string{"bob@example.test"}, strings.NewReader(text))
}

// letter is the n-th message: as different as mail is in the ways that ways of
// delivery might disagree about.
func letter(n int) string {
	subject := fmt.Sprintf("Subject: letter %d\r\n", n)
	body := fmt.Sprintf("Hello,\r\n\r\nthis is letter %d.\r\n.\r\n..\r\nFrom the start of a line.\r\n", n)
	switch n % 5 {
	case 1:
		subject = fmt.Sprintf("Subject:  folded\r\n\tover %d\r\n lines \r\n", n)
	case 2:
		body += strings.Repeat("x", 900) + "\r\n\r\n\r\n"
	case 3:
		subject = fmt.Sprintf("Subject: =?utf-8?Q?=C3=84pfel_%d?=\r\n", n)
		body = "--b\r\nContent-Type: text/html\r\n\r\n<a href=\"http://host" + strconv.Itoa(n) + ".example/\">x</a>\r\n--b--\r\n"
	case 4:
		body = strconv.Itoa(n) + "\r\n"
	}
	media := ""
	if n%5 == 3 {
		media = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
	}
	return fmt.Sprintf("Date: Tue, 3 Mar 2026 09:15:02 +0100\r\nFrom: Ada <ada%d@example.net>\r\nTo: bob@example.test\r\n%sMessage-ID: <%d@example.net>\r\n%s\r\n%s", n, subject, n, media, body)
}

type set struct {
	child   childConfig
	postfix postfixOptions
}

// servers starts Postfix and Dovecot; what the child offers them is not there
// yet.
func servers(t *testing.T) set {
	t.Helper()
	programs := need(t, "postfix", "dovecot")
	dir := t.TempDir()
	pass := filepath.Join(dir, "password")
	if err := os.WriteFile(pass, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := set{child: childConfig{Dir: dir, LMTP: freePort(t), Milter: freePort(t), IMAP: freePort(t), Pass: pass}}
	s.postfix = postfixOptions{
		smtp: freePort(t), mailbox: freePort(t), journal: s.child.LMTP, milter: fmt.Sprintf("inet:127.0.0.1:%d", s.child.Milter),
	}
	dovecot(t, programs, s.child.IMAP, s.postfix.mailbox)
	postfix(t, programs, s.postfix)
	return s
}

func TestAThousandMessagesByLMTPMilterAndIMAPAreEachStoredOnce(t *testing.T) {
	s := servers(t)
	ch := startChild(t, s.child)
	deliver(t, s.postfix.smtp, 0, 1000)
	stored, distinct := ch.await(t, 1000, 60*time.Second)
	if stored != 1000 || distinct != 1000 {
		t.Errorf("%d verdicts of %d messages, want 1000 of 1000", stored, distinct)
	}
	allWays(t, s, ch, 1000)
}

// allWays ends the program and wants every message to have come by each way.
func allWays(t *testing.T, s set, ch *child, n int) {
	t.Helper()
	ch.stop(t)
	counts := appended(t, s.child.Dir)
	for range 5 { // the mailbox may be behind the other ways: the next start goes on in it
		if counts["imap"] >= n {
			break
		}
		ch = startChild(t, s.child)
		<-time.After(2 * time.Second)
		if stored, distinct := ch.await(t, n, 60*time.Second); stored != n || distinct != n {
			t.Errorf("%d verdicts of %d messages, want %d", stored, distinct, n)
		}
		ch.stop(t)
		counts = appended(t, s.child.Dir)
	}
	for way, got := range counts {
		if got != n {
			t.Errorf("%d messages came by %s, want %d", got, way, n)
		}
	}
}

func TestKilledInTheMiddleNothingIsLostAndNothingIsTwice(t *testing.T) {
	const n = 1000
	s := servers(t)
	ch := startChild(t, s.child)
	sent := make(chan struct{})
	go func() { deliver(t, s.postfix.smtp, 0, n); close(sent) }()
	for _, at := range []int{50, 250, 500, 750} {
		ch.await(t, at, 2*time.Minute)
		ch.kill()
		ch = startChild(t, s.child)
	}
	select {
	case <-sent:
		// Postfix may keep the last of the journal for as long as it waits
		// between attempts.
	case <-time.After(3 * time.Minute):
		t.Fatal("the server does not take all messages")
	}
	stored, distinct := ch.await(t, n, 2*time.Minute)
	if stored != n || distinct != n {
		t.Errorf("%d verdicts of %d messages, want %d", stored, distinct, n)
	}
	allWays(t, s, ch, n)
}

func TestWhileTheProgramIsDownTheServerKeepsTheMail(t *testing.T) {
	s := servers(t)
	s.postfix.milter = "" // the journal alone
	s.postfix.smtp = freePort(t)
	s.child.IMAP = 0
	postfix(t, need(t, "postfix"), s.postfix)
	deliver(t, s.postfix.smtp, 0, 50)
	ch := startChild(t, s.child)
	stored, distinct := ch.await(t, 50, 60*time.Second)
	ch.stop(t)
	if stored != 50 || distinct != 50 {
		t.Errorf("%d verdicts of %d messages, want 50 of 50", stored, distinct)
	}
}
