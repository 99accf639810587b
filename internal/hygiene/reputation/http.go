package reputation

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/fault"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// answer is what came back, whatever its status.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// Client is the HTTP client all providers share. Redirects are not followed:
// they would carry keys to another host.
func newHTTPClient() *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 256, MaxConnsPerHost: 512,
			IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 5 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
			ForceAttemptHTTP2: true,
		},
	}
}

// do sends a request. Its errors never name the URL, which may hold a key.
func do(ctx context.Context, c *http.Client, r *http.Request) (answer, error) {
	resp, err := c.Do(r.WithContext(ctx))
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return answer{}, fault.NewRetry(CodeService, fmt.Errorf("calling %s: %w", r.URL.Hostname(), err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, fault.NewRetry(CodeService, fmt.Errorf("reading the answer of %s: %w", r.URL.Hostname(), err))
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

// refusal classes a status that holds no result.
func (a answer) refusal() error {
	err := fmt.Errorf("the service answered with status %d", a.status)
	switch {
	case a.status == http.StatusTooManyRequests, a.status == http.StatusServiceUnavailable && a.header.Get("Retry-After") != "":
		return fault.NewThrottled(CodeThrottled, retryAfter(a.header.Get("Retry-After")), err)
	case a.status == http.StatusUnauthorized, a.status == http.StatusForbidden, a.status == http.StatusPaymentRequired:
		return fault.NewPermanent(CodeRefused, err)
	case a.status >= 400 && a.status < 500 && a.status != http.StatusRequestTimeout:
		return fault.NewPermanent(CodeService, err)
	default:
		return fault.NewRetry(CodeService, err)
	}
}

// retryAfter reads seconds or a date (RFC 9110 section 10.2.3).
func retryAfter(s string) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil && n >= 0 {
		return time.Duration(min(n, 86400)) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil {
		return max(0, time.Until(t))
	}
	return time.Minute
}

// decode reads an answer's JSON. A page where JSON should be is a failure of
// the service, most often of a proxy before it.
func (a answer) decode(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fault.NewRetry(CodeService, errors.New("the answer is not the JSON it should be"))
	}
	return nil
}
