package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/hygiene"
	hygienestage "github.com/decodersring/decoder/internal/stage/hygiene"
)

// mailSection measures mail: documents of messages on one core, verdicts on
// two beside rspamd and SpamAssassin, and a service that takes 100 ms.
func mailSection() section {
	return section{"mail", "messages to documents and verdicts, and rspamd and SpamAssassin (Debian's, local checks alone)", benchMail}
}

func benchMail(ctx context.Context, r *report) error {
	n := 30_000
	if r.short {
		n = 5_000
	}
	rate, err := jsonifyRate(n)
	if err != nil {
		return err
	}
	r.add("jsonify, messages of 20 KB, a second of one core", fmt.Sprintf("%.0f/s", rate), "8000/s", fmt.Sprintf("%.2f", rate/8000))
	msgs, what := mailMessages()
	ours, err := verdictRate(ctx, msgs, n)
	if err != nil {
		return err
	}
	r.add("verdict of "+what+", a second of two cores, offline", fmt.Sprintf("%.0f/s", ours), "1000/s", fmt.Sprintf("%.2f", ours/1000))
	for _, peer := range []struct {
		name string
		rate func(context.Context, [][]byte, bool) (float64, error)
	}{{"rspamd", rspamdRate}, {"SpamAssassin", spamdRate}} {
		theirs, err := peer.rate(ctx, msgs, r.short)
		switch {
		case errors.Is(err, errPeerMissing):
			r.add("the same", fmt.Sprintf("%.0f/s", ours), peer.name+" is not installed", "")
		case err != nil:
			return fmt.Errorf("%s: %w", peer.name, err)
		default:
			r.add("the same", fmt.Sprintf("%.0f/s", ours), fmt.Sprintf("%s %.0f/s", peer.name, theirs), fmt.Sprintf("%.1f", ours/theirs))
		}
	}
	calls := 40 * hygienestage.Concurrency // whole waves: a last one that is not full would count against the rate
	if r.short {
		calls = 12 * hygienestage.Concurrency
	}
	slow, err := slowServiceRate(ctx, calls)
	if err != nil {
		return err
	}
	r.add("hygiene as a client of the log, a service of 100 ms, 256 in flight", fmt.Sprintf("%.0f/s", slow), "ideal 2560/s", fmt.Sprintf("%.2f", slow/2560))
	return nil
}

// letter20K is a message as newsletters and offices send them: text, HTML with
// links, and a small picture.
func letter20K(n int) []byte {
	var text, html, pic strings.Builder
	for i := range 51 {
		fmt.Fprintf(&text, "Paragraph %d of message %d says nothing of note, at some length, as paragraphs do.\r\n", i, n)
		fmt.Fprintf(&html, "<tr><td style=3D\"font-family:sans-serif;color:#333\"><p>Paragraph %d of <b>message</b> %d, see =\r\n<a href=3D\"https://www.example.org/a/%d?m=3D%d\">the page</a> for more.</p></td></tr>\r\n", i, n, i, n)
	}
	for range 77 {
		pic.WriteString(strings.Repeat("iVBORw0KGgoAAAANSUhEUgAA", 3) + "\r\n")
	}
	return fmt.Appendf(nil, "Received: from mail.example.org (mail.example.org [198.51.100.7]) by mx1.example.com; Tue, 03 Mar 2026 09:15:02 +0100\r\nDate: Tue, 3 Mar 2026 08:14:58 +0000\r\nFrom: =?utf-8?Q?Gem=C3=BCse?= <news@example.org>\r\nTo: ada@example.com\r\nSubject: Message %d\r\nMessage-ID: <%d@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"o\"\r\n\r\n--o\r\nContent-Type: multipart/alternative; boundary=\"i\"\r\n\r\n--i\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n--i\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n<html><body><table>%s</table></body></html>\r\n--i--\r\n--o\r\nContent-Type: image/png; name=p.png\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--o--\r\n",
		n, n, text.String(), html.String(), pic.String())
}

// jsonifyRate makes documents on one core.
func jsonifyRate(n int) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	msgs := make([][]byte, 64)
	for i := range msgs {
		msgs[i] = letter20K(i)
	}
	start := ownCPU()
	for i := range n {
		doc := mail.Decode(msgs[i%len(msgs)], mail.Delivery{}, mail.Options{})
		if _, err := json.Marshal(doc); err != nil {
			return 0, err
		}
	}
	return float64(n) / (ownCPU() - start).Seconds(), nil
}

// ownCPU is the processor time of this process. Rates are by it, and so are
// the peers': what else the machine does then does not count.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// mailMessages returns real messages where the corpora are, else made ones.
func mailMessages() (msgs [][]byte, what string) {
	if root := os.Getenv("DECODER_CORPORA"); root != "" {
		for _, dir := range []string{"phishing_pot", "spamassassin-corpus"} {
			_ = filepath.WalkDir(filepath.Join(root, "email", dir), func(p string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					if b, err := os.ReadFile(p); err == nil && mail.IsMessage(b) {
						msgs = append(msgs, b)
					}
				}
				return nil
			})
		}
	}
	if len(msgs) > 0 {
		return msgs, fmt.Sprintf("%d real messages", len(msgs))
	}
	for i := range 200 {
		msgs = append(msgs, letter20K(i))
	}
	return msgs, "200 made messages"
}

// verdictRate goes all the way from bytes to the verdict's event.
func verdictRate(ctx context.Context, msgs [][]byte, n int) (float64, error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	lists, err := hygiene.Load("")
	if err != nil {
		return 0, err
	}
	e := hygiene.New(hygiene.Config{}, lists, nil, nil)
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	start := ownCPU()
	for range 2 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				doc := mail.Decode(msgs[i%int64(len(msgs))], mail.Delivery{}, mail.Options{})
				if _, err := hygiene.EventOf(doc, e.Check(ctx, doc), hygiene.Keep{}); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		return 0, fmt.Errorf("%d verdicts could not be written", failed.Load())
	}
	return 2 * float64(n) / (ownCPU() - start).Seconds(), nil
}
