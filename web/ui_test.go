package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
	sink "github.com/decodersring/decoder/internal/sink/store"
	"github.com/decodersring/decoder/internal/state"
	"github.com/decodersring/decoder/internal/store/vlogs"
	"github.com/decodersring/decoder/web"
)

// TestPages drives the built pages in Chromium against a real log, inbox,
// store and API; only the sensor is made up. With DECODER_UI_SERVE set it
// serves that instead, for whoever works on the pages.
func TestPages(t *testing.T) {
	if _, err := os.Stat(filepath.Join("dist", "index.html.gz")); err != nil {
		t.Skip("the pages are not built: make web")
	}
	for _, program := range []string{"node", "chromium"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is not installed: apt-get install nodejs chromium", program)
		}
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Skip("what the browser is driven with is not installed: npm ci in web")
	}
	full, empty := serve(t, true), serve(t, false)
	if os.Getenv("DECODER_UI_SERVE") != "" {
		fmt.Fprintf(os.Stderr, "%s (and with nothing in it %s) user admin password %s\n", full.url, empty.url, full.password)
		<-t.Context().Done()
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "e2e/pages.mjs")
	cmd.Env = append(os.Environ(),
		"UI_URL="+full.url, "UI_PASSWORD="+full.password, "UI_EMPTY_URL="+empty.url, "UI_EMPTY_PASSWORD="+empty.password, "UI_TMP="+t.TempDir())
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("driving the pages: %v", err)
	}
}

type instance struct{ url, password string }

// serve runs an instance until the test ends.
func serve(t *testing.T, filled bool) instance {
	t.Helper()
	b := bustest.Open(t)
	dir := t.TempDir()
	views, users := openDB(t, dir, inbox.Schema()), openDB(t, dir, api.Schema())
	ctx, stop := context.WithCancel(context.Background())
	var ended []chan error
	t.Cleanup(func() {
		stop()
		for _, c := range ended {
			if err := <-c; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
	})
	start := func(run func(context.Context) error) {
		c := make(chan error, 1)
		ended = append(ended, c)
		go func() { c <- run(ctx) }()
	}
	var health obs.Health
	scope := obs.Scope{Health: &health}
	st, err := vlogs.New(vlogs.Config{Dir: filepath.Join(t.TempDir(), "store"), MinFreeBytes: -1}, scope)
	if err != nil {
		t.Fatal(err)
	}
	start(st.Run)
	<-st.Ready()
	view := inbox.New(views, b, scope)
	for _, spec := range []client.Spec{
		{Name: "inbox", Inputs: inbox.Topics(), Sink: view},
		{Name: "store", Inputs: sink.Topics(), Sink: sink.New(st), FlushEvery: 200 * time.Millisecond},
	} {
		start(func(ctx context.Context) error { return client.Run(ctx, b, spec, scope) })
	}
	password, err := api.FirstPassword(ctx, users)
	if err != nil {
		t.Fatal(err)
	}
	ui, err := web.Handler()
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Options{Listen: "http://127.0.0.1:0"}, api.Deps{
		State: users, Log: b, Inbox: fed{view}, Store: st, Health: &health, Sensors: sensors{filled}, Reruns: oneRerun{}, UI: ui, Version: api.Version{Version: "test"},
	}, scope)
	if err != nil {
		t.Fatal(err)
	}
	start(server.Run)
	<-server.Ready()
	if filled {
		fill(t, b)
		await(t, view, 140)
	}
	return instance{server.URL(), password}
}

// oneRerun has run detect again once.
type oneRerun struct{ api.Reruns }

const rerunID = "n2c4rjp6k5wq"

func (oneRerun) List(context.Context) ([]api.Rerun, error) {
	return []api.Rerun{{
		ID: rerunID, Stage: "detect", State: "done", Done: 900, Total: 900, Started: time.Now(), Note: "a second look", Rules: []string{"new.rules"},
	}}, nil
}

// fed is a view whose feed cannot be stopped here.
type fed struct{ *inbox.Inbox }

func (fed) Rebuild(context.Context) error { return api.ErrUnavailable }

func openDB(t *testing.T, dir string, s state.Schema) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), dir, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

type sensors struct{ any bool }

func (s sensors) Sensors(context.Context) ([]api.Sensor, error) {
	if !s.any {
		return nil, nil
	}
	return []api.Sensor{{
		Name: "home", Kind: "suricata", Interface: "eth0", Level: obs.OK, Last: time.Now(), EventsPerSec: 41.3,
		Events: 1_234_567, Packets: 98_765_432, Drops: 1200, DropRatio: 0.0000121, Rules: 48_211,
	}}, nil
}

func await(t *testing.T, view *inbox.Inbox, groups uint64) {
	t.Helper()
	changed, stop := view.Watch()
	defer stop()
	patience := time.After(30 * time.Second)
	for {
		l, err := view.List(t.Context(), inbox.Filter{Limit: 1})
		if err != nil {
			t.Fatal(err)
		}
		if l.Counts.All >= groups {
			return
		}
		select {
		case <-changed:
		case <-patience:
			t.Fatalf("the inbox has %d groups, not %d", l.Counts.All, groups)
		}
	}
}

// finding is what alerts are made from here.
type finding struct {
	title, kind, severity, rule string
	score                       float64
	check, benign               string
}

func findings() []finding {
	return []finding{
		{"GPL ATTACK_RESPONSE id check returned root", "network", "high", "1:2100498", 72, "a rule matched what a web server answered: uid=0(root)", "you ran a test of this sensor yourself"},
		{"ET MALWARE Beacon to known command and control", "network", "critical", "1:2027865", 94, "the destination is on two lists of command and control servers", ""},
		{"ET SCAN Suspicious inbound to PostgreSQL port 5432", "network", "medium", "1:2010939", 41, "one address tried 40 ports in a minute", "a scanner of your own"},
		{"ET INFO Session Traversal Utilities for NAT", "network", "low", "1:2016149", 12, "a STUN request left the network", "a video call"},
		{"Invoice 4711 <script>alert(1)</script> overdue", "mail", "high", "", 66, "the display name and the address disagree", "the sender uses a mailing service"},
		{"New listening port 4444/tcp", "host", "medium", "", 38, "no process of this machine has listened there before", "you installed a new service"},
		{"Disk budget: topic events loses its oldest day early", "pipeline", "low", "", 10, "more is written than the budget holds for 3 days", ""},
	}
}

func fill(t *testing.T, b *bus.Bus) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(7, 7))
	now := time.Now().UTC()
	var records []*bus.Record
	for i := range 900 {
		records = append(records, someEvent(rnd, i, now.Add(-time.Duration(rnd.IntN(86_000))*time.Second)))
	}
	all := findings()
	for i := range 420 {
		records = append(records, someAlert(all[i%len(all)], i%140, i, now.Add(-time.Duration(rnd.IntN(85_000))*time.Second)))
	}
	again := someAlert(all[0], 0, 1000, now)
	again.Topic = bus.TopicReruns
	again.Headers = append(again.Headers,
		bus.Header{Key: rerun.HeaderRun, Value: []byte(rerunID)}, bus.Header{Key: rerun.HeaderKind, Value: []byte("document")},
		bus.Header{Key: rerun.HeaderTopic, Value: []byte(bus.TopicAlerts)})
	records = append(records, again)
	for i := range 3 {
		records = append(records, dead.Bury(dead.Letter{
			Client: "normalise", Origin: fmt.Sprint("log:test:", i),
			Failure: dead.Failure{Error: "reading line: unexpected end of JSON at byte 81", Code: "bad_json", Attempts: 1, First: now, Last: now},
			Record:  &bus.Record{Topic: bus.TopicSuricata, Offset: int64(i), Value: []byte(`{"timestamp":"2026-01-01T00:00:00`), Timestamp: now},
		}))
	}
	if err := b.Ensure(t.Context(), append(bus.Catalogue(), bus.DeadTopic("normalise"))...); err != nil {
		t.Fatal(err)
	}
	if err := b.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
}

func record(t time.Time, topic, key, id string, doc map[string]any) *bus.Record {
	value, err := json.Marshal(doc)
	if err != nil {
		panic(err) // of literals
	}
	return &bus.Record{Topic: topic, Key: []byte(key), Value: value, Timestamp: t, Headers: []bus.Header{
		{Key: event.HeaderID, Value: []byte(id)}, {Key: event.HeaderTime, Value: []byte(t.Format(time.RFC3339Nano))},
	}}
}

type m = map[string]any

func someEvent(rnd *rand.Rand, i int, at time.Time) *bus.Record {
	id := fmt.Sprintf("ev%024d", i)
	src := fmt.Sprintf("192.168.1.%d", 10+rnd.IntN(20))
	doc := m{
		"@timestamp": at.Format(time.RFC3339Nano),
		"source":     m{"ip": src, "port": 30000 + rnd.IntN(30000)},
		"network":    m{"community_id": fmt.Sprintf("1:c%d=", i/3), "transport": "tcp"},
		"related":    m{"ip": []string{src}}, "observer": m{"name": "home"},
	}
	dataset := "suricata.flow"
	switch rnd.IntN(4) {
	case 0:
		dataset = "suricata.dns"
		doc["dns"] = m{"question": m{"name": fmt.Sprintf("host%d.example.org", rnd.IntN(30)), "type": "A"}}
		doc["destination"] = m{"ip": "192.168.1.1", "port": 53}
	case 1:
		dataset = "suricata.tls"
		doc["tls"] = m{"client": m{"server_name": "www.example.com"}}
		doc["destination"] = m{"ip": "93.184.216.34", "port": 443}
	case 2:
		dataset = "suricata.http"
		doc["http"] = m{"request": m{"method": "GET"}, "response": m{"status_code": 200}}
		doc["url"] = m{"original": "/uid/index.html", "domain": "testmynids.org"}
		doc["destination"] = m{"ip": "2001:db8::17", "port": 80}
	default:
		doc["destination"] = m{"ip": "10.0.0.9", "port": 22}
	}
	doc["event"] = m{"id": id, "kind": "event", "module": "suricata", "dataset": dataset}
	return record(at, bus.TopicEvents, src, id, doc)
}

func someAlert(f finding, group, i int, at time.Time) *bus.Record {
	id := fmt.Sprintf("al%024d", i)
	key := fmt.Sprintf("test:%s:%d/%d", f.rule, group, group%7)
	src := fmt.Sprintf("192.168.1.%d", 10+group%20)
	doc := m{
		"@timestamp": at.Format(time.RFC3339Nano),
		"event":      m{"id": id, "kind": "alert", "module": "decoder", "dataset": "decoder.alert", "risk_score": f.score},
		"rule":       m{"id": f.rule, "name": f.title},
		"source":     m{"ip": src, "port": 40000 + group}, "destination": m{"ip": "203.0.113.9", "port": 80},
		"network": m{"community_id": "1:c3="}, "observer": m{"name": "home"},
		"decoder": m{"alert": m{
			"group": key, "kind": f.kind, "severity": f.severity, "score": f.score, "title": f.title, "revision": 0,
			"events": []string{fmt.Sprintf("ev%024d", i)},
			"checks": []m{{"name": "rule", "points": f.score, "evidence": f.check, "version": 7, "benign": f.benign}},
		}},
	}
	if f.kind == "mail" {
		doc["email"] = m{"from": m{"address": "billing@examp1e.net", "display_name": "Example Billing"}, "to": m{"address": []string{"ann@example.org"}}}
	}
	return record(at, bus.TopicAlerts, key, id, doc)
}

func TestUIIsServedCompressedOrNot(t *testing.T) {
	h, err := web.Handler()
	if err != nil {
		t.Fatal(err)
	}
	get := func(path, encoding string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, path := range []string{"/", "/inbox", "/some/page"} {
		w := get(path, "")
		if w.Code != http.StatusOK || !bytes.Contains(w.Body.Bytes(), []byte("<!doctype html>")) || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			t.Errorf("%s: %d %s", path, w.Code, w.Header())
		}
	}
	for _, path := range []string{"/no.js", "/assets/../../secret.txt", "/.env"} {
		if w := get(path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if zipped := get("/", "br, gzip;q=0.5"); zipped.Header().Get("Content-Encoding") == "gzip" {
		tag := zipped.Header().Get("ETag")
		if plain := get("/", "gzip;q=0"); plain.Header().Get("ETag") == tag || plain.Header().Get("Content-Encoding") != "" {
			t.Errorf("plain and compressed are told apart by nothing: %s", tag)
		}
	}
}
