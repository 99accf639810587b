package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/sinktest"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/state"
)

// hook is a webhook's other side. What it has taken outlives its listener.
type hook struct {
	t    testing.TB
	addr string

	mu     sync.Mutex
	server *httptest.Server
	got    []webhookBody
	keys   []string
	answer func(w http.ResponseWriter, r *http.Request) bool // true: it did, and the message is not taken
}

func listen(t testing.TB) *hook {
	h := &hook{t: t, addr: "127.0.0.1:0"}
	h.start()
	t.Cleanup(func() { h.server.Close() })
	return h
}

func (h *hook) start() {
	l, err := net.Listen("tcp", h.addr)
	if err != nil {
		h.t.Fatal(err)
	}
	h.addr = l.Addr().String()
	h.server = &httptest.Server{Listener: l, Config: &http.Server{Handler: h}}
	h.server.Start()
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answer != nil && h.answer(w, r) {
		return
	}
	var b webhookBody
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil || b.ID != r.Header.Get(headerKey) {
		h.t.Errorf("body %+v, key %s: %v", b, r.Header.Get(headerKey), err)
	}
	h.got, h.keys = append(h.got, b), append(h.keys, b.ID)
}

func (h *hook) taken() []webhookBody {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}

func (h *hook) config() Config {
	return Config{Name: "on-call", Webhook: &Webhook{URL: config.NewSecret("http://" + h.addr + "/hook")}}
}

// life is a destination in one process; clock is its time.
type life struct {
	*Sink
	t     testing.TB
	clock time.Time
}

func open(t testing.TB, dir string) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), dir, Schema())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func begin(t testing.TB, dir string, c Config) *life {
	t.Helper()
	s, err := New(c, Deps{DB: open(t, dir)})
	if err != nil {
		t.Fatal(err)
	}
	l := &life{s, t, time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)}
	s.now = func() time.Time { return l.clock }
	return l
}

// raise writes alerts, each of "group/event/severity".
func (l *life) raise(alerts ...string) {
	l.t.Helper()
	var batch []*client.Record
	for _, a := range alerts {
		p := strings.Split(a, "/")
		batch = append(batch, record(l.t, func(d map[string]any) {
			d["event"].(map[string]any)["id"] = p[1]
			of := alertOf(d)
			of["group"], of["severity"] = p[0], p[2]
		}))
	}
	if err := l.Write(l.t.Context(), batch); err != nil {
		l.t.Fatal(err)
	}
}

func (l *life) flush(want error) {
	l.t.Helper()
	if err := l.Flush(l.t.Context()); !errors.Is(err, want) || want == nil && err != nil {
		l.t.Fatalf("flush gives %v, want %v", err, want)
	}
}

// tells checks which events the n-th message told of.
func (h *hook) tells(n int, events ...string) {
	h.t.Helper()
	got := h.taken()
	if len(got) <= n || !slices.Equal(got[n].Events, events) {
		h.t.Fatalf("%d messages, want in the one of index %d %q: %+v", len(got), n, events, got)
	}
}

func TestTheFirstAlertIsToldAtOnceAndWhatComesThenTogether(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.flush(nil) // nothing to tell
	l.raise("a/1/high")
	l.flush(nil)
	h.tells(0, "1")
	l.raise("b/2/high", "c/3/critical")
	l.flush(client.ErrNotYet)
	l.raise("b/4/high")
	l.clock = l.clock.Add(59 * time.Second)
	l.flush(client.ErrNotYet)
	if s, err := l.Status(t.Context()); err != nil || s.Waiting != 2 || s.Told.IsZero() || s.Error != "" {
		t.Errorf("%+v, %v", s, err)
	}
	l.clock = l.clock.Add(time.Second)
	l.flush(nil)
	h.tells(1, "2", "3", "4")
	l.raise("low/5/medium")
	l.flush(nil)
	if n := len(h.taken()); n != 2 {
		t.Errorf("%d messages, want 2", n)
	}
}

func TestOnlyWhatIsWantedIsTold(t *testing.T) {
	h := listen(t)
	c := h.config()
	c.Severity, c.Kinds = "medium", []string{"network", "pipeline"}
	l := begin(t, t.TempDir(), c)
	l.raise("low/1/low", "a/2/medium")
	replayed := record(t, func(d map[string]any) {
		d["decoder"].(map[string]any)["capture"] = map[string]any{"name": "old.pcap"}
		alertOf(d)["group"] = "replayed"
	})
	marked := record(t, nil)
	marked.Headers = []bus.Header{
		{Key: event.HeaderCapture, Value: []byte("x")}, {Key: event.HeaderID, Value: []byte("m")}, {Key: event.HeaderTime, Value: []byte("2026-03-02T12:00:00Z")},
	}
	mail := record(t, func(d map[string]any) { alertOf(d)["kind"] = "mail" })
	if err := l.Write(t.Context(), []*client.Record{replayed, marked, mail}); err != nil {
		t.Fatal(err)
	}
	l.flush(nil)
	h.tells(0, "2")
}

func TestAGroupIsToldAgainWhenItIsWorseOrLongAgo(t *testing.T) {
	h, dir := listen(t), t.TempDir()
	l := begin(t, dir, h.config())
	l.raise("a/1/high")
	l.flush(nil)
	next := begin(t, dir, h.config()) // a restart forgets nothing
	next.clock = l.clock.Add(30 * time.Second)
	next.raise("a/2/high")
	next.flush(nil)
	next.raise("a/3/critical")
	next.flush(client.ErrNotYet) // nor when it last told
	next.clock = l.clock.Add(time.Minute)
	next.flush(nil)
	h.tells(1, "3")
	next.clock = l.clock.Add(24 * time.Hour)
	next.raise("a/4/critical")
	next.flush(nil)
	next.clock = l.clock.Add(24*time.Hour + time.Minute)
	next.raise("a/5/high")
	next.flush(nil)
	h.tells(2, "5")
	if got := h.taken()[2].Alerts[0]; !got.Before.Equal(l.clock.Add(time.Minute)) {
		t.Errorf("told before at %v", got.Before)
	}
}

func TestAClockThatWasWrongSilencesNobody(t *testing.T) {
	h, dir := listen(t), t.TempDir()
	l := begin(t, dir, h.config())
	l.clock = l.clock.AddDate(10, 0, 0)
	l.raise("a/1/high")
	l.flush(nil)
	next := begin(t, dir, h.config())
	next.raise("a/2/high")
	next.flush(nil)
	h.tells(1, "2")
	next.raise("a/3/high")
	next.flush(nil)
	if n := len(h.taken()); n != 2 {
		t.Errorf("%d messages", n)
	}
}

func TestAKilledProcessSendsTheSameMessageAgain(t *testing.T) {
	h, dir := listen(t), t.TempDir()
	l := begin(t, dir, h.config())
	l.raise("a/1/high", "b/2/high")
	m, _, err := l.next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.to.send(t.Context(), m); err != nil { // killed before it is noted
		t.Fatal(err)
	}
	next := begin(t, dir, h.config())
	next.raise("c/3/high") // what comes again comes in another order
	next.raise("b/2/high")
	next.flush(client.ErrNotYet) // the same message, and c is still to be told of
	next.raise("a/1/high")
	next.clock = next.clock.Add(time.Minute)
	next.flush(nil)
	h.tells(1, "1", "2")
	h.tells(2, "3")
	if len(h.taken()) != 3 || h.keys[0] != h.keys[1] || h.keys[1] == h.keys[2] {
		t.Errorf("keys %v", h.keys)
	}
}

func TestWhatWasMissedForSureGoesIntoOneMessage(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.raise("a/1/high")
	h.server.Close()
	for range 3 {
		if err := l.Flush(t.Context()); err == nil || fault.Of(err).Code != codeUnreachable || fault.Of(err).Class != fault.Retry {
			t.Fatalf("got %v", err)
		}
		l.raise("b/2/high", "a/3/critical")
	}
	if s, _ := l.Status(t.Context()); s.Waiting != 2 || !strings.Contains(s.Error, "refused") {
		t.Errorf("%+v", s)
	}
	h.start()
	l.flush(nil)
	h.tells(0, "1", "2", "3")
	if got := h.taken()[0].Alerts; got[0].Count != 2 || got[0].Severity != "critical" || got[1].Count != 1 {
		t.Errorf("alerts %+v", got)
	}
}

func TestWhatMayHaveArrivedIsSentAsItWas(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.raise("a/1/high")
	var key string
	h.answer = func(w http.ResponseWriter, r *http.Request) bool {
		key = r.Header.Get(headerKey)
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	if err := l.Flush(t.Context()); err == nil || fault.Of(err).Class != fault.Retry {
		t.Fatalf("got %v", err)
	}
	l.raise("b/2/high", "a/1/high")
	h.answer = nil
	l.flush(client.ErrNotYet)
	h.tells(0, "1")
	if h.keys[0] != key {
		t.Error("it is another message")
	}
	l.clock = l.clock.Add(time.Minute)
	l.flush(nil)
	h.tells(1, "2")
}

func TestADestinationIsLeftAloneForAsLongAsItAsks(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.raise("a/1/high")
	asked := 0
	h.answer = func(w http.ResponseWriter, r *http.Request) bool {
		asked++
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	}
	for range 3 { // as when partitions move, and the program ends
		if e := fault.Of(l.Flush(t.Context())); e.Code != codeBusy || e.After > 10*time.Minute || e.After < 9*time.Minute {
			t.Errorf("got %+v", e)
		}
		l.clock = l.clock.Add(10 * time.Second)
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	h.answer = nil
	l.clock = l.clock.Add(10 * time.Minute)
	l.flush(nil)
	h.tells(0, "1")
}

func TestWhatIsRefusedForItsWordsIsToldWithoutThem(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.raise("a/1/high", "b/2/critical")
	h.answer = func(w http.ResponseWriter, r *http.Request) bool {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if spam := bytes.Contains(body, []byte("Trojan")); spam {
			w.WriteHeader(http.StatusBadRequest)
			return true
		}
		return false
	}
	if err := l.Flush(t.Context()); fault.Of(err).Code != codeRefused {
		t.Fatalf("got %v", err)
	}
	l.clock = l.clock.Add(time.Minute)
	l.flush(nil)
	h.tells(0, "1", "2")
	if got := h.taken()[0]; got.Title != "CRITICAL: 2 alerts to be looked at" || got.More != 2 || len(got.Alerts) != 0 {
		t.Errorf("%+v", got)
	}
	h.answer = nil
	l.raise("c/3/high")
	l.clock = l.clock.Add(time.Minute)
	l.flush(nil)
	if got := h.taken()[1]; !strings.Contains(got.Title, "Trojan") {
		t.Errorf("the next one is %q", got.Title)
	}
}

// What comes while a message goes out is no part of the flush: else it would
// never end while alerts keep coming, and no offset be committed.
func TestAlertsThatKeepComingDoNotKeepOffsetsFromBeingCommitted(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.raise("a/1/high")
	h.answer = func(http.ResponseWriter, *http.Request) bool {
		l.raise("b/2/high")
		return false
	}
	l.flush(nil)
	h.answer = nil
	l.flush(client.ErrNotYet)
	l.clock = l.clock.Add(time.Minute)
	l.flush(nil)
	h.tells(1, "2")
}

// A database that cannot be read is no record's fault.
func TestWithoutItsMemoryItWaits(t *testing.T) {
	l := begin(t, t.TempDir(), listen(t).config())
	if err := l.memory.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{l.Write(t.Context(), []*client.Record{record(t, nil)}), l.Flush(t.Context())} {
		if err == nil || fault.Of(err).Class != fault.Throttled {
			t.Errorf("got %v", err)
		}
	}
}

// One that cannot be written, as on a full disk, keeps nobody from being told.
func TestADatabaseThatTakesNothingSilencesNobody(t *testing.T) {
	h, dir := listen(t), t.TempDir()
	l := begin(t, dir, h.config())
	if _, err := l.Status(t.Context()); err != nil { // it is read by now
		t.Fatal(err)
	}
	if err := l.memory.db.Close(); err != nil {
		t.Fatal(err)
	}
	l.raise("a/1/critical")
	l.flush(nil)
	l.raise("a/2/critical")
	l.flush(nil)
	h.tells(0, "1")
	if n := len(h.taken()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestTooManyAlertsWaitInTheLog(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	l.raise("first/0/high")
	l.flush(nil)
	var all []string
	for i := range 500 {
		all = append(all, fmt.Sprintf("g%d/e%d/high", i, i))
	}
	for range maxWaiting / 500 {
		l.raise(all...)
		for i := range all {
			all[i] = "x" + strings.ReplaceAll(all[i], "/e", "/ex")
		}
	}
	one := record(t, nil)
	if err := l.Write(t.Context(), []*client.Record{one}); err == nil || fault.Of(err).Class != fault.Throttled {
		t.Fatalf("got %v", err)
	}
	l.clock = l.clock.Add(time.Minute)
	l.flush(nil)
	if got := h.taken()[1]; got.More != maxWaiting-maxLines || len(got.Events) != maxEvents {
		t.Errorf("%d more, %d events", got.More, len(got.Events))
	}
	if err := l.Write(t.Context(), []*client.Record{one}); err != nil {
		t.Error(err)
	}
}

func TestOldTellingsAreForgottenAndTheOldestOfTooMany(t *testing.T) {
	now := time.Now()
	m := memory{groups: map[groupKey]telling{}}
	for i := range maxTold + 10 {
		m.groups[keyOf(strconv.Itoa(i))] = telling{3, now.Add(time.Duration(i) * time.Second)}
	}
	m.groups[keyOf("old")] = telling{3, now.Add(-time.Hour)}
	gone := m.forget(now.Add(-time.Minute))
	if len(gone) != 11 || len(m.groups) != maxTold {
		t.Fatalf("%d gone, %d left", len(gone), len(m.groups))
	}
	for i := range 10 {
		if known, _ := m.knows(strconv.Itoa(i), 3, now.Add(24*time.Hour), 48*time.Hour); known {
			t.Errorf("the %d. oldest is kept", i)
		}
	}
}

func TestAnswersAreClassed(t *testing.T) {
	for status, want := range map[int]struct {
		class fault.Class
		code  string
		text  string
	}{
		200: {}, 204: {},
		302: {fault.Throttled, codeRefused, "no redirect"},
		400: {fault.Throttled, codeRefused, "Bad Request: no such channel"},
		401: {fault.Throttled, codeDenied, "does not accept"},
		403: {fault.Throttled, codeDenied, "does not accept"},
		404: {fault.Throttled, codeDenied, "wrong or has been withdrawn"},
		408: {fault.Retry, codeUnavailable, ""},
		410: {fault.Throttled, codeDenied, ""},
		413: {fault.Throttled, codeRefused, ""},
		429: {fault.Throttled, codeBusy, ""},
		500: {fault.Retry, codeFailed, ""},
		502: {fault.Retry, codeFailed, ""},
		503: {fault.Retry, codeUnavailable, ""},
		504: {fault.Retry, codeFailed, ""},
	} {
		err := ofStatus("host", status, 0, "no such\r\n\x00channel")
		if err == nil {
			if want.code != "" {
				t.Errorf("%d is taken for success", status)
			}
			continue
		}
		if got := fault.Of(err); got.Class != want.class || got.Code != want.code || !strings.Contains(err.Error(), want.text) || got.Class == fault.Throttled && got.After <= 0 {
			t.Errorf("%d: got %v %v", status, got.Class, err)
		}
	}
	for code, want := range map[int]struct {
		class fault.Class
		code  string
	}{
		0: {fault.Retry, codeUnreachable}, 421: {fault.Throttled, codeBusy}, 451: {fault.Throttled, codeBusy}, 454: {fault.Throttled, codeBusy},
		530: {fault.Throttled, codeDenied}, 535: {fault.Throttled, codeDenied}, 550: {fault.Throttled, codeRefused}, 554: {fault.Throttled, codeRefused},
	} {
		if got := fault.Of(ofReply(code, codeUnreachable, errors.New("said"))); got.Class != want.class || got.Code != want.code {
			t.Errorf("%d: got %v %s", code, got.Class, got.Code)
		}
	}
	now := time.Now()
	for in, want := range map[string]time.Duration{
		"7": 7 * time.Second, " 90 ": 90 * time.Second, "99999999999": time.Hour, "-1": 0, "": 0, "soon": 0,
		now.Add(time.Minute).UTC().Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).UTC().Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(in, now); got > want || got < want-2*time.Second {
			t.Errorf("Retry-After %q is %v, want %v", in, got, want)
		}
	}
	if got := fault.Of(ofStatus("host", 429, 7*time.Second, "")); got.After != 7*time.Second {
		t.Errorf("Retry-After is not kept: %v", got.After)
	}
}

func TestAWebhookIsSignedAndItsSecretsAreNowhereElse(t *testing.T) {
	h := listen(t)
	c := h.config()
	c.Webhook.URL = config.NewSecret("http://" + h.addr + "/path-secret?token=query-secret")
	c.Webhook.Secret = config.NewSecret("sign-secret")
	c.Webhook.Headers = map[string]config.Secret{"x-token": config.NewSecret("header-secret")}
	l := begin(t, t.TempDir(), c)
	var asked int
	h.answer = func(w http.ResponseWriter, r *http.Request) bool {
		asked++
		body, _ := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte("sign-secret"))
		mac.Write(body)
		if r.Header.Get(headerSignature) != "sha256="+hex.EncodeToString(mac.Sum(nil)) || r.Header.Get("X-Token") != "header-secret" || r.URL.RawQuery != "token=query-secret" {
			t.Errorf("request %v %s", r.Header, r.URL)
		}
		http.Redirect(w, r, "http://"+h.addr+"/elsewhere", http.StatusTemporaryRedirect)
		return true
	}
	l.raise("a/1/high")
	redirected := l.Flush(t.Context())
	if asked != 1 {
		t.Errorf("%d requests: a redirect is followed", asked)
	}
	h.answer = func(w http.ResponseWriter, r *http.Request) bool { // as Express does
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintf(w, "Cannot POST %s, no hook path-secret, not %s %q", r.URL, r.Header.Get("X-Token"), r.URL.Query())
		return true
	}
	l.clock = l.clock.Add(time.Hour)
	repeated := l.Flush(t.Context())
	if !strings.Contains(fmt.Sprint(repeated), "Cannot POST ***, no hook ***") {
		t.Errorf("got %v", repeated)
	}
	h.server.Close()
	for _, err := range []error{redirected, repeated, l.Flush(t.Context()), l.Test(t.Context())} {
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("got %v", err)
		}
	}
	printed, err := config.Print(c)
	if err != nil || strings.Contains(string(printed), "-secret") {
		t.Errorf("%v\n%s", err, printed)
	}
}

func TestChatsGetTextWithoutMarkup(t *testing.T) {
	h := listen(t)
	var body []byte
	var header http.Header
	h.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		body, _ = io.ReadAll(r.Body)
		header = r.Header
		return true
	}
	slack := begin(t, t.TempDir(), Config{Name: "chat", Slack: &Slack{URL: config.NewSecret("http://" + h.addr + "/services/x")}})
	hostile := record(t, func(d map[string]any) { alertOf(d)["title"] = "<!channel> & `@here` → https://evil.example" })
	if err := slack.Write(t.Context(), []*client.Record{hostile}); err != nil {
		t.Fatal(err)
	}
	slack.flush(nil)
	if got := string(body); !strings.HasPrefix(got, `{"text":"`+"```"+`\nHIGH: \u0026lt;!channel\u0026gt; \u0026amp; '[@]here' → hxxps[://]evil[.]example\n\nWho`) {
		t.Errorf("slack gets %s", got)
	}
	ntfy := begin(t, t.TempDir(), Config{Name: "phone", Ntfy: &Ntfy{URL: config.NewSecret("http://" + h.addr + "/topic"), Token: config.NewSecret("tk_1")}})
	ntfy.raise("a/1/critical")
	ntfy.flush(nil)
	if !strings.HasPrefix(string(body), "CRITICAL: Trojan calls evil[.]example\n") || header.Get("Priority") != "5" ||
		header.Get("Title") != "CRITICAL: Trojan calls evil[.]example" || header.Get("Authorization") != "Bearer tk_1" || header.Get("Markdown") != "" {
		t.Errorf("ntfy gets %v\n%s", header, body)
	}
}

func TestACertificateOfAnUnknownAuthorityIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	c := Config{Name: "x", Webhook: &Webhook{URL: config.NewSecret(server.URL)}}
	l := begin(t, t.TempDir(), c)
	if err := l.Test(t.Context()); err == nil || fault.Of(err).Code != codeUnreachable || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	secure := server.Client().Transport.(*http.Transport).TLSClientConfig
	before := len(secure.NextProtos)
	trusting, err := New(c, Deps{Secure: secure})
	if err != nil {
		t.Fatal(err)
	}
	if err := trusting.Test(t.Context()); err == nil || fault.Of(err).Code != codeDenied { // it is reached, and answers 404
		t.Errorf("got %v", err)
	}
	if len(secure.NextProtos) != before { // a trial may go out beside an alert
		t.Error("sending changes the settings of TLS")
	}
}

func TestASlowDestinationIsGivenUp(t *testing.T) {
	h := listen(t)
	l := begin(t, t.TempDir(), h.config())
	ctx, cancel := context.WithCancel(t.Context())
	h.answer = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.ReadAll(r.Body)
		cancel()
		<-r.Context().Done()
		return true
	}
	l.raise("a/1/high")
	if err := l.Flush(ctx); err == nil || fault.Of(err).Code != codeNoAnswer {
		t.Errorf("got %v", err)
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	hook := func(url string) *Webhook { return &Webhook{URL: config.NewSecret(url)} }
	mail := func(change func(*Mail)) *Mail {
		m := &Mail{Server: "smtp://mail.example", From: "d@mine.example", To: []string{"bob@mine.example"}}
		change(m)
		return m
	}
	for want, c := range map[string]Config{
		"name: want lower-case":             {Name: "On Call", Webhook: hook("https://h/x")},
		"name: want exactly one":            {Name: "x"},
		"exactly one of mail":               {Name: "x", Webhook: hook("https://h/x"), Slack: &Slack{}},
		"severity":                          {Name: "x", Severity: "grave", Webhook: hook("https://h/x")},
		"kinds":                             {Name: "x", Kinds: []string{"web"}, Webhook: hook("https://h/x")},
		"webhook: url: want https://":       {Name: "x", Webhook: hook("h/x")},
		"webhook: url: want https, or":      {Name: "x", Webhook: hook("http://h/x")},
		"neither a user":                    {Name: "x", Webhook: hook("https://u:p@h/x")},
		`headers: "host"`:                   {Name: "x", Webhook: &Webhook{URL: config.NewSecret("https://h/x"), Headers: map[string]config.Secret{"host": {}}}},
		`headers: "X-Key": want one line`:   {Name: "x", Webhook: &Webhook{URL: config.NewSecret("https://h/x"), Headers: map[string]config.Secret{"X-Key": config.NewSecret("a\nb")}}},
		"token: want one line":              {Name: "x", Ntfy: &Ntfy{URL: config.NewSecret("https://h/x"), Token: config.NewSecret("a\r\nb")}},
		"ntfy: url: want the topic":         {Name: "x", Ntfy: &Ntfy{URL: config.NewSecret("https://ntfy.sh")}},
		"server: want smtp://":              {Name: "x", Mail: mail(func(m *Mail) { m.Server = "mail.example:25" })},
		"mail: want user and password":      {Name: "x", Mail: mail(func(m *Mail) { m.User = "u" })},
		"to: want at least one":             {Name: "x", Mail: mail(func(m *Mail) { m.To = nil })},
		`to: "bob" is no address`:           {Name: "x", Mail: mail(func(m *Mail) { m.To = []string{"bob"} })},
		`from: "d\r\nBcc: x" is no address`: {Name: "x", Mail: mail(func(m *Mail) { m.From = "d\r\nBcc: x" })},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
	for _, c := range []Config{
		{Name: "x", Webhook: hook("http://127.0.0.1:8/x")}, {Name: "x", Insecure: true, Webhook: hook("http://h/x")},
		{Name: "x", Webhook: &Webhook{URL: config.NewSecret("https://h/x"), Headers: map[string]config.Secret{"X-Key": config.NewSecret("schlüssel 1")}}},
		{Name: "x", Mail: mail(func(*Mail) {})}, {Name: "x", Mail: mail(func(m *Mail) { m.From = "Decoder <d@mine.example>" })},
	} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// TestTheSinkKeepsTheContract counts how often each event is told of. The first
// is appended again while the destination is broken, and long after it was told
// of, so that there is something to tell: twice is once each time.
func TestTheSinkKeepsTheContract(t *testing.T) {
	h, broken := listen(t), false
	c := h.config()
	c.Every, c.Again = 1, 1
	db := open(t, t.TempDir())
	first := event.ID("sinktest:0", event.KindEvent, 0)
	sinktest.Check(t, sinktest.Case{
		New: func(t testing.TB) client.Sink {
			s, err := New(c, Deps{DB: db})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Input: bus.TopicAlerts,
		Value: func(_ int, id string) string {
			return `{"event":{"id":"` + id + `"},"decoder":{"alert":{"group":"` + id + `","severity":"high"}}}`
		},
		Bad:   `{"decoder":`,
		Break: func(testing.TB) { broken = true; h.server.Close() },
		Mend:  func(testing.TB) { h.start() },
		Stored: func(t testing.TB) map[string]int {
			stored := map[string]int{}
			for _, m := range h.taken() {
				for _, id := range m.Events {
					stored[id]++
				}
			}
			if broken {
				stored[first]--
			}
			h.server.Close() // for the goroutines of both
			if err := db.Close(); err != nil {
				t.Error(err)
			}
			return stored
		},
	})
}
