package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
	"github.com/decodersring/decoder/internal/store"
)

// instance is a server on a free port.
type instance struct {
	t        *testing.T
	url      string
	password string
	health   *obs.Health
	stop     context.CancelFunc
}

func serve(t *testing.T, d api.Deps) *instance {
	t.Helper()
	db, err := state.Open(t.Context(), t.TempDir(), api.Schema())
	if err != nil {
		t.Fatal(err)
	}
	i := &instance{t: t, health: &obs.Health{}}
	if i.password, err = api.FirstPassword(t.Context(), db); err != nil || i.password == "" {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	d.State, d.Health, d.Metrics = db, i.health, metrics
	s, err := api.New(api.Options{Listen: "http://127.0.0.1:0"}, d, obs.Scope{Metrics: metrics, Health: i.health})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	i.stop = stop
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("server: %v", err)
		}
		_ = db.Close()
	})
	<-s.Ready()
	i.url = s.URL()
	return i
}

// browser is a client with cookies.
func browser(t *testing.T) *http.Client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &http.Client{Jar: jar, Timeout: 20 * time.Second}
}

type answer struct {
	status int
	code   string // of an error
	header http.Header
	body   []byte
}

func (i *instance) do(c *http.Client, method, path, body string, header ...string) answer {
	i.t.Helper()
	r, err := http.NewRequestWithContext(i.t.Context(), method, i.url+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	for n := 0; n < len(header); n += 2 {
		r.Header.Set(header[n], header[n+1])
		if header[n] == "Host" {
			r.Host = header[n+1]
		}
	}
	resp, err := c.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	var e struct {
		Error api.Error `json:"error"`
	}
	_ = json.Unmarshal(b, &e) // most answers are no errors
	return answer{resp.StatusCode, e.Error.Code, resp.Header, b}
}

func (i *instance) signIn(c *http.Client, password string) answer {
	b, _ := json.Marshal(api.SignIn{User: api.Admin, Password: password})
	return i.do(c, http.MethodPost, "/api/v1/session", string(b))
}

func (i *instance) signedIn() *http.Client {
	i.t.Helper()
	c := browser(i.t)
	if a := i.signIn(c, i.password); a.status != http.StatusOK {
		i.t.Fatalf("signing in: %d %s", a.status, a.body)
	}
	return c
}

func TestNothingIsToldWithoutSignIn(t *testing.T) {
	i := serve(t, api.Deps{})
	var doc struct {
		Paths map[string]map[string]struct {
			Security *[]any `json:"security"`
		} `json:"paths"`
	}
	b, err := api.OpenAPI()
	if err != nil || json.Unmarshal(b, &doc) != nil || len(doc.Paths) < 20 {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			if op.Security != nil {
				continue // open to all, and says so
			}
			if a := i.do(http.DefaultClient, strings.ToUpper(method), path, ""); a.status != http.StatusUnauthorized || a.code != "sign_in" {
				t.Errorf("%s %s: %d %s", method, path, a.status, a.body)
			}
		}
	}
	if a := i.do(http.DefaultClient, http.MethodGet, "/metrics", ""); a.status != http.StatusUnauthorized {
		t.Errorf("metrics: %d", a.status)
	}
}

func TestSignInAndOut(t *testing.T) {
	i := serve(t, api.Deps{Version: api.Version{Version: "7"}})
	c := browser(t)
	if a := i.signIn(c, "wrong"); a.status != http.StatusUnauthorized || a.code != "wrong_password" {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a := i.signIn(c, i.password)
	cookie := a.header.Get("Set-Cookie")
	if a.status != http.StatusOK || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
		t.Fatalf("%d %q", a.status, cookie)
	}
	if a := i.do(c, http.MethodGet, "/api/v1/version", ""); a.status != http.StatusOK || !bytes.Contains(a.body, []byte(`"7"`)) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := i.do(c, http.MethodGet, "/metrics", ""); a.status != http.StatusOK || !bytes.Contains(a.body, []byte("decoder_api_request_seconds")) {
		t.Errorf("metrics: %d", a.status)
	}
	// The session ends on the server too, not only in this browser.
	u, _ := url.Parse(i.url)
	kept := c.Jar.Cookies(u)
	if a := i.do(c, http.MethodDelete, "/api/v1/session", ""); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	c.Jar.SetCookies(u, kept)
	if a := i.do(c, http.MethodGet, "/api/v1/version", ""); a.status != http.StatusUnauthorized {
		t.Errorf("a session that was ended still answers: %d", a.status)
	}
}

func TestPasswordChangeEndsOtherSessions(t *testing.T) {
	i := serve(t, api.Deps{})
	one, two := i.signedIn(), i.signedIn()
	change := func(current, next string) answer {
		b, _ := json.Marshal(api.PasswordChange{Current: current, New: next})
		return i.do(one, http.MethodPost, "/api/v1/password", string(b))
	}
	if a := change("wrong", "long enough to be one"); a.status != http.StatusForbidden {
		t.Errorf("wrong current password: %d", a.status)
	}
	if a := change(i.password, "short"); a.status != http.StatusBadRequest {
		t.Errorf("short password: %d", a.status)
	}
	if a := change(i.password, "long enough to be one"); a.status != http.StatusOK || bytes.Contains(a.body, []byte("password")) {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if a := i.do(two, http.MethodGet, "/api/v1/version", ""); a.status != http.StatusUnauthorized {
		t.Errorf("the other session goes on: %d", a.status)
	}
	if a := i.signIn(browser(t), "long enough to be one"); a.status != http.StatusOK {
		t.Errorf("new password: %d", a.status)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	i := serve(t, api.Deps{})
	for n := range 5 {
		if a := i.signIn(http.DefaultClient, "guess"); a.status != http.StatusUnauthorized {
			t.Fatalf("guess %d: %d", n, a.status)
		}
	}
	if a := i.signIn(http.DefaultClient, i.password); a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" {
		t.Errorf("the sixth attempt: %d %s", a.status, a.body)
	}
}

func TestOtherPagesCannotActOrReach(t *testing.T) {
	i := serve(t, api.Deps{UI: http.NotFoundHandler()})
	c := i.signedIn()
	const path = "/api/v1/session"
	for _, h := range [][]string{
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
	} {
		if a := i.do(c, http.MethodDelete, path, "", h...); a.status != http.StatusForbidden {
			t.Errorf("%v: %d", h, a.status)
		}
	}
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example"} {
		if a := i.do(c, http.MethodGet, "/api/v1/version", "", "Host", host); a.status != http.StatusMisdirectedRequest {
			t.Errorf("host %s: %d", host, a.status)
		}
	}
	for _, host := range []string{"localhost", "LOCALHOST:9600", "[::1]:9600", "192.168.7.7", "decoder.localhost"} {
		if a := i.do(c, http.MethodGet, "/healthz", "", "Host", host); a.status != http.StatusOK {
			t.Errorf("host %s: %d", host, a.status)
		}
	}
	a := i.do(c, http.MethodDelete, path, "", "Origin", i.url, "Sec-Fetch-Site", "same-origin")
	if a.status != http.StatusOK {
		t.Errorf("our own page: %d %s", a.status, a.body)
	}
	for _, header := range []string{"Content-Security-Policy", "X-Content-Type-Options", "Referrer-Policy"} {
		if a.header.Get(header) == "" {
			t.Errorf("no %s", header)
		}
	}
	if csp := a.header.Get("Content-Security-Policy"); strings.Contains(csp, "script-src 'self' ") || !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("policy: %s", csp)
	}
}

func TestRequestsAreRead(t *testing.T) {
	i := serve(t, api.Deps{Store: &fakeStore{}, Inbox: &fakeInbox{}, Log: &fakeLog{}})
	c := i.signedIn()
	for _, tt := range []struct {
		method, path, body string
		status             int
		code               string
	}{
		{"GET", "/api/v1/nothing", "", 404, "not_found"},
		{"PUT", "/api/v1/alerts", "", 404, "not_found"},
		{"GET", "/api/v1/alerts?nonsense=1", "", 400, "bad_request"},
		{"GET", "/api/v1/alerts?tab=old", "", 400, "bad_request"},
		{"GET", "/api/v1/alerts?tab=new&tab=all", "", 400, "bad_request"},
		{"GET", "/api/v1/alerts?limit=x", "", 400, "bad_request"},
		{"GET", "/api/v1/alerts?limit=100000", "", 400, "bad_request"},
		{"GET", "/api/v1/alerts?from=yesterday", "", 400, "bad_request"},
		{"GET", "/api/v1/search?from=1h&to=2h", "", 400, "bad_request"},
		{"GET", "/api/v1/search?q=a+AND+(b", "", 400, "bad_query"},
		{"GET", "/api/v1/search/facet", "", 400, "bad_request"},
		{"GET", "/api/v1/search/histogram?from=1990-01-01&step=1s", "", 400, "bad_request"},
		{"GET", "/api/v1/rules", "", 503, "unavailable"},
		{"GET", "/api/v1/deadletters/dead_x/many/0", "", 400, "bad_request"},
		{"POST", "/api/v1/alerts/changes", `{"groups":["g"],"what":"delete"}`, 400, "bad_request"},
		{"POST", "/api/v1/alerts/changes", `{"groups":[],"what":"archive"}`, 400, "bad_request"},
		{"POST", "/api/v1/alerts/changes", `{"groups":["g"],"what":"note"}`, 400, "bad_request"},
		{"POST", "/api/v1/alerts/changes", `{"groups":["gone"],"what":"archive"}`, 404, "not_found"},
		{"POST", "/api/v1/alerts/changes", `{"who":"someone else"}`, 400, "bad_request"},
		{"POST", "/api/v1/alerts/changes", `{"groups":["g"]} {}`, 400, "bad_request"},
		{"POST", "/api/v1/alerts/changes", `{"groups":["` + strings.Repeat("x", 2<<20) + `"]}`, 413, "too_large"},
		{"POST", "/api/v1/replays", `{"paths":["/etc/passwd"]}`, 403, "local_only"},
		{"GET", "/api/v1/topics/none/tail", "", 404, "not_found"},
		{"GET", "/api/v1/alerts?tab=new&severity=high&limit=5&from=24h", "", 200, ""},
		{"GET", "/api/v1/search?q=dns&from=2026-01-01&to=now", "", 200, ""},
	} {
		if a := i.do(c, tt.method, tt.path, tt.body); a.status != tt.status || a.code != tt.code {
			t.Errorf("%s %s %.60s: %d %s %.200s", tt.method, tt.path, tt.body, a.status, a.code, a.body)
		}
	}
}

func TestQueryErrorSaysTheColumn(t *testing.T) {
	i := serve(t, api.Deps{Store: &fakeStore{}})
	a := i.do(i.signedIn(), http.MethodGet, "/api/v1/search?q=ok+)", "")
	var e struct {
		Error api.Error `json:"error"`
	}
	if err := json.Unmarshal(a.body, &e); err != nil || e.Error.Column != 4 {
		t.Errorf("%s %v", a.body, err)
	}
}

func TestChangeIsAppendedWithWhoAndWhatWasSeen(t *testing.T) {
	log, view := &fakeLog{}, &fakeInbox{}
	i := serve(t, api.Deps{Log: log, Inbox: view})
	a := i.do(i.signedIn(), http.MethodPost, "/api/v1/alerts/changes", `{"groups":["g","g","gone"],"what":"archive","why":"benign"}`)
	var out api.AlertChanged
	if err := json.Unmarshal(a.body, &out); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	if out.Changed != 1 || len(out.Unknown) != 1 || !out.Applied {
		t.Errorf("%+v", out)
	}
	if len(log.appended) != 1 || log.appended[0].Topic != bus.TopicTriage || string(log.appended[0].Key) != "g" {
		t.Fatalf("%+v", log.appended)
	}
	var c inbox.Change
	if err := json.Unmarshal(log.appended[0].Value, &c); err != nil {
		t.Fatal(err)
	}
	if c.Who != "admin" || c.What != inbox.Archive || c.Why != "benign" || c.ID == "" || c.Time.IsZero() || len(c.Seen) != 1 || c.Seen[0].Offset != 41 {
		t.Errorf("%+v", c)
	}
}

func TestArchivingCoversWhatThePageHadShown(t *testing.T) {
	log := &fakeLog{}
	i := serve(t, api.Deps{Log: log, Inbox: &fakeInbox{}})
	a := i.do(i.signedIn(), http.MethodPost, "/api/v1/alerts/changes", `{"groups":["g"],"what":"archive","seen":{"g":[{"topic":"alerts","partition":0,"offset":7}]}}`)
	var c inbox.Change
	if a.status != http.StatusOK || json.Unmarshal(log.appended[0].Value, &c) != nil || len(c.Seen) != 1 || c.Seen[0].Offset != 7 {
		t.Errorf("%d %s %+v", a.status, a.body, c)
	}
}

func TestChangeIsNotAcknowledgedBeforeTheLogHasIt(t *testing.T) {
	i := serve(t, api.Deps{Log: &fakeLog{err: errors.New("disk full")}, Inbox: &fakeInbox{}})
	a := i.do(i.signedIn(), http.MethodPost, "/api/v1/alerts/changes", `{"groups":["g"],"what":"star"}`)
	if a.status != http.StatusInternalServerError || a.code != "internal" || !bytes.Contains(a.body, []byte("disk full")) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestSearchStreamsAllPages(t *testing.T) {
	i := serve(t, api.Deps{Store: &fakeStore{docs: 2345}})
	c := i.signedIn()
	a := i.do(c, http.MethodGet, "/api/v1/search/stream", "")
	if n := bytes.Count(a.body, []byte("\n")); n != 2345 || a.header.Get("Content-Type") != "application/x-ndjson" {
		t.Errorf("%d lines, %s", n, a.header)
	}
	a = i.do(c, http.MethodGet, "/api/v1/search/stream?limit=1001", "")
	if n := bytes.Count(a.body, []byte("\n")); n != 1001 {
		t.Errorf("%d lines", n)
	}
}

func TestBrokenStreamEndsWithItsError(t *testing.T) {
	i := serve(t, api.Deps{Store: &fakeStore{docs: 5000, breakAt: 2000}})
	a := i.do(i.signedIn(), http.MethodGet, "/api/v1/search/stream", "")
	lines := bytes.Split(bytes.TrimSpace(a.body), []byte("\n"))
	if last := lines[len(lines)-1]; len(lines) != 2001 || !bytes.HasPrefix(last, []byte(`{"error":{"code":"internal"`)) {
		t.Errorf("%d lines, last %s", len(lines), last)
	}
}

func TestSlowQueryEndsWithItsCaller(t *testing.T) {
	ended := make(chan struct{})
	i := serve(t, api.Deps{Store: &fakeStore{hang: ended}})
	c := i.signedIn()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/api/v1/search", http.NoBody)
	if resp, err := c.Do(r); err == nil {
		_ = resp.Body.Close()
		t.Fatal("an answer came")
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the query goes on without its caller")
	}
}

func TestLiveTellsChangesUntilTheServerStops(t *testing.T) {
	view := &fakeInbox{news: make(chan struct{}, 1)}
	i := serve(t, api.Deps{Inbox: view})
	r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, i.url+"/api/v1/live", http.NoBody)
	resp, err := i.signedIn().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	sc := bufio.NewScanner(resp.Body)
	next := func(want string) {
		t.Helper()
		for sc.Scan() {
			if strings.HasPrefix(sc.Text(), "event: ") {
				if sc.Text() != "event: "+want {
					t.Fatalf("%s instead of %s", sc.Text(), want)
				}
				return
			}
		}
		t.Fatalf("the stream ended instead of %s: %v", want, sc.Err())
	}
	next("inbox")
	next("health")
	view.news <- struct{}{}
	next("inbox")
	i.stop()
	for sc.Scan() {
	}
}

func TestReadiness(t *testing.T) {
	i := serve(t, api.Deps{})
	status := func() int { return i.do(http.DefaultClient, http.MethodGet, "/readyz", "").status }
	if s := status(); s != http.StatusOK {
		t.Errorf("ready: %d", s)
	}
	i.health.Set("sensor", obs.Degraded, "drops packets")
	if s := status(); s != http.StatusOK {
		t.Errorf("degraded: %d", s)
	}
	i.health.Set("store", obs.Failed, "is broken")
	if s := status(); s != http.StatusServiceUnavailable {
		t.Errorf("failed: %d", s)
	}
	if a := i.do(http.DefaultClient, http.MethodGet, "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("health: %d", a.status)
	}
}

func TestHandlerThatPanicsIsAnswered(t *testing.T) {
	i := serve(t, api.Deps{Inbox: &fakeInbox{panics: true}})
	c := i.signedIn()
	if a := i.do(c, http.MethodGet, "/api/v1/alerts", ""); a.status != http.StatusInternalServerError || a.code != "internal" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := i.do(c, http.MethodGet, "/api/v1/version", ""); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

func TestHomeStandsWhenPartsAreBroken(t *testing.T) {
	for name, tt := range map[string]struct {
		deps  api.Deps
		level obs.Level
		says  string
	}{
		"nothing runs": {api.Deps{}, obs.Failed, "store does not answer"},
		"log broken":   {api.Deps{Store: &fakeStore{docs: 3}, Inbox: &fakeInbox{}, Log: &fakeLog{err: errors.New("gone")}}, obs.Failed, "log does not answer: gone"},
		"no sensor":    {api.Deps{Store: &fakeStore{}, Inbox: &fakeInbox{}, Log: &fakeLog{}, Sensors: noSensors{}}, obs.Degraded, "Nothing is watching"},
		"sensor ended": {api.Deps{Store: &fakeStore{docs: 3}, Inbox: &fakeInbox{}, Log: &fakeLog{}, Sensors: noSensors{{Level: obs.Failed}}}, obs.Failed, "no sensor works"},
		"only outside": {api.Deps{Store: &fakeStore{docs: 3}, Inbox: &fakeInbox{}, Log: &fakeLog{}, Sensors: noSensors{}}, obs.OK, "Nothing is wrong"},
		"late client":  {api.Deps{Store: &fakeStore{docs: 3}, Inbox: &fakeInbox{}, Log: &fakeLog{lag: 600}}, obs.Degraded, "decoder-x is 10 minutes behind"},
		"high alerts":  {api.Deps{Store: &fakeStore{docs: 3}, Inbox: &fakeInbox{high: 2}, Log: &fakeLog{}}, obs.Degraded, "2 alert groups of high or critical severity are waiting"},
		"all well":     {api.Deps{Store: &fakeStore{docs: 3}, Inbox: &fakeInbox{}, Log: &fakeLog{}}, obs.OK, "Nothing is wrong: 3 events seen"},
	} {
		t.Run(name, func(t *testing.T) {
			i := serve(t, tt.deps)
			a := i.do(i.signedIn(), http.MethodGet, "/api/v1/stats", "")
			var s api.Stats
			if err := json.Unmarshal(a.body, &s); err != nil || a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if s.Answer.Level != tt.level || !strings.Contains(s.Answer.Text, tt.says) {
				t.Errorf("%+v", s.Answer)
			}
		})
	}
}

func TestEmptyIsNeverSilent(t *testing.T) {
	used := &fakeLog{next: 9}
	for name, tt := range map[string]struct {
		deps  api.Deps
		query string
		want  api.EmptyReason
	}{
		"never sent":       {api.Deps{Store: &fakeStore{}, Inbox: &fakeInbox{}, Log: &fakeLog{}}, "page=search", api.EmptyNoSensor},
		"client behind":    {api.Deps{Store: &fakeStore{}, Inbox: &fakeInbox{}, Log: &fakeLog{next: 9, lag: 90}}, "page=inbox&q=new", api.EmptyBehind},
		"no store":         {api.Deps{Inbox: &fakeInbox{}, Log: used}, "page=search", api.EmptyBehind},
		"store has none":   {api.Deps{Store: &fakeStore{}, Inbox: &fakeInbox{}, Log: used}, "page=search", api.EmptyBehind},
		"query hides":      {api.Deps{Store: &fakeStore{docs: 5, only: "all"}, Inbox: &fakeInbox{}, Log: used}, "page=search&q=x&filters=true", api.EmptyFiltered},
		"other interval":   {api.Deps{Store: &fakeStore{docs: 5, only: "unbounded"}, Inbox: &fakeInbox{}, Log: used}, "page=search&from=1h", api.EmptyRange},
		"matches elsewhen": {api.Deps{Store: &fakeStore{docs: 5}, Inbox: &fakeInbox{}, Log: used}, "page=search&from=1h&q=x", api.EmptyRange},
		"inbox filtered":   {api.Deps{Store: &fakeStore{docs: 5}, Inbox: &fakeInbox{high: 2}, Log: used}, "page=inbox&q=new&filters=true", api.EmptyFiltered},
		"inbox zero":       {api.Deps{Store: &fakeStore{docs: 5}, Inbox: &fakeInbox{}, Log: used}, "page=inbox&q=new", api.EmptyZero},
	} {
		t.Run(name, func(t *testing.T) {
			i := serve(t, tt.deps)
			a := i.do(i.signedIn(), http.MethodGet, "/api/v1/empty?"+tt.query, "")
			var e api.EmptyAnswer
			if err := json.Unmarshal(a.body, &e); err != nil || a.status != http.StatusOK {
				t.Fatalf("%d %s", a.status, a.body)
			}
			if e.Reason != tt.want || e.Text == "" {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestTLSAndNames(t *testing.T) {
	// httptest has a certificate for example.com and 127.0.0.1.
	lent := httptest.NewUnstartedServer(nil)
	lent.StartTLS()
	cert := lent.TLS.Certificates[0]
	pool := lent.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	lent.Close()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"c": {Type: "CERTIFICATE", Bytes: cert.Certificate[0]}, "k": {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	db, err := state.Open(t.Context(), dir, api.Schema())
	if err != nil {
		t.Fatal(err)
	}
	password, err := api.FirstPassword(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	s, err := api.New(api.Options{
		Listen: "https://127.0.0.1:0", Hosts: []string{"Decoder.Example.org"}, CertFile: filepath.Join(dir, "c"), KeyFile: filepath.Join(dir, "k"),
	}, api.Deps{State: db}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_ = db.Close()
	}()
	<-s.Ready()
	i := &instance{t: t, url: s.URL(), password: password}
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if a := i.do(c, http.MethodGet, "/healthz", "", "Host", "decoder.example.org:8470"); a.status != http.StatusOK {
		t.Errorf("a name of ours: %d", a.status)
	}
	if a := i.do(c, http.MethodGet, "/healthz", "", "Host", "example.org"); a.status != http.StatusMisdirectedRequest {
		t.Errorf("another name: %d", a.status)
	}
	if a := i.signIn(c, password); a.status != http.StatusOK || !strings.Contains(a.header.Get("Set-Cookie"), "Secure") {
		t.Errorf("%d %s", a.status, a.header)
	}
	c.CloseIdleConnections()
}

func TestPortInUseIsAClearError(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	db, err := state.Open(t.Context(), t.TempDir(), api.Schema())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	address := "http://" + l.Addr().String()
	s, err := api.New(api.Options{Listen: address}, api.Deps{State: db}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); err == nil || !strings.Contains(err.Error(), address) || !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}

// Fakes.

type noSensors []api.Sensor

func (n noSensors) Sensors(context.Context) ([]api.Sensor, error) { return n, nil }

type fakeInbox struct {
	high   uint64
	panics bool
	news   chan struct{}
}

func (f *fakeInbox) List(context.Context, inbox.Filter) (inbox.List, error) {
	if f.panics {
		panic("a mistake")
	}
	l := inbox.List{Groups: []inbox.Group{}, Counts: inbox.Counts{New: f.high, All: f.high, Open: map[string]uint64{"high": f.high}}}
	if f.high > 0 {
		l.Groups = append(l.Groups, inbox.Group{Group: "g"})
	}
	return l, nil
}

func (f *fakeInbox) Show(_ context.Context, g string) (inbox.Detail, error) {
	if g != "g" {
		return inbox.Detail{}, inbox.ErrNotFound
	}
	return inbox.Detail{Group: inbox.Group{Group: g, Seen: []inbox.Position{{Topic: bus.TopicAlerts, Offset: 41}}}}, nil
}
func (f *fakeInbox) Await(context.Context, ...string) error { return nil }
func (f *fakeInbox) Watch() (<-chan struct{}, func())       { return f.news, func() {} }
func (f *fakeInbox) Rebuild(context.Context) error          { return nil }

type fakeLog struct {
	mu       sync.Mutex
	appended []*bus.Record
	err      error
	lag      float64
	next     int64
}

func (f *fakeLog) Append(_ context.Context, rs ...*bus.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.appended = append(f.appended, rs...)
	return nil
}

func (f *fakeLog) Topics(_ context.Context, names ...string) ([]bus.TopicInfo, error) {
	if len(names) > 0 {
		return nil, f.err
	}
	return []bus.TopicInfo{{Name: bus.TopicSuricata, Partitions: []bus.PartitionInfo{{Next: f.next}}}}, f.err
}

func (f *fakeLog) Groups(context.Context, ...string) ([]bus.GroupInfo, error) {
	return []bus.GroupInfo{{Name: "decoder-x", Lag: 5, LagSeconds: f.lag}}, f.err
}
func (f *fakeLog) Bounds(context.Context, string) (map[int32]bus.Span, error) { return nil, f.err }
func (f *fakeLog) After(context.Context, string, time.Time) (map[int32]bus.Span, error) {
	return nil, f.err
}
func (f *fakeLog) Scan(context.Context, string, map[int32]bus.Span, func(*bus.Record) bool) error {
	return f.err
}
func (f *fakeLog) Tail(context.Context, string, int64, bool, func(*bus.Record) bool) error {
	return f.err
}

// fakeStore has so many documents. only limits what it gives to the query that
// matches all, or to the interval without bounds.
type fakeStore struct {
	docs, breakAt int
	only          string
	hang          chan struct{}
}

func (f *fakeStore) has(q *store.Query, r store.Range) int {
	if f.only == "all" && q.Root() != nil || f.only == "unbounded" && r != (store.Range{}) {
		return 0
	}
	return f.docs
}

func (f *fakeStore) Search(ctx context.Context, s store.Search) (store.Page, error) {
	if f.hang != nil {
		<-ctx.Done()
		close(f.hang)
		return store.Page{}, ctx.Err()
	}
	at := len(s.Cursor)
	var p store.Page
	for n := at; n < min(at+s.Limit, f.has(s.Query, s.Range)); n++ {
		if f.breakAt > 0 && n >= f.breakAt {
			return store.Page{}, errors.New("it broke")
		}
		p.Docs = append(p.Docs, json.RawMessage(`{"@timestamp":"2026-01-02T03:04:05Z"}`))
	}
	if at+len(p.Docs) < f.docs {
		p.Cursor = strings.Repeat("x", at+len(p.Docs))
	}
	return p, nil
}

func (f *fakeStore) Count(_ context.Context, q *store.Query, r store.Range) (uint64, error) {
	return uint64(f.has(q, r)), nil
}

func (f *fakeStore) Facet(context.Context, *store.Query, store.Range, string, int) ([]store.Bucket, error) {
	return []store.Bucket{{Value: "suricata.dns", Count: uint64(f.docs)}}, nil
}

func (f *fakeStore) Histogram(context.Context, *store.Query, store.Range, time.Duration, string) (map[string][]store.Bucket, error) {
	return nil, nil
}
func (f *fakeStore) Fields(context.Context, *store.Query, store.Range) ([]store.Bucket, error) {
	return nil, nil
}
