package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/fault"
)

// Headers of a webhook's request.
const (
	headerKey       = "Idempotency-Key"
	headerSignature = "Decoder-Signature"
)

// Codes of failures.
const (
	codeUnreachable = "unreachable" // no connection: the message has not arrived
	codeNoAnswer    = "no_answer"   // it may have
	codeFailed      = "failed"      // the other side failed while it had it: it may have arrived
	codeUnavailable = "unavailable" // it answers that it cannot work now
	codeBusy        = "busy"        // it asks to be left alone for a while
	codeDenied      = "denied"      // credentials are missing or wrong, or the address is
	codeRefused     = "refused"     // it does not want such messages
)

// Waits when the other side asks for one without saying how long.
const (
	aWhile    = 30 * time.Second
	forPerson = time.Minute // until a person has changed something
	longest   = time.Hour
)

// Times and sizes of one attempt.
const (
	sendTimeout = 30 * time.Second
	maxAnswer   = 64 << 10
	maxReason   = 200  // characters of an answer that are shown
	maxChat     = 1900 // bytes of a text: Discord takes 2000 characters, ntfy 4096 bytes
)

// poster tells by HTTP.
type poster struct {
	config Config
	url    *url.URL
	secure *tls.Config
	hide   *strings.Replacer // what of the answer may be secret: many a server repeats what it was asked
}

func newPoster(c Config, secure *tls.Config) (*poster, error) {
	var secret string
	switch c.kind() {
	case kindWebhook:
		secret = c.Webhook.URL.Reveal()
	case kindSlack:
		secret = c.Slack.URL.Reveal()
	case kindNtfy:
		secret = c.Ntfy.URL.Reveal()
	}
	u, err := url.Parse(secret)
	if err != nil {
		return nil, errors.New("the destination's URL cannot be read") // err quotes it
	}
	return &poster{c, u, secure, hiding(secretsOf(c, u)...)}, nil
}

// secretsOf are what lets one in: the URL, whole and in its parts, and what is
// sent in headers.
func secretsOf(c Config, u *url.URL) []string {
	parts := []string{u.String(), u.RequestURI(), u.Path, u.RawQuery}
	for _, list := range u.Query() {
		parts = append(parts, list...)
	}
	if c.Webhook != nil {
		parts = append(parts, c.Webhook.Secret.Reveal())
		for _, value := range c.Webhook.Headers {
			parts = append(parts, value.Reveal())
		}
	}
	if c.Ntfy != nil {
		parts = append(parts, c.Ntfy.Token.Reveal())
	}
	return append(parts, strings.Split(u.Path, "/")...)
}

// hiding replaces secrets, but not those so short that they are in every text.
func hiding(secrets ...string) *strings.Replacer {
	var pairs []string
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // the whole before its parts
	for _, s := range secrets {
		for _, written := range []string{s, html.EscapeString(s)} {
			if len(s) > 4 {
				pairs = append(pairs, written, "***")
			}
		}
	}
	return strings.NewReplacer(pairs...)
}

func (p *poster) send(ctx context.Context, m *message) error {
	header, body, err := p.request(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url.String(), bytes.NewReader(body))
	if err != nil {
		return fault.NewThrottled(codeRefused, forPerson, errors.New("the destination's URL makes no request"))
	}
	r.Header = header
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: p.secure.Clone(), ForceAttemptHTTP2: true, DisableKeepAlives: true,
		MaxResponseHeaderBytes: maxAnswer, TLSHandshakeTimeout: sendTimeout / 2,
	}
	defer transport.CloseIdleConnections()
	answer, err := transport.RoundTrip(r) // which follows no redirect
	if err != nil {
		return p.unanswered(err)
	}
	defer answer.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer)) // the status says enough
	return ofStatus(p.url.Host, answer.StatusCode, retryAfter(answer.Header.Get("Retry-After"), time.Now()), p.hide.Replace(string(said)))
}

// request returns what is sent. A URL or a secret is in no error.
func (p *poster) request(m *message) (http.Header, []byte, error) {
	h := http.Header{"User-Agent": {"decoder"}, headerKey: {m.ID}, "Content-Type": {"application/json"}}
	var (
		body []byte
		err  error
	)
	switch p.config.kind() {
	case kindWebhook:
		body, err = json.Marshal(bodyOf(m))
		for name, value := range p.config.Webhook.Headers {
			h.Set(name, value.Reveal())
		}
		if secret := p.config.Webhook.Secret.Reveal(); secret != "" {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write(body)
			h.Set(headerSignature, "sha256="+hex.EncodeToString(mac.Sum(nil)))
		}
	case kindSlack:
		body, err = json.Marshal(map[string]string{"text": slackText(m)})
	case kindNtfy:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		h.Set("Title", mime.QEncoding.Encode("utf-8", m.Title))
		h.Set("Priority", []string{"3", "2", "3", "4", "5"}[min(max(m.Rank, 0), 4)])
		if m.Link != "" {
			h.Set("Click", m.Link)
		}
		if token := p.config.Ntfy.Token.Reveal(); token != "" {
			h.Set("Authorization", "Bearer "+token)
		}
		body = []byte(m.whole(maxChat))
	}
	return h, body, err
}

// webhookBody is what a webhook gets. Text is for people and safe to show; the
// values in Alerts are for programs, and not defanged.
type webhookBody struct {
	Version  int      `json:"version"` // 1
	ID       string   `json:"id"`      // of the message, as in Idempotency-Key
	Title    string   `json:"title"`
	Text     string   `json:"text"`
	Link     string   `json:"link,omitempty"`
	Severity string   `json:"severity"`
	Alerts   []*alert `json:"alerts"` // at most 20 groups, the worst first
	More     int      `json:"more"`   // groups not among them
	Events   []string `json:"events"` // event.id of the alerts told of, at most 1000
}

func bodyOf(m *message) webhookBody {
	return webhookBody{1, m.ID, m.Title, m.Text, m.Link, severities[m.Rank], m.Alerts, m.More, m.Events}
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// slackText is a block of code, in which no server knows any markup, and the
// link below it. Slack wants three characters escaped wherever they stand
// (docs.slack.dev, "Formatting message text").
func slackText(m *message) string {
	const fence = "```\n"
	text := cut(slackEscapes.Replace(strings.ReplaceAll(m.Text, "`", "'")), maxChat-len(m.Link)-2*len(fence)-1)
	text = fence + text + fence
	if m.Link != "" {
		text += slackEscapes.Replace(m.Link)
	}
	return text
}

// unanswered classes that no answer came.
func (p *poster) unanswered(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	code := codeNoAnswer
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		code = codeUnreachable
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		code = codeUnreachable
	}
	return fault.NewRetry(code, fmt.Errorf("calling %s: %w", p.url.Host, err))
}

// ofStatus classes an answer. None is an alert's fault: what is told is bounded
// and plain, and a destination that takes none of it has to be looked at.
func ofStatus(host string, status int, after time.Duration, said string) error {
	answers := func(what string) error {
		if said = clean(said, maxReason); said != "" {
			what += ": " + said
		}
		return fmt.Errorf("%s answers %d %s%s", host, status, http.StatusText(status), what)
	}
	wait := aWhile
	if after > 0 {
		wait = after
	}
	switch {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusTooManyRequests:
		return fault.NewThrottled(codeBusy, wait, answers(""))
	case status == http.StatusServiceUnavailable && after > 0:
		return fault.NewThrottled(codeUnavailable, wait, answers(""))
	case status == http.StatusServiceUnavailable, status == http.StatusRequestTimeout:
		return fault.NewRetry(codeUnavailable, answers(""))
	case status >= 500:
		return fault.NewRetry(codeFailed, answers(""))
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.NewThrottled(codeDenied, forPerson, answers(", so it does not accept the URL, the token or the secret"))
	case status == http.StatusNotFound, status == http.StatusGone:
		return fault.NewThrottled(codeDenied, forPerson, answers(", so the URL is wrong or has been withdrawn"))
	case status >= 300 && status < 400:
		return fault.NewThrottled(codeRefused, forPerson, answers(", and no redirect is followed: give the address it leads to"))
	}
	return fault.NewThrottled(codeRefused, forPerson, answers(""))
}

// retryAfter reads a number of seconds or a date (RFC 9110, 10.2.3); 0 is none.
func retryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(min(max(n, 0), int(longest.Seconds()))) * time.Second
	}
	if at, err := http.ParseTime(s); err == nil {
		return min(max(at.Sub(now), 0), longest)
	}
	return 0
}
