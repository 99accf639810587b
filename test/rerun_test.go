package test

import (
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// rerun is what decoder rerun prints as JSON.
type rerun struct {
	ID, State   string
	Done, Total int
	Rules       []string
	Difference  struct {
		Same, Failed       int
		New, Gone, Changed struct {
			Count int
			First []struct {
				ID       string
				Was, Now *struct{ Title, Severity string }
			}
		}
	}
}

// counts are as live, new, gone, changed, failed.
func (r rerun) counts() [5]int {
	d := r.Difference
	return [5]int{d.Same, d.New.Count, d.Gone.Count, d.Changed.Count, d.Failed}
}

func rerunOf(t *testing.T, data string, args ...string) rerun {
	t.Helper()
	return lines[rerun](t, must(t, data, append([]string{"rerun", "--json"}, args...)...))[0]
}

// committed are the offsets of all groups, as group/topic/partition.
func committed(t *testing.T, data string) map[string]int64 {
	t.Helper()
	type group struct {
		Name       string
		Partitions []struct {
			Topic     string
			Partition int
			Committed int64
		}
	}
	at := map[string]int64{}
	for _, g := range lines[group](t, must(t, data, "groups", "--json")) {
		for _, p := range g.Partitions {
			at[fmt.Sprintf("%s %s/%d", g.Name, p.Topic, p.Partition)] = p.Committed
		}
	}
	return at
}

// without drops what is on the topics from offsets.
func without(at map[string]int64, topics ...string) map[string]int64 {
	out := map[string]int64{}
	for name, n := range at {
		kept := true
		for _, topic := range topics {
			kept = kept && !strings.Contains(name, " "+topic+"/")
		}
		if kept {
			out[name] = n
		}
	}
	return out
}

const alertLine = `{"timestamp":"2026-01-02T03:04:05.000006+0000","flow_id":1,"event_type":"alert","src_ip":"10.0.0.5","src_port":5353,"dest_ip":"10.0.0.1","dest_port":53,"proto":"TCP","alert":{"action":"allowed","gid":1,"signature_id":SID,"rev":1,"signature":"rule SID","category":"Misc activity","severity":3}}`

// TestRerunWithOtherRulesShowsWhatWouldBeOtherwise changes one rule of three
// that have alerted, takes one away, and leaves all that is live as it is.
func TestRerunWithOtherRulesShowsWhatWouldBeOtherwise(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	i := up(t, data, "--no-capture")
	var text strings.Builder
	for n := range 30 {
		text.WriteString(fresh(strings.ReplaceAll(alertLine, "SID", strconv.Itoa(3000001+n%3))) + "\n")
	}
	kcat(t, data, text.String(), "-P", "-t", "suricata_ingest", "-k", "s")
	await(t, "the alerts", func() bool { return count(t, data, "event.dataset:decoder.alert") == 30 })
	before, offsets := outcomeOf(t, data), committed(t, data)

	rules := writeFile(t, t.TempDir(), "new.rules", `alert tcp any any -> any any (msg:"rule 3000001"; priority:3; sid:3000001; rev:1;)
alert tcp any any -> any any (msg:"graver"; priority:1; sid:3000002; rev:2;)
# alert tcp any any -> any any (msg:"rule 3000003"; sid:3000003; rev:1;)
alert tcp any any -> any any (msg:"never seen"; sid:3000004; rev:1;)
`)
	r := rerunOf(t, data, "--stage", "detect", "--rules", rules)
	if r.State != "done" || r.counts() != [5]int{10, 0, 10, 10, 0} || len(r.Rules) != 1 {
		t.Fatalf("rerun: %+v", r)
	}
	for _, c := range r.Difference.Changed.First {
		if c.Was.Title != "rule 3000002" || c.Was.Severity != "low" || c.Now.Title != "graver" || c.Now.Severity != "high" {
			t.Errorf("changed from %+v to %+v", c.Was, c.Now)
		}
	}
	for _, c := range r.Difference.Gone.First {
		if c.Now != nil || c.Was.Title != "rule 3000003" {
			t.Errorf("gone: %+v", c)
		}
	}
	if out := must(t, data, "rerun", "--show", r.ID); !strings.Contains(out, "low 25 rule 3000002 -> high 75 graver") {
		t.Errorf("show says\n%s", out)
	}

	await(t, "the rerun in the store", func() bool { return count(t, data, "decoder.rerun.id:"+r.ID) == 20 })
	again := lines[struct{ Title, Rerun string }](t, must(t, data, "alerts", "--json", "--rerun", r.ID))
	if len(again) != 2 || again[0].Rerun != r.ID {
		t.Errorf("alerts of the rerun: %+v", again)
	}
	if d := cmp.Diff(before, outcomeOf(t, data)); d != "" {
		t.Errorf("what is live has changed:\n%s", d)
	}
	if d := cmp.Diff(without(offsets, "reruns"), without(committed(t, data), "reruns")); d != "" {
		t.Errorf("live offsets have changed:\n%s", d)
	}
	for _, args := range [][]string{
		{"--stage", "normalise", "--rules", rules}, {"--stage", "detect", "--rules", filepath.Join(data, "missing")}, {"--stage", "detect", "--ask"}, {"--stage", "store"},
	} {
		if r := decoder(t, data, append([]string{"rerun"}, args...)...); r.code != 2 {
			t.Errorf("rerun %v: %+v", args, r)
		}
	}
	i.terminate(t)
}

// slowService answers until it is told to hold what comes then.
type slowService struct {
	mu    sync.Mutex
	asked int
	hold  int           // from so many questions on
	held  chan struct{} // closed when the first is held
	done  chan struct{} // closed: all are let go
}

// until makes the service hold from the n-th question from now on.
func (s *slowService) until(n int) (held <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != nil {
		close(s.done)
	}
	s.hold, s.held, s.done = s.asked+n, make(chan struct{}), make(chan struct{})
	return s.held
}

func (s *slowService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	s.mu.Lock()
	s.asked++
	done := s.done
	if s.asked < s.hold || s.hold == 0 {
		done = nil
	} else if s.asked == s.hold {
		close(s.held)
	}
	s.mu.Unlock()
	if done != nil {
		select {
		case <-done:
		case <-r.Context().Done():
		}
	}
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// arrive waits for a channel to be closed.
func arrive(t *testing.T, at <-chan struct{}) {
	t.Helper()
	select {
	case <-at:
	case <-time.After(hang):
		t.Fatal("nothing arrives")
	}
}

// TestRerunOutlivesCancelAndKill cancels a rerun in the middle, goes on, kills
// the program in the middle, and goes on: everything is made once, and what is
// live is untouched all the while.
func TestRerunOutlivesCancelAndKill(t *testing.T) {
	need(t, "kcat")
	const records = 3000 // several times what is committed at a time
	service := &slowService{}
	server := httptest.NewServer(service)
	defer server.Close()
	defer service.until(1 << 30)
	data := t.TempDir()
	conf := "stages:\n  - name: ask\n    from: [json_ingest]\n    to: asked\n    http: {url: \"" + server.URL + "\", merge: answer}\n"
	if err := os.WriteFile(filepath.Join(data, "decoder.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	i := up(t, data, "--no-capture")
	var text strings.Builder
	for n := range records {
		fmt.Fprintf(&text, "{\"n\":%d}\n", n)
	}
	kcat(t, data, text.String(), "-P", "-t", "json_ingest", "-k", "one") // partition
	asked := func() int {
		return strings.Count(kcat(t, data, "", "-C", "-t", "asked", "-o", "beginning", "-e", "-q"), "\n")
	}
	await(t, "the live outputs", func() bool { return asked() == records })
	stage := func() map[string]int64 {
		at := map[string]int64{}
		for name, n := range committed(t, data) {
			if strings.HasPrefix(name, "decoder-ask ") {
				at[name] = n
			}
		}
		return at
	}
	await(t, "the live offsets", func() bool { return slices.Contains(slices.Collect(maps.Values(stage())), records) })
	offsets := stage()

	if r := decoder(t, data, "rerun", "--stage", "ask"); r.code != 2 || !strings.Contains(r.stderr, "--ask") {
		t.Errorf("a stage that asks a service is run again without leave: %+v", r)
	}
	held := service.until(records / 3)
	ended := make(chan result, 1)
	go func() { ended <- decoder(t, data, "rerun", "--stage", "ask", "--ask") }()
	arrive(t, held)
	id := lines[rerun](t, must(t, data, "rerun", "--list", "--json"))[0].ID
	must(t, data, "rerun", "--cancel", id)
	if r := <-ended; r.code == 0 || !strings.Contains(r.stderr, "cancelled") {
		t.Errorf("the command of a cancelled rerun ends with %+v", r)
	}
	if r := rerunOf(t, data, "--show", id); r.State != "cancelled" || r.Done == 0 || r.Done >= records || r.Total != records {
		t.Errorf("cancelled: %s, %d of %d", r.State, r.Done, r.Total)
	}
	for name := range committed(t, data) {
		if strings.Contains(name, id) {
			t.Errorf("the cancelled rerun has left group %s", name)
		}
	}

	held = service.until(records / 3)
	go func() { ended <- decoder(t, data, "rerun", "--continue", id) }()
	arrive(t, held)
	i.kill()
	<-ended
	i = up(t, data, "--no-capture")
	if r := rerunOf(t, data, "--show", id); r.State != "paused" || r.Done == 0 || r.Done >= records {
		t.Errorf("after the kill: %s, %d of %d", r.State, r.Done, r.Total)
	}
	service.until(1 << 30)
	r := rerunOf(t, data, "--continue", id)
	if r.State != "done" || r.Done != records {
		t.Errorf("continued: %s, %d of %d", r.State, r.Done, r.Total)
	}
	// The service's time is in every document, so all are there and none is the same.
	if r.counts() != [5]int{0, 0, 0, records, 0} {
		t.Errorf("difference %v", r.counts())
	}
	if n := asked(); n != records {
		t.Errorf("%d records on the live topic, want %d", n, records)
	}
	if d := cmp.Diff(offsets, stage()); d != "" {
		t.Errorf("live offsets have changed:\n%s", d)
	}
	for name := range committed(t, data) {
		if strings.Contains(name, id) {
			t.Errorf("the rerun has left group %s", name)
		}
	}
	if r := decoder(t, data, "rerun", "--continue", id); r.code != 2 {
		t.Errorf("continuing what is done: %+v", r)
	}
	i.terminate(t)
}

// dnsServer answers every question with a code and counts them.
type dnsServer struct {
	conn  net.PacketConn
	asked atomic.Int64
}

func newDNS(t *testing.T) *dnsServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	s := &dnsServer{conn: conn}
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n < 12 {
				continue
			}
			s.asked.Add(1)
			b[2], b[3] = b[2]|0x80, b[3]&0xf0|3 // a response; there is no such domain
			if _, err := conn.WriteTo(b[:n], from); err != nil {
				return
			}
		}
	}()
	return s
}

// TestRerunOfMailAsksNobody runs the stages of mail again in a program that
// has just started, so that no cache answers for a service.
func TestRerunOfMailAsksNobody(t *testing.T) {
	dns := newDNS(t)
	var asked atomic.Int64
	var verdict atomic.Value
	verdict.Store("bad")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		fmt.Fprintf(w, `{"verdict":%q}`, verdict.Load())
	}))
	defer server.Close()
	data, lists := t.TempDir(), t.TempDir()
	conf := fmt.Sprintf(`mail:
  own: [mine.example]
  border: {names: [mx.mine.example]}
  auth: dns
  resolver: %q
  lists: %q
  services:
    - {type: http, name: ours, kinds: [domain], url: "%s/{value}", verdict: /verdict, bad: [bad], clean: [clean]}
`, dns.conn.LocalAddr(), lists, server.URL)
	if err := os.WriteFile(filepath.Join(data, "decoder.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	i := up(t, data, "--no-capture")
	const messages = 12
	var paths []string
	for n := range messages {
		head := fmt.Sprintf("Received: from out.sender%d.example (out.sender%d.example [203.0.113.%d]) by mx.mine.example; %s\r\n", n, n, n+1, now())
		path := writeFile(t, t.TempDir(), "m.eml", head+mailOf(fmt.Sprintf("ada@sender%d.example", n), fmt.Sprint("Hello ", n), "Hello"))
		paths = append(paths, path)
	}
	must(t, data, append([]string{"mail", "import"}, paths...)...)
	await(t, "the verdicts", func() bool { return count(t, data, "event.dataset:mail.verdict") == messages })
	await(t, "the alerts", func() bool { return count(t, data, "event.dataset:decoder.alert") == messages })
	if dns.asked.Load() == 0 || asked.Load() == 0 {
		t.Fatalf("live, the DNS was asked %d times and the service %d times", dns.asked.Load(), asked.Load())
	}
	before := outcomeOf(t, data)
	i.terminate(t)
	verdict.Store("clean") // if it were asked, all would be otherwise
	i = up(t, data, "--no-capture")
	dnsAsked, serviceAsked := dns.asked.Load(), asked.Load()

	if r := rerunOf(t, data, "--stage", "hygiene"); r.State != "done" || r.counts() != [5]int{2 * messages, 0, 0, 0, 0} {
		t.Errorf("hygiene: %+v", r)
	}
	if r := rerunOf(t, data, "--stage", "jsonify"); r.State != "done" || r.counts() != [5]int{messages, 0, 0, 0, 0} {
		t.Errorf("jsonify: %+v", r)
	}
	i.terminate(t)
	writeFile(t, lists, "scores.txt", "reputation_domain 0\n")
	i = up(t, data, "--no-capture")
	// Without points for it, what the service said is no alert any more.
	if r := rerunOf(t, data, "--stage", "hygiene"); r.State != "done" || r.counts() != [5]int{0, 0, messages, messages, 0} {
		t.Errorf("hygiene with other scores: %+v", r)
	}
	if n, m := dns.asked.Load()-dnsAsked, asked.Load()-serviceAsked; n != 0 || m != 0 {
		t.Errorf("in reruns, the DNS was asked %d times and the service %d times", n, m)
	}
	if d := cmp.Diff(before, outcomeOf(t, data)); d != "" {
		t.Errorf("what is live has changed:\n%s", d)
	}
	i.terminate(t)
}
