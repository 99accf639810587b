package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/config"
)

func TestTextFromOutsideIsOneHarmlessLine(t *testing.T) {
	for in, want := range map[string]string{
		"a\r\nBcc: x\t\x00\x1b[31m b": "a Bcc: x [31m b",
		"  \n ":                       "",
		"gnp.\u202eexe\u2028\u200bx":  "gnp.·exe ·x",
		"bad\xff\xfeutf8":             "bad··utf8",
		"éééééééééé":                  "éééééé…",
		"123456":                      "123456",
	} {
		most := 80
		if strings.HasPrefix(in, "é") || in == "123456" {
			most = 6
		}
		if got := clean(in, most); got != want {
			t.Errorf("clean(%q) is %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"HTTPS://Evil.Example/a.b?x=1":         "hxxpS[://]Evil[.]Example/a[.]b?x=1",
		"ftp://evil.example":                   "ftp[://]evil[.]example",
		"mail bob@evil.example now":            "mail bob[@]evil[.]example now",
		"evil。example and evil．example":        "evil[.]example and evil[.]example",
		"203.0.113.9:80 and 192.168.1.5:80":    "203[.]0[.]113[.]9:80 and 192.168.1.5:80",
		"version 1.2.3, 99.5 points. Then end": "version 1.2.3, 99.5 points. Then end",
		"@everyone <!channel> `rm`":            "[@]everyone <!channel> 'rm'",
		"xn--80ak6aa92e.com":                   "xn--80ak6aa92e[.]com",
		"пример.рф":                            "пример[.]рф",
		"मेरी.भारत and 💩.la":                   "मेरी[.]भारत and 💩[.]la",
		"=?utf-8?q?evil=2Eexample?=":           "= ?utf-8?q?evil=2Eexample?=",
		"see x. Then .exe":                     "see x. Then .exe",
		"a_b-.example":                         "a_b-[.]example",
	} {
		if got := defang(in); got != want {
			t.Errorf("defang(%q) is %q, want %q", in, got, want)
		}
	}
}

// record is a record of an alert.
func record(t testing.TB, change func(doc map[string]any)) *client.Record {
	t.Helper()
	doc := map[string]any{
		"@timestamp":  "2026-03-02T08:15:33.411Z",
		"event":       map[string]any{"id": "e1", "kind": "alert", "severity": 3},
		"source":      map[string]any{"ip": "192.168.10.31", "port": 49900, "domain": "laptop.lan"},
		"destination": map[string]any{"ip": "203.0.113.9", "port": 443, "domain": "evil.example"},
		"observer":    map[string]any{"name": "north"},
		"decoder": map[string]any{"alert": map[string]any{
			"group": "1:2100498,192.168.10.31,203.0.113.9", "kind": "network", "severity": "high", "score": 80,
			"title": "Trojan calls evil.example",
			"checks": []any{
				map[string]any{"name": "severity", "points": 20, "evidence": "rule of priority 1", "benign": "The rule is wrong here."},
				map[string]any{"name": "listed", "points": 60, "evidence": "https://evil.example/gate.php is on a list", "benign": "The list is old."},
			},
		}},
	}
	if change != nil {
		change(doc)
	}
	value, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return recordOf(string(value))
}

func recordOf(value string) *client.Record {
	return &client.Record{Record: &bus.Record{Topic: bus.TopicAlerts, Value: []byte(value), Timestamp: time.Unix(1772439333, 0)}, Origin: "o"}
}

func alertOf(doc map[string]any) map[string]any {
	return doc["decoder"].(map[string]any)["alert"].(map[string]any)
}

var words = composer{name: "on-call", page: "https://decoder.example:8470/", zone: time.FixedZone("CET", 3600)}

func told(t testing.TB, records ...*client.Record) *message {
	t.Helper()
	groups, ids := map[string]*alert{}, map[string]string{}
	for _, r := range records {
		a, err := parse(r)
		if err != nil {
			t.Fatal(err)
		}
		ids[a.ID] = a.Group
		if groups[a.Group] == nil {
			groups[a.Group] = a
		} else {
			groups[a.Group].add(a)
		}
	}
	return words.compose(groups, ids)
}

func TestOneAlertIsToldWithAllAPersonNeeds(t *testing.T) {
	again := record(t, func(d map[string]any) {
		d["@timestamp"] = "2026-03-02T08:16:33Z"
		d["event"].(map[string]any)["id"] = "e2"
	})
	m := told(t, record(t, nil), again)
	want := `HIGH: Trojan calls evil[.]example

Who        192.168.10.31:49900 (laptop[.]lan) → 203[.]0[.]113[.]9:443 (evil[.]example)
When       2026-03-02 09:16:33 CET (08:16:33 UTC)
How often  2 times since 2026-03-02 09:15:33 CET (08:15:33 UTC)
What       network, score 80 of 100, seen by north

Why
  60 points  listed: hxxps[://]evil[.]example/gate[.]php is on a list
  20 points  severity: rule of priority 1

Harmless if
  The list is old.
  The rule is wrong here.

https://decoder.example:8470/inbox?group=1%3A2100498%2C192.168.10.31%2C203.0.113.9`
	if d := cmp.Diff(want, m.whole(maxMail)); d != "" {
		t.Error(d)
	}
	if m.Title != "HIGH: Trojan calls evil[.]example" || len(m.ID) != 32 || !slices.Equal(m.Events, []string{"e1", "e2"}) {
		t.Errorf("message %+v", m)
	}
}

func TestSeveralAlertsAreALineEachTheWorstFirst(t *testing.T) {
	var all []*client.Record
	for i := range 30 {
		all = append(all, record(t, func(d map[string]any) {
			d["event"].(map[string]any)["id"] = fmt.Sprint("e", i)
			a := alertOf(d)
			a["group"], a["title"], a["score"] = fmt.Sprint("g", i), fmt.Sprint("Alert ", i), i
			if i == 7 {
				a["severity"] = "critical"
			}
		}))
	}
	m := told(t, all...)
	lines := strings.Split(strings.TrimSpace(m.Text), "\n")
	if m.Title != "CRITICAL: Alert 7, and 29 more alerts" || len(lines) != 2+maxLines+1 || lines[len(lines)-1] != "and 10 more" {
		t.Fatalf("%s\n%s", m.Title, m.Text)
	}
	if want := "CRITICAL  Alert 7 | 192.168.10.31:49900 (laptop[.]lan) → 203[.]0[.]113[.]9:443 (evil[.]example) | 2026-03-02 09:15:33 CET (08:15:33 UTC)"; lines[2] != want {
		t.Errorf("got  %s\nwant %s", lines[2], want)
	}
	if !strings.HasPrefix(lines[3], "HIGH      Alert 29 | ") || m.More != 10 || len(m.Alerts) != 20 || len(m.Events) != 30 || len(m.Groups) != 30 || m.Group != "" {
		t.Errorf("second line %s; %d alerts, %d more", lines[3], len(m.Alerts), m.More)
	}
	slices.Reverse(all)
	if again := told(t, all...); again.ID != m.ID || again.Text != m.Text {
		t.Error("the order in which alerts come changes the message")
	}
}

func TestMailIsFromWhomToWhom(t *testing.T) {
	m := told(t, record(t, func(d map[string]any) {
		d["email"] = map[string]any{
			"from": map[string]any{"address": []any{"x@paypa1.example"}},
			"to":   map[string]any{"address": []any{"bob@mine.example", "eve@mine.example"}},
		}
		alertOf(d)["kind"] = "mail"
	}))
	if !strings.Contains(m.Text, "Who        x[@]paypa1[.]example → bob[@]mine[.]example and 1 more\n") {
		t.Error(m.Text)
	}
}

func TestAnOddAlertIsToldAndABrokenOneIsItsOwnFault(t *testing.T) {
	a, err := parse(recordOf(`{"@timestamp":"yesterday","source":{"ip":7},"observer":"x","decoder":{"alert":{"group":"g","severity":"high","score":"1e400","title":{},"checks":{"a":1}}}}`))
	if err != nil || a.Title != "g" || a.Severity != "high" || a.ID == "" || a.Last.IsZero() || a.Kind != "network" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, value := range []string{``, `{"decoder":`, `[]`, `7`, `{}`, `{"decoder":{"alert":{"group":""}}}`, `{"decoder":{"alert":{"group":"` + strings.Repeat("g", 2000) + `"}}}`} {
		if _, err := parse(recordOf(value)); err == nil {
			t.Errorf("%.40s is an alert", value)
		}
	}
}

// What a time of an alert cannot be written as must not keep a message from
// going out, for ever.
func TestNoTimeOfAnAlertKeepsItFromBeingTold(t *testing.T) {
	for _, at := range []string{"9999-12-31T23:59:59-23:00", "0000-01-01T00:00:00+23:00", "2026-03-02T08:15:33+24:00", ""} {
		r := record(t, func(d map[string]any) { d["@timestamp"] = at })
		r.Timestamp = time.UnixMilli(1 << 62)
		m := told(t, r)
		p, err := newPoster(Config{Webhook: &Webhook{URL: config.NewSecret("https://h/x")}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := p.request(m); err != nil {
			t.Errorf("%q: %v", at, err)
		}
		if _, err := json.Marshal(m); err != nil { // as it is noted
			t.Errorf("%q: %v", at, err)
		}
	}
}

// mailAs returns the message as it goes out.
func mailAs(t testing.TB, m *message) (*mail.Message, string) {
	t.Helper()
	s, err := newMailer(Config{Mail: &Mail{Server: "smtp://127.0.0.1:25", From: "Decoder <d@mine.example>", To: []string{"bob@mine.example"}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.message(m, s.config.To...)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := out.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	got, err := mail.ReadMessage(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatalf("%v in\n%s", err, b.String())
	}
	return got, b.String()
}

var mailHeaders = []string{
	"Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "Importance", "In-Reply-To", "Message-Id", "Mime-Version",
	"Priority", "References", "Subject", "To", "X-Auto-Response-Suppress", "X-Msmail-Priority", "X-Priority",
}

// checkHarmless holds for every message, whatever the alerts say.
func checkHarmless(t testing.TB, m *message) {
	t.Helper()
	text := m.whole(maxMail)
	own := strings.TrimSuffix(text, m.Link)
	for _, bad := range []string{"http://", "https://", " ://", "@everyone", "@channel", "`", "\r"} {
		if strings.Contains(own, bad) {
			t.Errorf("%q in %q", bad, own)
		}
	}
	for i, r := range own {
		if r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) || r == '@' && own[i-1] != '[' || r == ':' && strings.HasPrefix(own[i:], "://") && own[i-1] != '[' {
			t.Errorf("%q in %q", r, own)
		}
	}
	if !utf8.ValidString(text) || strings.ContainsAny(m.Title, "\n\r") || utf8.RuneCountInString(m.Title) > 700 || len(text) > maxMail {
		t.Errorf("title %q, text of %d bytes", m.Title, len(text))
	}
	for _, kind := range []Config{{Slack: &Slack{URL: config.NewSecret("https://h/x")}}, {Ntfy: &Ntfy{URL: config.NewSecret("https://h/x")}}} {
		p, err := newPoster(kind, nil)
		if err != nil {
			t.Fatal(err)
		}
		h, body, err := p.request(m)
		if err != nil || len(h.Get("Title")) > 4000 || strings.ContainsAny(h.Get("Title"), "\r\n") {
			t.Errorf("%v, header %q", err, h)
		}
		if kind.Ntfy != nil {
			if len(body) > maxChat || !strings.HasPrefix(string(body), m.Title) {
				t.Errorf("ntfy gets %d bytes: %q", len(body), body)
			}
			continue
		}
		var slack struct{ Text string }
		if err := json.Unmarshal(body, &slack); err != nil || len(slack.Text) > 2000 || strings.ContainsAny(slack.Text, "<>") || strings.Count(slack.Text, "```") != 2 {
			t.Errorf("%v, slack gets %d bytes: %q", err, len(slack.Text), slack.Text)
		}
	}
	got, raw := mailAs(t, m)
	for name := range got.Header {
		if !slices.Contains(mailHeaders, name) {
			t.Errorf("header %s in\n%s", name, raw)
		}
	}
	if len(got.Header["To"]) != 1 || !strings.HasPrefix(got.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("mail\n%s", raw)
	}
}

func TestHostileAlertsMakeHarmlessMessages(t *testing.T) {
	long := strings.Repeat("<!channel> @everyone https://evil.example/ ", 100)
	for _, title := range []string{
		"x\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script>", "```\n<https://evil.example|click>", "=?utf-8?q?x=0d=0aBcc:_eve?=",
		long, "\u202e\u2066gnp.exe", strings.Repeat("\u0301", 500), "&lt;@U123&gt;", "[click](https://evil.example)", strings.Repeat("`", 200), strings.Repeat("&", 150),
	} {
		hostile := func(n int) *client.Record {
			return record(t, func(d map[string]any) {
				d["event"].(map[string]any)["id"] = strconv.Itoa(n)
				d["observer"], d["source"] = map[string]any{"name": title}, map[string]any{"ip": title, "domain": title, "port": 1 << 30}
				a := alertOf(d)
				a["title"], a["group"] = title, fmt.Sprint(n, title)
				a["checks"] = []any{map[string]any{"name": title, "points": 1e300, "evidence": long + title, "benign": title}}
				if len(title)+2 > maxKey {
					a["group"] = strconv.Itoa(n)
				}
			})
		}
		checkHarmless(t, told(t, hostile(1)))
		checkHarmless(t, told(t, hostile(1), hostile(2), hostile(3)))
	}
}

func FuzzMessagesAreHarmless(f *testing.F) {
	f.Add("group", "title", "10.0.0.1", "evil.example", "why", "mail")
	f.Add("g\r\n", "=?utf-8?q?x=0d=0aBcc:_eve?=", "@here", "http://a.b", "`<!here>`", "")
	f.Add("．", "httphttp://://", "[@]", "1.2.3.4.5", "a@@b", "network")
	f.Fuzz(func(t *testing.T, group, title, address, domain, why, kind string) {
		d := map[string]any{
			"source": map[string]any{"ip": address, "domain": domain}, "host": map[string]any{"name": domain}, "email": map[string]any{"from": map[string]any{"address": address}},
			"decoder": map[string]any{"alert": map[string]any{
				"group": group, "title": title, "kind": kind, "checks": []any{map[string]any{"name": title, "evidence": why, "benign": why}},
			}},
		}
		value, err := json.Marshal(d)
		if err != nil {
			t.Skip()
		}
		if _, err := parse(recordOf(string(value))); err != nil {
			return
		}
		other := record(t, nil)
		checkHarmless(t, told(t, recordOf(string(value))))
		checkHarmless(t, told(t, recordOf(string(value)), other))
	})
}

func TestMailsOfAGroupAreAThreadAndNothingAnswersThem(t *testing.T) {
	first, _ := mailAs(t, told(t, record(t, nil)))
	second, raw := mailAs(t, told(t, record(t, func(d map[string]any) { d["event"] = map[string]any{"id": "e9", "severity": 4} })))
	if first.Header.Get("References") == "" || first.Header.Get("References") != second.Header.Get("References") ||
		first.Header.Get("Message-Id") == second.Header.Get("Message-Id") || second.Header.Get("Auto-Submitted") != "auto-generated" {
		t.Errorf("mail\n%s", raw)
	}
	if id := first.Header.Get("Message-Id"); id != "<"+idOf("on-call", []string{"e1"})+"@mine.example>" {
		t.Errorf("Message-ID %s is not that of the events told of", id)
	}
}
