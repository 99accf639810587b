package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
)

// told is what one path of a server was told.
type told struct {
	mu     sync.Mutex
	status int    // answered instead of taking it; 0: taken
	kill   func() // before the answer to the next message, which is taken; once
	bodies []string
	keys   []string
}

func (d *told) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.status != 0 {
		w.WriteHeader(d.status)
		return
	}
	d.bodies, d.keys = append(d.bodies, string(body)), append(d.keys, r.Header.Get("Idempotency-Key"))
	if d.kill != nil {
		d.kill()
		d.kill = nil
	}
}

func (d *told) set(status int) { d.mu.Lock(); d.status = status; d.mu.Unlock() }

// of counts the messages, each once however often it came, that say something.
func (d *told) of(text string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	distinct := map[string]bool{}
	for i, b := range d.bodies {
		if strings.Contains(b, text) {
			distinct[d.keys[i]] = true
		}
	}
	return len(distinct)
}

type destination struct {
	Name    string
	Waiting int
	Error   string
	Told    string
}

// TestAlertsAreToldOverAKillAndAnOutage tells three destinations of alerts: the
// program is killed when one has the message and has not answered, and is
// refused by it for a while.
func TestAlertsAreToldOverAKillAndAnOutage(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	hook, chat, phone := &told{}, &told{}, &told{}
	mux := http.NewServeMux()
	mux.Handle("/hook-secret", hook)
	mux.Handle("/chat-secret", chat)
	mux.Handle("/phone-secret", phone)
	server := httptest.NewServer(mux)
	defer server.Close()
	writeFile(t, data, "decoder.yml", fmt.Sprintf(`page: {url: "https://decoder.example:8470"}
notify:
  - {name: hook, every: 1s, webhook: {url: "%[1]s/hook-secret", secret: signing-secret}}
  - {name: chat, every: 1s, slack: {url: "%[1]s/chat-secret"}}
  - {name: phone, every: 1s, kinds: [network], ntfy: {url: "%[1]s/phone-secret", token: token-secret}}
`, server.URL))
	i := up(t, data, "--no-capture")
	groups := must(t, data, "groups")
	raise := func(host string) {
		t.Helper()
		kcat(t, data, fresh(strings.Replace(finding(dnsLine), "10.0.0.5", host, 1))+"\n", "-P", "-t", "suricata_ingest")
	}
	killed := make(chan struct{})
	hook.kill = func() { i.kill(); close(killed) }
	raise("10.0.0.11")
	<-killed
	i = up(t, data, "--no-capture")
	await(t, "the first alert everywhere", func() bool {
		hook.mu.Lock()
		again := len(hook.bodies)
		hook.mu.Unlock()
		return again == 2 && chat.of("10.0.0.11") > 0 && phone.of("10.0.0.11") > 0
	})
	if n := hook.of("10.0.0.11"); n != 1 || hook.bodies[0] != hook.bodies[1] {
		t.Errorf("after the kill it is another message:\n%s", strings.Join(hook.bodies, "\n"))
	}
	for name, d := range map[string]*told{"chat": chat, "phone": phone} {
		if n := d.of("10.0.0.11"); n != 1 {
			t.Errorf("%s is told by %d messages, want 1", name, n)
		}
	}
	if !strings.Contains(chat.bodies[0], "https://decoder.example:8470/inbox?group=") || !strings.Contains(phone.bodies[0], "HIGH: a finding\n") {
		t.Errorf("chat and phone got\n%s\n%s", chat.bodies[0], phone.bodies[0])
	}

	hook.set(http.StatusServiceUnavailable)
	raise("10.0.0.12")
	await(t, "the other destinations", func() bool { return chat.of("10.0.0.12") == 1 && phone.of("10.0.0.12") == 1 })
	raise("10.0.0.13")
	hookOf := func() destination {
		all := lines[destination](t, must(t, data, "notify", "--json"))
		return all[slices.IndexFunc(all, func(d destination) bool { return d.Name == "hook" })]
	}
	await(t, "the outage to be told", func() bool { d := hookOf(); return d.Waiting == 2 && strings.Contains(d.Error, "503") })
	if r := decoder(t, data, "notify", "test", "hook"); r.code == 0 || !strings.Contains(r.stderr, "503") {
		t.Errorf("a trial during the outage: %d\n%s", r.code, r.stderr)
	}
	hook.set(0)
	await(t, "what was missed", func() bool { return hook.of("10.0.0.13") == 1 })
	if n := hook.of("10.0.0.12"); n != 1 || len(hook.bodies) != 3 {
		t.Errorf("what was missed came in %d messages:\n%s", len(hook.bodies)-2, strings.Join(hook.bodies, "\n"))
	}
	var digest struct{ Events []string }
	if err := json.Unmarshal([]byte(hook.bodies[2]), &digest); err != nil || len(digest.Events) != 2 {
		t.Errorf("%v: %s", err, hook.bodies[2])
	}
	raise("10.0.0.12") // told of today
	must(t, data, "notify", "test", "hook")
	if n := hook.of("trial message"); n != 1 {
		t.Errorf("%d trial messages", n)
	}
	if r := decoder(t, data, "notify", "test", "nobody"); r.code == 0 || !strings.Contains(r.stderr, `no destination "nobody"`) {
		t.Errorf("%d %s", r.code, r.stderr)
	}
	shown := must(t, data, "notify") + must(t, data, "notify", "--json") + must(t, data, "config", "print") + groups
	i.terminate(t)
	if n := hook.of("10.0.0.12"); n != 1 || len(hook.bodies) != 4 {
		t.Errorf("it is told again: %d messages", len(hook.bodies))
	}
	if all := shown + i.written(); strings.Contains(all, "-secret") || !strings.Contains(all, "decoder-notify-hook") {
		t.Errorf("a secret is shown, or no group:\n%s", all)
	}

	writeFile(t, data, "decoder.yml", fmt.Sprintf("notify: [{name: chat, slack: {url: %s/chat-secret}}]\n", server.URL))
	i = up(t, data, "--no-capture")
	if groups := must(t, data, "groups"); !strings.Contains(groups, "decoder-notify-chat") || strings.Contains(groups, "decoder-notify-hook") {
		t.Errorf("the log remembers destinations that are no more:\n%s", groups)
	}
	i.terminate(t)
}
