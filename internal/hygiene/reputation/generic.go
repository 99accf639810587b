package reputation

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/fault"
)

// HTTPConfig describes a service that the program does not know by name. In
// URL, Body and header values {ip}, {domain}, {url}, {sha256} or {email} stands
// for the value, escaped for where it stands, and {key} for the key.
type HTTPConfig struct {
	Name     string
	Kinds    []Kind
	Method   string // GET
	URL      string
	Headers  map[string]string
	Body     string // a JSON or form template
	Key      config.Secret
	OK       []int // statuses that hold a result; 200
	NotFound []int // statuses that say unknown; 404
	// Error points (RFC 6901) at what marks an error that comes with a good
	// status; any value but null, false, "" and 0 is one, unless ErrorOK lists
	// the values that are none.
	Error   string
	ErrorOK []string
	// Verdict points at a value that is bad when Bad lists it, clean when Clean
	// does, else unknown. Score points at a number that is bad from From on.
	Verdict string
	Bad     []string
	Clean   []string
	Score   string
	From    float64
	Scale   float64 // what the service's highest score is; 100
	Detail  string  // points at text for the evidence
}

// HTTP returns the generic provider. Its errors say what is wrong with the
// description.
func HTTP(c HTTPConfig) (Provider, error) {
	if c.Name == "" || len(c.Kinds) == 0 || c.Verdict == "" && c.Score == "" {
		return nil, errors.New("a service needs a name, kinds, and a verdict or score to read")
	}
	if u, err := url.Parse(fill(c.URL, "x", "x", "x", nil)); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("service %s: its URL is none", c.Name)
	}
	for _, p := range []string{c.Error, c.Verdict, c.Score, c.Detail} {
		if p != "" && p[0] != '/' {
			return nil, fmt.Errorf("service %s: %q is no JSON Pointer", c.Name, p)
		}
	}
	set(&c.Method, http.MethodGet)
	set(&c.Scale, 100)
	if len(c.OK) == 0 {
		c.OK = []int{http.StatusOK}
	}
	if len(c.NotFound) == 0 {
		c.NotFound = []int{http.StatusNotFound}
	}
	return &service{name: c.Name, kinds: c.Kinds, client: newHTTPClient(), ask: c.request, read: c.read}, nil
}

// fill replaces the value's and the key's places.
func fill(s, kind, value, key string, escape func(string) string) string {
	if escape != nil {
		value, key = escape(value), escape(key)
	}
	return strings.NewReplacer("{"+kind+"}", value, "{value}", value, "{key}", key).Replace(s)
}

func (c HTTPConfig) request(k Kind, v string) (*http.Request, error) {
	key := c.Key.Reveal()
	body := ""
	if c.Body != "" {
		escape := url.QueryEscape
		if strings.HasPrefix(strings.TrimSpace(c.Body), "{") {
			escape = func(s string) string {
				b, err := json.Marshal(s)
				if err != nil {
					return ""
				}
				return string(b[1 : len(b)-1])
			}
		}
		body = fill(c.Body, string(k), v, key, escape)
	}
	path, query, _ := strings.Cut(c.URL, "?")
	u := fill(path, string(k), v, key, url.PathEscape)
	if query != "" {
		u += "?" + fill(query, string(k), v, key, url.QueryEscape)
	}
	r, err := http.NewRequest(c.Method, u, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, value := range c.Headers {
		value = fill(value, string(k), v, key, nil)
		if strings.ContainsAny(value, "\r\n") {
			return nil, errors.New("a header value holds a line end")
		}
		r.Header.Set(name, value)
	}
	return r, nil
}

func (c HTTPConfig) read(_ Kind, a answer) (Result, error) {
	if slices.Contains(c.NotFound, a.status) {
		return Result{Verdict: Unknown}, nil
	}
	if !slices.Contains(c.OK, a.status) {
		return Result{}, a.refusal()
	}
	var doc any
	if err := a.decode(&doc); err != nil {
		return Result{}, err
	}
	if c.Error != "" {
		if v, ok := pointer(doc, c.Error); ok && !c.harmless(v) {
			return Result{}, fault.NewRetry(CodeService, errors.New("the answer reports an error"))
		}
	}
	r := Result{Verdict: Unknown}
	if d, ok := pointer(doc, c.Detail); ok && c.Detail != "" {
		r.Detail = mail.Truncate(text(d), 200)
	}
	if c.Verdict != "" {
		if v, ok := pointer(doc, c.Verdict); ok {
			switch s := text(v); {
			case slices.Contains(c.Bad, s):
				r.Verdict = Bad
			case slices.Contains(c.Clean, s):
				r.Verdict = Clean
			}
		}
	}
	if c.Score != "" {
		if v, ok := pointer(doc, c.Score); ok {
			n, err := strconv.ParseFloat(text(v), 64)
			if err != nil {
				return Result{}, fault.NewRetry(CodeService, errors.New("the score is no number"))
			}
			if n >= c.From {
				r.Verdict, r.Score = Bad, min(100, max(1, 100*n/c.Scale))
			} else if r.Verdict == Unknown && c.Verdict == "" {
				r.Verdict = Clean
			}
		}
	}
	return r, nil
}

func (c HTTPConfig) harmless(v any) bool {
	if len(c.ErrorOK) > 0 {
		return slices.Contains(c.ErrorOK, text(v))
	}
	switch t := v.(type) {
	case nil:
		return true
	case bool:
		return !t
	case string:
		return t == ""
	case float64:
		return t == 0
	case []any:
		return len(t) == 0
	}
	return false
}

// pointer follows a JSON Pointer (RFC 6901).
func pointer(doc any, p string) (any, bool) {
	if p == "" {
		return doc, true
	}
	for tok := range strings.SplitSeq(p[1:], "/") {
		tok = strings.NewReplacer("~1", "/", "~0", "~").Replace(tok)
		switch t := doc.(type) {
		case map[string]any:
			v, ok := t[tok]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(t) {
				return nil, false
			}
			doc = t[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

func text(v any) string {
	switch t := v.(type) {
	case nil:
		return ""
	case string:
		return t
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(t)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}
