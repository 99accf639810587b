package milter

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	gomilter "github.com/d--j/go-milter"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/obs"
)

type fakeLog struct {
	mu      sync.Mutex
	records []*bus.Record
	err     error
	silent  bool
}

func (f *fakeLog) Append(ctx context.Context, records ...*bus.Record) error {
	if f.silent {
		<-ctx.Done()
		return ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.records = append(f.records, records...)
	return nil
}

func start(t *testing.T, c Config, log bus.Appender) (addr string) {
	t.Helper()
	c.Listen = "tcp://127.0.0.1:0"
	s, err := New(c, log, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return (<-s.Ready()).String()
}

// play is a mail server for messages over one connection.
func play(t *testing.T, addr string, bodies ...string) (last *gomilter.Action) {
	t.Helper()
	s, err := gomilter.NewClient("tcp", addr).Session(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	step := func(_ *gomilter.Action, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	step(s.Conn("mail.example.net", gomilter.FamilyInet, 25, "198.51.100.9"))
	step(s.Helo("helo.example.net"))
	for _, body := range bodies {
		step(s.Mail("<a@example.net>", ""))
		step(s.Rcpt("<b@example.com>", ""))
		step(s.DataStart())
		step(s.HeaderField("From", " a@example.net", nil))
		step(s.HeaderField("Subject", " folded\n\tover lines", nil))
		step(s.HeaderEnd())
		_, last, err = s.BodyReadFrom(strings.NewReader(body)) // and the end
		if err != nil {
			t.Fatal(err)
		}
	}
	return last
}

func TestWhatTheServerKnowsIsKept(t *testing.T) {
	log := &fakeLog{}
	a := play(t, start(t, Config{}, log), "one\r\n", "two\r\n")
	if a.Type != gomilter.ActionAccept || len(log.records) != 2 {
		t.Fatalf("action %v, %d records", a, len(log.records))
	}
	want := "From: a@example.net\r\nSubject: folded\r\n\tover lines\r\n\r\none\r\n"
	if got := string(log.records[0].Value); got != want {
		t.Errorf("record %q, want %q", got, want)
	}
	var d mail.Delivery
	if err := json.Unmarshal([]byte(bus.Value(log.records[1], mail.HeaderDelivery)), &d); err != nil {
		t.Fatal(err)
	}
	if d.ClientIP.String() != "198.51.100.9" || d.ClientName != "mail.example.net" || d.HELO != "helo.example.net" || d.From != "a@example.net" || len(d.To) != 1 {
		t.Errorf("%+v", d)
	}
}

func TestMailPassesWhateverTheLogDoesUnlessItIsToBeHeld(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Config
		log  *fakeLog
		want gomilter.ActionType
	}{
		{"down", Config{}, &fakeLog{err: errors.New("down")}, gomilter.ActionAccept},
		{"silent", Config{Wait: 50 * time.Millisecond}, &fakeLog{silent: true}, gomilter.ActionAccept},
		{"down, held", Config{Hold: true}, &fakeLog{err: errors.New("down")}, gomilter.ActionTempFail},
		{"too large", Config{MaxSize: 100, Hold: true}, &fakeLog{}, gomilter.ActionAccept},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := "x\r\n"
			if tt.c.MaxSize > 0 {
				body = strings.Repeat("0123456789\r\n", 20)
			}
			if a := play(t, start(t, tt.c, tt.log), body); a.Type != tt.want || len(tt.log.records) != 0 {
				t.Errorf("action %v, %d records", a, len(tt.log.records))
			}
		})
	}
}

// away is a log that acknowledges nothing until it is back.
type away struct {
	fakeLog
	back chan struct{}
	done chan struct{}
}

func (a *away) Append(ctx context.Context, records ...*bus.Record) error {
	select {
	case <-a.back:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer close(a.done)
	return a.fakeLog.Append(ctx, records...)
}

func TestAMessageThatPassedDuringAnOutageIsAppendedAfterIt(t *testing.T) {
	log := &away{back: make(chan struct{}), done: make(chan struct{})}
	a := play(t, start(t, Config{Wait: time.Millisecond}, log), "one\r\n")
	if a.Type != gomilter.ActionAccept {
		t.Fatalf("action %v during the outage, want accept", a)
	}
	close(log.back)
	select {
	case <-log.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the log never got the message")
	}
	log.mu.Lock()
	defer log.mu.Unlock()
	if len(log.records) != 1 {
		t.Errorf("%d records, want 1", len(log.records))
	}
}
