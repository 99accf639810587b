package test

import (
	"fmt"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
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
