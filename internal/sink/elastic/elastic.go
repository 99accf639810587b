package elastic

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// Sink writes events and alerts to a cluster. It implements client.Sink and
// client.Checker, and may be used concurrently.
type Sink struct {
	base     *url.URL
	header   http.Header
	client   *http.Client
	prefix   string
	template bool
	scope    obs.Scope
	metrics  metrics
	zips     sync.Pool // *gzip.Writer: one takes a megabyte

	mu       sync.Mutex
	prepared bool
	state    obs.Level // as last reported
}

// New returns a sink on what the configuration names; secure is for https, nil
// for the system's certificates.
func New(c Config, secure *tls.Config, scope obs.Scope) (*Sink, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("reading elastic.url: %w", err)
	}
	s := &Sink{
		base: base, prefix: c.Prefix, template: c.Template, scope: scope, metrics: newMetrics(scope),
		header: http.Header{"Accept": {"application/json"}, "User-Agent": {"decoder"}},
		client: &http.Client{
			// A redirect would carry credentials to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Transport: &http.Transport{
				Proxy: http.ProxyFromEnvironment, TLSClientConfig: secure, ForceAttemptHTTP2: true,
				MaxConnsPerHost: 4, MaxIdleConnsPerHost: 4, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second,
			},
		},
	}
	s.zips.New = func() any {
		z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // errs only for a level that does not exist
		return z
	}
	s.authorise(c.User, c.Password, c.APIKey)
	return s, nil
}

func (s *Sink) authorise(user string, password, key config.Secret) {
	switch {
	case key.Reveal() != "":
		s.header.Set("Authorization", "ApiKey "+key.Reveal())
	case user != "":
		r := http.Request{Header: s.header}
		r.SetBasicAuth(user, password.Reveal())
	}
}

// Close lets go of idle connections.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}

// Write sends a batch by one bulk request. Documents that are there already
// count as written.
func (s *Sink) Write(ctx context.Context, batch []*client.Record) error {
	err := s.write(ctx, batch)
	s.report(err)
	return err
}

func (s *Sink) write(ctx context.Context, batch []*client.Record) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	refused := client.RecordErrors{}
	body, sent := s.encode(batch, refused)
	if len(sent) > 0 {
		answers, err := s.bulk(ctx, body, len(sent))
		if err != nil {
			return err
		}
		s.judge(answers, sent, refused)
	}
	if len(refused) > 0 {
		return refused
	}
	return nil
}

// judge adds the errors of single documents to refused.
func (s *Sink) judge(answers []item, sent []int, refused client.RecordErrors) {
	counts := map[string]int{}
	for i, a := range answers {
		switch {
		case a.Status == http.StatusConflict: // create: it is there already
			counts[resultKnown]++
		case a.Status >= 200 && a.Status < 300:
			counts[resultCreated]++
		default:
			err := refusal(a.Status, a.Error, 0)
			refused[sent[i]] = err
			if fault.Of(err).Class == fault.Permanent {
				counts[resultRefused]++
			} else {
				counts[resultDelayed]++
			}
		}
	}
	for result, n := range counts {
		s.metrics.documents.WithLabelValues(result).Add(float64(n))
	}
}

// Check reports whether the cluster answers, and to these credentials.
func (s *Sink) Check(ctx context.Context) error {
	_, err := s.server(ctx)
	return err
}

// server is what answers.
type server struct {
	opensearch   bool
	major, minor int
}

func (s *Sink) server(ctx context.Context) (server, error) {
	body, err := s.call(ctx, http.MethodGet, s.base.JoinPath("/"), "", nil)
	if err != nil {
		return server{}, err
	}
	var root struct {
		Version struct{ Distribution, Number string }
	}
	if json.Unmarshal(body, &root) != nil || root.Version.Number == "" {
		return server{}, fault.NewRetry(CodeAnswer, errAnswer)
	}
	parts := strings.SplitN(root.Version.Number, ".", 3)
	v := server{opensearch: root.Version.Distribution == "opensearch"}
	v.major, _ = strconv.Atoi(parts[0])
	if len(parts) > 1 {
		v.minor, _ = strconv.Atoi(parts[1])
	}
	return v, nil
}

// prepare puts the index template before the first document goes out: an index
// made without it would guess its mapping from whatever comes first.
func (s *Sink) prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.prepared || !s.template {
		return nil
	}
	v, err := s.server(ctx)
	if err != nil {
		return err
	}
	if old := v.major < 7 || v.major == 7 && v.minor < 10; !v.opensearch && old || v.opensearch && v.major < 2 {
		return fault.NewThrottled(CodeAnswer, forPerson, fmt.Errorf("version %d.%d is too old: want Elasticsearch 7.10, OpenSearch 2.7, or newer", v.major, v.minor))
	}
	if _, err = s.call(ctx, http.MethodPut, s.base.JoinPath("/_index_template/", s.prefix), "application/json", templateFor(s.prefix, v)); err != nil {
		if f := fault.Of(err); f.Class == fault.Permanent || f.Code == CodeAnswer { // no record's fault
			err = fault.NewThrottled(CodeBlocked, forPerson, f.Err)
		}
		return fmt.Errorf("putting the index template: %w", err)
	}
	s.prepared = true
	return nil
}

// report says in the program's health when nothing can be written.
func (s *Sink) report(err error) {
	state, message := obs.OK, ""
	if _, single := errors.AsType[client.RecordErrors](err); err != nil && !single {
		state, message = obs.Degraded, err.Error()
	}
	s.mu.Lock()
	same := s.state == state
	s.state = state
	s.mu.Unlock()
	if !same || state != obs.OK {
		s.scope.Set("elastic", state, message)
	}
}

// Values of the label result.
const (
	resultCreated = "created"
	resultKnown   = "known"   // it was there already
	resultRefused = "refused" // becomes a dead letter
	resultDelayed = "delayed" // is sent again
)

type metrics struct {
	documents *prometheus.CounterVec
	bytes     prometheus.Counter
	seconds   prometheus.Histogram
}

func newMetrics(scope obs.Scope) metrics {
	m := metrics{
		documents: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_elastic_documents_total", Help: "Documents answered by the cluster, by result: created, known, refused, delayed.",
		}, []string{"result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "decoder_elastic_sent_bytes_total", Help: "Bytes of bulk requests, compressed.",
		}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "decoder_elastic_request_seconds", Help: "Time of one bulk request.", Buckets: prometheus.ExponentialBuckets(0.001, 3, 11),
		}),
	}
	scope.Register(m.documents, m.bytes, m.seconds)
	return m
}
