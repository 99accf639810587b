package smtp

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

// TestContract delivers by LMTP, as a mail server that keeps what was not
// taken and comes again.
func TestContract(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "lmtp")
	feed, told := sourcetest.Insist(func(i int) error {
		return deliver(socket, fmt.Sprintf("From: a@example.net\r\nSubject: %d\r\n\r\nhello\r\n", i))
	})
	sourcetest.Check(t, sourcetest.Case{
		New: func(t testing.TB, to bus.Appender) sourcetest.Runner {
			s, err := New(Config{Listen: "lmtp://" + socket}, to, obs.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: feed, Acknowledged: told,
	})
}

func deliver(socket, body string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	c := gosmtp.NewClientLMTP(conn)
	defer c.Close()
	if err := c.Mail("a@example.net", nil); err != nil {
		return err
	}
	if err := c.Rcpt("b@example.com", nil); err != nil {
		return err
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
