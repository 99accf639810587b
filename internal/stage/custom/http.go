package custom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
)

const (
	maxAnswer      = 1 << 20
	defaultTimeout = 30 * time.Second
	// fetched and incomplete say in the document what came from outside: when
	// the answer was given, or that there was none.
	fetched    = "fetched"
	incomplete = "incomplete"
)

// caller asks a service about each event and merges what it answers.
type caller struct {
	name   string
	to     string
	config HTTP
	client *http.Client
	now    func() time.Time
	asked  sample
}

func newCaller(c Config) *caller {
	timeout := time.Duration(c.Timeout)
	if timeout == 0 {
		timeout = defaultTimeout
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: max(c.Concurrency, 2), IdleConnTimeout: time.Minute,
	}
	return &caller{name: c.Name, to: c.To, config: *c.HTTP, client: &http.Client{Timeout: timeout, Transport: transport}, now: time.Now}
}

func (h HTTP) validate() error {
	u, err := url.Parse(h.URL)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return config.Fieldf("http", "url: want http://… or https://…")
	}
	if h.Merge == "" || strings.HasPrefix(h.Merge, ".") || strings.HasSuffix(h.Merge, ".") || strings.Contains(h.Merge, "..") {
		return config.Fieldf("http", "merge: want the field that gets the answer, as service.answer")
	}
	return nil
}

// Handle implements [client.Stage].
func (c *caller) Handle(ctx context.Context, in *client.Record, out *client.Output) error {
	e, err := see(in)
	if err != nil {
		return err
	}
	document, is := e.Event.(map[string]any)
	if !is {
		return fault.NewPermanent(CodeNoJSON, errors.New("the value is no object"))
	}
	answer, err := c.ask(ctx, in.Value)
	c.note(in, err)
	switch {
	case err == nil:
		document = put(document, c.config.Merge, answer)
		document = put(document, "decoder."+fetched+"."+c.name, c.now().UTC().Format(time.RFC3339Nano))
	case c.config.Partial && fault.Of(err).Class == fault.Retry && ctx.Err() == nil:
		document = put(document, "decoder."+incomplete+"."+c.name, fault.Of(err).Code)
	default:
		return err
	}
	return emit(out, in, c.name, c.to, in.Key, document, 0)
}

func (c *caller) note(in *client.Record, err error) {
	if err == nil {
		c.asked.answered(in)
	} else if fault.Of(err).Class == fault.Retry {
		c.asked.failed(in)
	}
}

// ask sends a copy of the body, which is the record's while that is handled: a
// transport may read on for a moment after it has returned.
func (c *caller) ask(ctx context.Context, body []byte) (any, error) {
	method := c.config.Method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, c.config.URL, bytes.NewReader(bytes.Clone(body)))
	if err != nil {
		return nil, fault.NewPermanent("http_request", err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, value := range c.config.Headers {
		request.Header.Set(name, value.Reveal())
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, fault.NewRetry("http_unreachable", err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err != nil {
		return nil, fault.NewRetry("http_unreachable", err)
	}
	if err := status(response, c.now()); err != nil {
		return nil, err
	}
	if len(text) > maxAnswer {
		return nil, fault.NewPermanent("http_answer", fmt.Errorf("the answer is larger than %d bytes", maxAnswer))
	}
	var answer any
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fault.NewPermanent("http_answer", err)
	}
	return answer, nil
}

// status classes a response (RFC 9110): what the service says of the request
// is the record's fault, what it says of itself is worth a retry.
func status(r *http.Response, now time.Time) error {
	err := fmt.Errorf("the service answers %s", r.Status)
	switch code := r.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "":
		return fault.NewThrottled("http_"+strconv.Itoa(code), retryAfter(r.Header.Get("Retry-After"), now), err)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusUnauthorized,
		code == http.StatusForbidden, code == http.StatusProxyAuthRequired, code >= 500:
		return fault.NewRetry("http_"+strconv.Itoa(code), err)
	default:
		return fault.NewPermanent("http_"+strconv.Itoa(code), err)
	}
}

// retryAfter reads the header (RFC 9110, 10.2.3); without one it is a second.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return time.Second
}

// Check implements [client.Checker]. A service that takes connections and
// answers none, or everything with an error of its own, is away: it is asked
// with a record that it has answered before.
func (c *caller) Check(ctx context.Context) error {
	if c.config.Check != "" {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.Check, nil)
		if err != nil {
			return err
		}
		response, err := c.client.Do(request)
		if err != nil {
			return err
		}
		_ = response.Body.Close() // only its status counts
		return status(response, c.now())
	}
	if err := c.dial(ctx); err != nil {
		return err
	}
	known := c.asked.pick()
	if known == nil {
		return nil
	}
	_, err := c.ask(ctx, known.Value)
	switch {
	case err == nil:
		c.asked.answered(known)
	case fault.Of(err).Class == fault.Permanent: // an answer
		return nil
	}
	return err
}

func (c *caller) dial(ctx context.Context) error {
	u, err := url.Parse(c.config.URL)
	if err != nil {
		return err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return conn.Close()
}

// Close implements [client.Closer].
func (c *caller) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// put returns a copy of the object with the dotted field set; what is no
// object on the way is replaced.
func put(object map[string]any, field string, value any) map[string]any {
	name, rest, deeper := strings.Cut(field, ".")
	if !deeper {
		return merged(object, name, value)
	}
	inner, _ := object[name].(map[string]any)
	return merged(object, name, put(inner, rest, value))
}
