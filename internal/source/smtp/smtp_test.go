package smtp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

type fakeLog struct {
	mu      sync.Mutex
	records []*bus.Record
	err     error
	hold    chan struct{} // Append waits for it to be closed
}

func (f *fakeLog) Append(ctx context.Context, records ...*bus.Record) error {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return f.err
	}
	f.records = append(f.records, records...)
	return nil
}

func start(t *testing.T, c Config, log bus.Appender) (addr string, stop func()) {
	s, err := New(c, log, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	a := <-s.Ready()
	return a.String(), func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
}

func send(t *testing.T, addr string, lmtp bool, body string) error {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := gosmtp.NewClient(conn)
	if lmtp {
		c = gosmtp.NewClientLMTP(conn)
	}
	defer c.Close()
	if err := c.Mail("a@example.net", nil); err != nil {
		return err
	}
	for _, to := range []string{"b@example.com", "c@example.com"} {
		if err := c.Rcpt(to, nil); err != nil {
			return err
		}
	}
	if lmtp {
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte(body)); err != nil {
			return err
		}
		return w.Close()
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(body)); err != nil {
		return err
	}
	return w.Close()
}

func code(err error) int {
	if e, ok := errors.AsType[*gosmtp.SMTPError](err); ok {
		return e.Code
	}
	if err != nil {
		return -1
	}
	return 250
}

func TestAnswerIsTheLogsAnswer(t *testing.T) {
	for _, scheme := range []string{"smtp", "lmtp"} {
		for _, tt := range []struct {
			name string
			err  error
			body string
			want int
		}{
			{"acknowledged", nil, "Subject: x\r\n\r\nhello\r\n", 250},
			{"log is down", errors.New("down"), "Subject: x\r\n\r\nhello\r\n", 451},
			{"too large for the log", fault.NewPermanent(bus.CodeTooLarge, errors.New("large")), "x\r\n", 552},
			{"too large", nil, strings.Repeat("0123456789abcdef\r\n", 100), 552},
		} {
			t.Run(scheme+"/"+tt.name, func(t *testing.T) {
				log := &fakeLog{err: tt.err}
				addr, stop := start(t, Config{Listen: scheme + "://127.0.0.1:0", MaxSize: 1000}, log)
				defer stop()
				err := send(t, addr, scheme == "lmtp", tt.body)
				if got := code(err); got != tt.want {
					t.Errorf("answer %d (%v), want %d", got, err, tt.want)
				}
				if len(log.records) != map[bool]int{true: 1, false: 0}[tt.want == 250] {
					t.Errorf("%d records", len(log.records))
				}
				if tt.want == 250 && !bytes.Equal(log.records[0].Value, []byte(tt.body)) {
					t.Errorf("record %q", log.records[0].Value)
				}
			})
		}
	}
}

func TestNothingIsAcknowledgedBeforeTheLogHas(t *testing.T) {
	log := &fakeLog{hold: make(chan struct{})}
	addr, stop := start(t, Config{Listen: "smtp://127.0.0.1:0"}, log)
	defer stop()
	answered := make(chan error, 1)
	go func() { answered <- send(t, addr, false, "Subject: x\r\n\r\n") }()
	select {
	case err := <-answered:
		t.Fatalf("answered %v while the log had not acknowledged", err)
	case <-time.After(100 * time.Millisecond):
	}
	close(log.hold)
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestSilentLogIsAnsweredWithTryAgain(t *testing.T) {
	log := &fakeLog{hold: make(chan struct{})}
	addr, stop := start(t, Config{Listen: "smtp://127.0.0.1:0", Wait: 50 * time.Millisecond}, log)
	defer stop()
	if got := code(send(t, addr, false, "Subject: x\r\n\r\n")); got != 451 {
		t.Errorf("answer %d", got)
	}
}

func TestStrangersMayNotDeliver(t *testing.T) {
	log := &fakeLog{}
	addr, stop := start(t, Config{Listen: "smtp://127.0.0.1:0", From: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, log)
	defer stop()
	if got := code(send(t, addr, false, "x")); got != 554 {
		t.Errorf("answer %d", got)
	}
}

func TestListenAddressesAreChecked(t *testing.T) {
	for _, s := range []string{"", "127.0.0.1:25", "http://127.0.0.1:25", "smtp:///x", "smtp://localhost"} {
		if _, err := New(Config{Listen: s}, &fakeLog{}, obs.Scope{}); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
