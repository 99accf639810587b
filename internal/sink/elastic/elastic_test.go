package elastic

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/sinktest"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

// cluster answers as Elasticsearch 8 does. Its documents outlive its listener.
type cluster struct {
	t    testing.TB
	addr string

	mu       sync.Mutex
	server   *httptest.Server
	docs     map[string]string // by index and id
	template json.RawMessage
	requests []*http.Request
	answer   func(w http.ResponseWriter, r *http.Request) bool // true: it did
}

func start(t testing.TB) *cluster {
	c := &cluster{t: t, docs: map[string]string{}, addr: "127.0.0.1:0"}
	c.listen()
	t.Cleanup(func() { c.server.Close() })
	return c
}

func (c *cluster) listen() {
	l, err := net.Listen("tcp", c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	c.addr = l.Addr().String()
	s := &httptest.Server{Listener: l, Config: &http.Server{Handler: c}}
	s.Start()
	c.server = s
}

func (c *cluster) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	if c.answer != nil && c.answer(w, r) {
		return
	}
	switch {
	case r.Method == http.MethodGet && r.URL.Path == "/":
		_, _ = io.WriteString(w, `{"name":"n","cluster_name":"docker-cluster","cluster_uuid":"u","version":{"number":"8.17.0","build_flavor":"default","build_type":"docker","lucene_version":"9.12.0"},"tagline":"You Know, for Search"}`)
	case r.Method == http.MethodPut && r.URL.Path == "/_index_template/decoder":
		c.template, _ = io.ReadAll(r.Body)
		_, _ = io.WriteString(w, `{"acknowledged":true}`)
	case r.Method == http.MethodPost && r.URL.Path == "/_bulk":
		c.bulk(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (c *cluster) bulk(w http.ResponseWriter, r *http.Request) {
	body, err := gzip.NewReader(r.Body)
	if err != nil || r.Header.Get("Content-Encoding") != "gzip" {
		c.t.Errorf("the body is not gzipped: %v", err)
		return
	}
	var items []string
	for lines := bufio.NewReader(body); ; {
		action, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(action) == 0 {
			break
		}
		doc, err := lines.ReadBytes('\n')
		if err != nil {
			c.t.Errorf("a document does not end: %v", err)
			return
		}
		items = append(items, c.create(action, doc))
	}
	fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
}

func (c *cluster) create(action, doc []byte) string {
	var a struct {
		Create struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		}
	}
	if err := json.Unmarshal(action, &a); err != nil || a.Create.ID == "" {
		c.t.Errorf("%q is no action: %v", action, err)
	}
	at := a.Create.Index + "/" + a.Create.ID
	if _, known := c.docs[at]; known {
		return `{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[a]: version conflict, document already exists (current version [1])"}}}`
	}
	if !json.Valid(doc) {
		return `{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:15] failed to parse: Unexpected end-of-input"}}}`
	}
	c.docs[at] = string(bytes.TrimSpace(doc))
	return `{"create":{"status":201}}`
}

func (c *cluster) sink(change func(*Config)) *Sink {
	conf := Default()
	conf.URL = "http://" + c.addr
	if change != nil {
		change(&conf)
	}
	if err := conf.Validate(); err != nil {
		c.t.Fatal(err)
	}
	s, err := New(conf, nil, obs.Scope{Metrics: prometheus.NewRegistry(), Health: &obs.Health{}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestTheSinkKeepsTheContract(t *testing.T) {
	c := start(t)
	base := time.Now().UTC().Add(-time.Hour)
	sinktest.Check(t, sinktest.Case{
		New:   func(testing.TB) client.Sink { return c.sink(nil) },
		Input: bus.TopicEvents,
		Value: func(i int, id string) string {
			return fmt.Sprintf(`{"@timestamp":%q,"event":{"id":%q}}`, base.Add(time.Duration(i)*time.Second).Format(time.RFC3339Nano), id)
		},
		Bad:   `{"@timestamp":`,
		Break: func(testing.TB) { c.server.Close() },
		Mend:  func(testing.TB) { c.listen() },
		Stored: func(testing.TB) map[string]int {
			defer c.server.Close()
			ids := map[string]int{}
			for at := range c.docs {
				_, id, _ := strings.Cut(at, "/")
				ids[id]++
			}
			return ids
		},
	})
	if len(c.template) == 0 {
		t.Error("no template was put")
	}
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

func record(topic, id, at, value string, headers ...bus.Header) *client.Record {
	return &client.Record{Origin: "o", Record: &bus.Record{
		Topic: topic, Value: []byte(value), Timestamp: noon,
		Headers: append([]bus.Header{{Key: event.HeaderID, Value: []byte(id)}, {Key: event.HeaderTime, Value: []byte(at)}}, headers...),
	}}
}

func TestAnIndexFollowsFromTheDocument(t *testing.T) {
	s := &Sink{prefix: "p"}
	capture := bus.Header{Key: event.HeaderCapture, Value: []byte("c.pcap")}
	for want, r := range map[string]*client.Record{
		"p-events-2026.03.01": record(bus.TopicEvents, "i", "2026-03-02T00:30:00+01:00", ""),
		"p-alerts-2026.03":    record(bus.TopicAlerts, "i", "2026-03-02T11:00:00Z", ""),
		"p-alerts-2026.02":    record(bus.TopicEmailAlert, "i", "2026-02-20T11:00:00Z", ""),
		"p-events-2026":       record(bus.TopicEvents, "i", "2026-01-01T00:00:00Z", ""), // weeks late
		"p-alerts-2027":       record(bus.TopicAlerts, "i", "2027-01-01T00:00:00Z", ""), // ahead
		"p-events-2106":       record(bus.TopicEvents, "i", "9999-01-01T00:00:00Z", ""),
		"p-events-1970":       record(bus.TopicEvents, "i", "0042-01-01T00:00:00Z", ""),
		"p-captures-2026":     record(bus.TopicEvents, "i", "2026-03-02T11:00:00Z", "", capture),
		"p-captures-2009":     record(bus.TopicEvents, "i", "2009-03-02T11:00:00Z", "", capture),
		"p-alerts-2009":       record(bus.TopicAlerts, "i", "2009-03-02T11:00:00Z", "", capture),
	} {
		if got := s.index(r, r.Document()); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// What Elasticsearch 8.17 and OpenSearch 2.19 answer, for one document and for
// a whole request.
func TestAnswersAreClassed(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		typ, text string
		class     fault.Class
		code      string
		whole     fault.Class // of a whole request, where it differs
	}{
		"mapping":           {400, "document_parsing_exception", "[1:10] failed to parse field [source] of type [ip]", fault.Permanent, CodeMapping, fault.Retry},
		"fields":            {400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded", fault.Permanent, CodeMapping, fault.Retry},
		"shards":            {400, "validation_exception", "Validation Failed: 1: this action would add [2] shards, but this cluster currently has [1000]/[1000] maximum normal shards open;", fault.Throttled, CodeBlocked, fault.Throttled},
		"shards, older":     {400, "illegal_argument_exception", "this action would add [2] total shards, but this cluster currently has [1000]/[1000] maximum normal shards open", fault.Throttled, CodeBlocked, fault.Throttled},
		"credentials":       {401, "security_exception", "unable to authenticate user [u] for REST request [/_bulk]", fault.Throttled, CodeDenied, fault.Throttled},
		"privilege":         {403, "security_exception", "action [indices:admin/auto_create] is unauthorized for user [u]", fault.Throttled, CodeDenied, fault.Throttled},
		"read-only":         {403, "cluster_block_exception", "index [i] blocked by: [FORBIDDEN/8/index write (api)];", fault.Throttled, CodeBlocked, fault.Throttled},
		"flood stage":       {429, "cluster_block_exception", "index [i] blocked by: [TOO_MANY_REQUESTS/12/disk usage exceeded flood-stage watermark, index has read-only-allow-delete block];", fault.Throttled, CodeBlocked, fault.Throttled},
		"queue":             {429, "es_rejected_execution_exception", "rejected execution of coordinating operation [coordinating_and_primary_bytes=0]", fault.Throttled, CodeBusy, fault.Throttled},
		"breaker":           {429, "circuit_breaking_exception", "[parent] Data too large", fault.Throttled, CodeBusy, fault.Throttled},
		"shard not there":   {503, "unavailable_shards_exception", "[i][0] primary shard is not active Timeout: [1m]", fault.Throttled, CodeUnavailable, fault.Throttled},
		"no master":         {503, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/2/no master];", fault.Throttled, CodeUnavailable, fault.Throttled},
		"no index":          {404, "index_not_found_exception", "no such index [i] and [action.auto_create_index] is [false]", fault.Throttled, CodeBlocked, fault.Throttled},
		"proxy, too large":  {413, "", "", fault.Permanent, CodeTooLarge, fault.Permanent},
		"proxy, no gateway": {502, "", "", fault.Retry, CodeUnavailable, fault.Retry},
		"a fault in there":  {500, "null_pointer_exception", "", fault.Retry, CodeUnavailable, fault.Retry},
		"redirect":          {302, "", "", fault.Retry, CodeAnswer, fault.Retry},
	} {
		if got := fault.Of(refusal(c.status, cause{c.typ, c.text}, 0)); got.Class != c.class || got.Code != c.code || c.class == fault.Throttled && got.After <= 0 {
			t.Errorf("%s: got %v %s, want %v %s", name, got.Class, got.Code, c.class, c.code)
		}
		if got := fault.Of(ofRequest(c.status, cause{c.typ, c.text}, 0)); got.Class != c.whole {
			t.Errorf("%s: a whole request is %v, want %v", name, got.Class, c.whole)
		}
	}
	if got := fault.Of(refusal(429, cause{}, 7*time.Second)); got.After != 7*time.Second {
		t.Errorf("Retry-After is not kept: %v", got.After)
	}
}

func TestOnlyTheDocumentAtFaultIsNamed(t *testing.T) {
	c := start(t)
	c.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/_bulk" {
			return false
		}
		_, _ = io.WriteString(w, `{"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"failed"}}},{"create":{"status":429,"error":{"type":"es_rejected_execution_exception","reason":"rejected"}}},{"create":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"exists"}}}]}`)
		return true
	}
	ok := `{"@timestamp":"2026-03-02T12:00:00Z"}`
	batch := []*client.Record{
		record(bus.TopicEvents, "a", "2026-03-02T12:00:00Z", ok),
		record(bus.TopicEvents, "no JSON", "2026-03-02T12:00:00Z", "nothing"), // is not sent
		record(bus.TopicEvents, "b", "2026-03-02T12:00:00Z", ok),
		record(bus.TopicEvents, "c", "2026-03-02T12:00:00Z", ok),
		record(bus.TopicEvents, "d", "2026-03-02T12:00:00Z", ok),
	}
	refused, is := errors.AsType[client.RecordErrors](c.sink(nil).Write(t.Context(), batch))
	if !is || len(refused) != 3 {
		t.Fatalf("got %v", refused)
	}
	for i, want := range map[int]fault.Class{1: fault.Permanent, 2: fault.Permanent, 3: fault.Throttled} {
		if refused[i] == nil || fault.Of(refused[i]).Class != want {
			t.Errorf("record %d: got %v, want %v", i, refused[i], want)
		}
	}
}

func TestNoAnswerIsTakenForAnAcknowledgement(t *testing.T) {
	c := start(t)
	batch := []*client.Record{record(bus.TopicEvents, "a", "2026-03-02T12:00:00Z", `{}`)}
	for _, answer := range []string{``, `{}`, `<html>`, `{"items":[]}`, `{"items":[{"create":{}}]}`, `{"items":[{"index":{"status":201}}]}`, `{"items":[{"create":{"status":201}},{"create":{"status":201}}]}`} {
		c.answer = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/_bulk" {
				_, _ = io.WriteString(w, answer)
			}
			return r.URL.Path == "/_bulk"
		}
		if err := c.sink(nil).Write(t.Context(), batch); err == nil || fault.Of(err).Class != fault.Retry {
			t.Errorf("%q: got %v", answer, err)
		}
	}
	c.answer = func(w http.ResponseWriter, _ *http.Request) bool {
		_, err := io.WriteString(w, "<html>")
		return err == nil
	}
	if err := c.sink(nil).Check(t.Context()); err == nil {
		t.Error("a page is taken for a cluster")
	}
}

func TestATemplateThatCannotBePutIsNoRecordsFault(t *testing.T) {
	c := start(t)
	status, text := 0, ""
	c.answer = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		return true
	}
	batch := []*client.Record{record(bus.TopicEvents, "a", "2026-03-02T12:00:00Z", `{}`)}
	for status, text = range map[int]string{
		400: `{"error":{"type":"illegal_argument_exception","reason":"index template [decoder] has index patterns matching patterns from existing templates"},"status":400}`,
		403: `{"error":{"root_cause":[{"type":"security_exception","reason":"no permissions for [indices:admin/index_template/put]"}],"type":"security_exception","reason":"no permissions for [indices:admin/index_template/put]"},"status":403}`,
		413: `<html>`,
	} {
		if err := c.sink(nil).Write(t.Context(), batch); err == nil || fault.Of(err).Class != fault.Throttled {
			t.Errorf("%d: got %v", status, err)
		}
	}
	if err := c.sink(func(c *Config) { c.Template = false }).Write(t.Context(), batch); err != nil {
		t.Errorf("without a template of ours: %v", err)
	}
}

func TestCredentialsAreSentAndNeverTold(t *testing.T) {
	c := start(t)
	batch := []*client.Record{record(bus.TopicEvents, "a", "2026-03-02T12:00:00Z", `{}`)}
	basic := c.sink(func(c *Config) { c.User, c.Password = "u", config.NewSecret("hush") })
	key := c.sink(func(c *Config) { c.APIKey = config.NewSecret("aHVzaA==") })
	for _, s := range []*Sink{basic, key} {
		if err := s.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string]int{}
	for _, r := range c.requests {
		got[r.Header.Get("Authorization")]++
	}
	if got["Basic dTpodXNo"] != 3 || got["ApiKey aHVzaA=="] != 3 {
		t.Errorf("requests came with %v", got)
	}
	c.server.Close()
	for _, s := range []*Sink{basic, key} {
		err := s.Write(t.Context(), batch)
		if err == nil {
			t.Fatal("nothing listens, and it is written")
		}
		for _, secret := range []string{"hush", "aHVzaA", "dTpodXNo"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds a secret: %v", err)
			}
		}
	}
}

func TestACertificateOfAnUnknownAuthorityIsRefused(t *testing.T) {
	c := &cluster{t: t, docs: map[string]string{}}
	server := httptest.NewTLSServer(c)
	defer server.Close()
	conf := Default()
	conf.URL = server.URL
	for trusted, secure := range map[bool]*tls.Config{false: nil, true: server.Client().Transport.(*http.Transport).TLSClientConfig} {
		s, err := New(conf, secure, obs.Scope{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.Check(t.Context()); (err == nil) != trusted {
			t.Errorf("trusted %v: %v", trusted, err)
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"url":     func(c *Config) { c.URL = "localhost:9200" },
		"user":    func(c *Config) { c.URL = "http://u:p@localhost:9200" },
		"https":   func(c *Config) { c.URL = "http://localhost:9200"; c.CA = "ca.pem" },
		"api_key": func(c *Config) { c.User, c.Password, c.APIKey = "u", config.NewSecret("p"), config.NewSecret("k") },
		"prefix":  func(c *Config) { c.Prefix = "Decoder" },
		"cert":    func(c *Config) { c.URL = "https://localhost:9200"; c.Cert = "c.pem" },
	} {
		c := Default()
		change(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
}

func TestASlowClusterIsGivenUp(t *testing.T) {
	c := start(t)
	s := c.sink(nil)
	began := make(chan struct{})
	c.answer = func(_ http.ResponseWriter, r *http.Request) bool { close(began); <-r.Context().Done(); return true }
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-began; cancel() }()
	if err := s.Check(ctx); err == nil || fault.Of(err).Code != CodeUnreachable {
		t.Errorf("got %v", err)
	}
}
