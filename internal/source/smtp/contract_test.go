package smtp

import (
	"fmt"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

// TestContract delivers by LMTP, as a mail server that keeps what was not
// taken and comes again.
func TestContract(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "lmtp")
	var fed, told atomic.Int64
	sourcetest.Check(t, sourcetest.Case{
		New: func(t testing.TB, to bus.Appender) sourcetest.Runner {
			s, err := New(Config{Listen: "lmtp://" + socket}, to, obs.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: func(t testing.TB, n int) {
			first := fed.Add(int64(n)) - int64(n)
			go func() {
				for i := range n {
					body := fmt.Sprintf("From: a@example.net\r\nSubject: %d\r\n\r\n%d\r\n", first+int64(i), i)
					for deliver(socket, body) != nil {
						select {
						case <-t.Context().Done():
							return
						case <-time.After(5 * time.Millisecond):
						}
					}
					told.Add(1)
				}
			}()
		},
		Acknowledged: func() int { return int(told.Load()) },
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
