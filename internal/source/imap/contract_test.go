package imap

import (
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

func TestContract(t *testing.T) {
	addr, user, pool := serve(t, true)
	c := account(t, "imaps", addr, pool)
	fed := 0
	sourcetest.Check(t, sourcetest.Case{
		New: func(t testing.TB, to bus.Appender) sourcetest.Runner {
			s, err := New(c, to, obs.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: func(_ testing.TB, n int) {
			deliver(t, user, "INBOX", fed, fed+n)
			fed += n
		},
	})
}
