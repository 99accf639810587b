package test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// mailOf is a message of this minute, so that the store's age limit keeps it.
func mailOf(from, subject, body string) string {
	return fmt.Sprintf("Date: %s\r\nFrom: %s\r\nTo: bob@mine.example\r\nSubject: %s\r\nMessage-ID: <%s>\r\n\r\n%s\r\n",
		time.Now().Format(time.RFC1123Z), from, subject, strings.ReplaceAll(subject, " ", "."), body)
}

func listenPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestMailByAnyWayIsOneExplainedAlert takes a message in by SMTP and by import,
// and what a local feed lists by Kafka's way, in the real program.
func TestMailByAnyWayIsOneExplainedAlert(t *testing.T) {
	data, port := t.TempDir(), listenPort(t)
	conf := fmt.Sprintf("mail:\n  own: [mine.example]\n  receive:\n    - listen: smtp://127.0.0.1:%d\n", port)
	if err := os.WriteFile(filepath.Join(data, "decoder.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(data, "intel"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(data, "intel", "own.txt"), []byte("listed.example # kit\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	i := up(t, data, "--no-capture")
	forged := mailOf("PayPal Service ,_<x@paypa1.example>", "Final notice", "https://x.sbs/")
	listed := mailOf("ada@fine.example", "Lunch", "see https://www.listed.example/menu")
	calm := mailOf("ada@fine.example", "Dinner", "at eight?")
	for _, m := range []string{forged, listed, calm} {
		if err := smtp.SendMail(fmt.Sprintf("127.0.0.1:%d", port), nil, "x@sender.example", []string{"bob@mine.example"}, []byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	again := filepath.Join(t.TempDir(), "again.eml")
	if err := os.WriteFile(again, []byte(strings.ReplaceAll(forged, "\r\n", "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, data, "mail", "import", again)
	await(t, "three verdicts", func() bool { return count(t, data, "event.dataset:mail.verdict") == 3 })
	await(t, "two alerts", func() bool { return count(t, data, "event.dataset:decoder.alert") == 2 })
	alerts := must(t, data, "alerts", "list", "--kind", "mail")
	for _, want := range []string{"x@paypa1.example", "ada@fine.example"} {
		if strings.Count(alerts, want) == 0 {
			t.Errorf("no alert of %s in\n%s", want, alerts)
		}
	}
	if n := count(t, data, "mail.verdict.result:clean"); n != 1 {
		t.Errorf("%d clean verdicts, want 1", n)
	}
	verdict := must(t, data, "mail", "check", again)
	if !strings.Contains(verdict, "from_malformed") || !strings.Contains(verdict, "harmless if") {
		t.Errorf("mail check said\n%s", verdict)
	}
	i.terminate(t)
}

// TestAServicesQuotaOutlivesTheProgram kills the program after a service's
// quota is used up.
func TestAServicesQuotaOutlivesTheProgram(t *testing.T) {
	var calls atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		fmt.Fprint(w, `{"score": 1}`)
	}))
	defer service.Close()
	data := t.TempDir()
	conf := fmt.Sprintf("mail:\n  services:\n    - {type: http, name: ours, kinds: [domain], url: %q, score: /score, from: 50, quota: 2}\n", service.URL+"/{domain}")
	if err := os.WriteFile(filepath.Join(data, "decoder.yml"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	running := up(t, data, "--no-capture")
	mails := t.TempDir()
	send := func(n int) {
		t.Helper()
		path := filepath.Join(mails, fmt.Sprint(n, ".eml"))
		if err := os.WriteFile(path, []byte(mailOf(fmt.Sprintf("ada@fine%d.example", n), fmt.Sprint("Lunch ", n), "at eight?")), 0o600); err != nil {
			t.Fatal(err)
		}
		must(t, data, "mail", "import", path)
		await(t, "the verdict", func() bool { return count(t, data, "event.dataset:mail.verdict") == uint64(n) })
	}
	for n := range 3 {
		send(n + 1)
	}
	shown := func() string { return must(t, data, "mail", "checks") }
	if calls.Load() != 2 || !strings.Contains(shown(), "2 of 2 calls today") {
		t.Fatalf("%d calls, and mail checks says\n%s", calls.Load(), shown())
	}
	running.kill()
	running = up(t, data, "--no-capture")
	if !strings.Contains(shown(), "2 of 2 calls today") {
		t.Errorf("after a restart mail checks says\n%s", shown())
	}
	send(4)
	if n := calls.Load(); n != 2 {
		t.Errorf("after a restart the service is asked again: %d calls", n)
	}
	if n := count(t, data, "mail.verdict.incomplete:true"); n != 2 {
		t.Errorf("%d verdicts are incomplete, want the two without an answer", n)
	}
	running.terminate(t)
}

// TestWhoFollowsAMessageIsNamedWithIt has a link's host, and an attachment,
// of an alarming message turn up in events of the network.
func TestWhoFollowsAMessageIsNamedWithIt(t *testing.T) {
	need(t, "kcat")
	data := t.TempDir()
	i := up(t, data, "--no-capture")
	const content = "MZ nothing to run"
	sum := sha256.Sum256([]byte(content))
	hash := hex.EncodeToString(sum[:])
	body := "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhttps://pay.x.sbs/now\r\n--b\r\n" +
		"Content-Type: application/octet-stream; name=invoice.exe\r\nContent-Disposition: attachment\r\n\r\n" + content + "\r\n--b--"
	forged := strings.Replace(mailOf("PayPal Service ,_<x@paypa1.example>", "Final notice", body), "\r\n\r\nMIME", "\r\nMIME", 1)
	must(t, data, "mail", "import", writeFile(t, t.TempDir(), "forged.eml", forged))
	alert := func(rule string) []followed {
		return lines[followed](t, must(t, data, "search", "--json", "--limit", "0", "event.dataset:decoder.alert "+rule))
	}
	await(t, "the message's alert", func() bool {
		return len(alert("event.module:mail")) == 1 || len(alert(`email.subject:"Final notice"`)) == 1
	})
	message := alert(`email.subject:"Final notice"`)[0]

	const head = `{"timestamp":"2026-01-02T03:04:05.000006+0000","flow_id":1,"src_port":5353,"dest_ip":"203.0.113.9","dest_port":443,"proto":"TCP",`
	for who, rest := range map[string]string{
		"10.0.0.1": `"event_type":"dns","dns":{"type":"query","id":7,"rrname":"pay.x.sbs","rrtype":"A"}`,
		"10.0.0.2": `"event_type":"tls","tls":{"sni":"PAY.x.sbs","version":"TLS 1.3"}`,
		"10.0.0.3": `"event_type":"http","http":{"hostname":"pay.x.sbs","url":"/now","http_method":"GET","protocol":"HTTP/1.1","status":200}`,
		"10.0.0.4": `"event_type":"fileinfo","http":{"hostname":"other.example","url":"/i"},"fileinfo":{"filename":"/i","sha256":"` + hash + `","state":"CLOSED","size":17}`,
		"10.0.0.5": `"event_type":"dns","dns":{"type":"query","id":7,"rrname":"other.example","rrtype":"A"}`,
	} {
		kcat(t, data, fresh(head+`"src_ip":"`+who+`",`+rest+"}\n"), "-P", "-t", "suricata_ingest")
	}
	await(t, "the four who followed it", func() bool { return len(alert("rule.name:mail_followed")) >= 4 })
	await(t, "all events", func() bool { return count(t, data, "event.module:suricata") == 5 })
	found := map[string]bool{}
	for _, a := range alert("rule.name:mail_followed") {
		found[a.Source.IP] = true
		if !slices.Contains(a.Decoder.Alert.Events, message.Event.ID) || len(a.Decoder.Alert.Events) != 2 || a.Email.Subject != "Final notice" || !slices.Contains(a.Email.From.Address, "x@paypa1.example") {
			t.Errorf("an alert does not name the message: %+v", a)
			continue
		}
		other := a.Decoder.Alert.Events[1-slices.Index(a.Decoder.Alert.Events, message.Event.ID)]
		if n := count(t, data, "event.module:suricata source.ip:"+a.Source.IP+" event.id:"+other); n != 1 {
			t.Errorf("the alert of %s does not name its event", a.Source.IP)
		}
	}
	if len(found) != 4 || found["10.0.0.5"] {
		t.Errorf("alerts of %v, want of those who followed the message", found)
	}
	i.terminate(t)
}

// followed is what an alert says of a message and of the network.
type followed struct {
	Event  struct{ ID string }
	Source struct{ IP string }
	Email  struct {
		Subject string
		From    struct{ Address []string }
	}
	Decoder struct {
		Alert struct{ Events []string }
	}
}
