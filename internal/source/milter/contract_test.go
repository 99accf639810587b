package milter

import (
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	gomilter "github.com/d--j/go-milter"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/sourcetest"
)

// TestContract holds mail while the log is away: without that the source
// promises its sender nothing.
func TestContract(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "milter")
	feed, told := sourcetest.Insist(func(i int) error { return offer(socket, strconv.Itoa(i)) })
	sourcetest.Check(t, sourcetest.Case{
		New: func(t testing.TB, to bus.Appender) sourcetest.Runner {
			s, err := New(Config{Listen: "unix://" + socket, Hold: true}, to, obs.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Feed: feed, Acknowledged: told,
	})
}

// offer shows a message to the milter, as a mail server that accepts it when
// the milter does.
func offer(socket, subject string) error {
	s, err := gomilter.NewClient("unix", socket).Session(nil)
	if err != nil {
		return err
	}
	defer s.Close()
	steps := []func() (*gomilter.Action, error){
		func() (*gomilter.Action, error) {
			return s.Conn("mail.example.net", gomilter.FamilyInet, 25, "198.51.100.9")
		},
		func() (*gomilter.Action, error) { return s.Helo("helo.example.net") },
		func() (*gomilter.Action, error) { return s.Mail("<a@example.net>", "") },
		func() (*gomilter.Action, error) { return s.Rcpt("<b@example.com>", "") },
		s.DataStart,
		func() (*gomilter.Action, error) { return s.HeaderField("Subject", " "+subject, nil) },
		s.HeaderEnd,
	}
	for _, step := range steps {
		if _, err := step(); err != nil {
			return err
		}
	}
	_, last, err := s.BodyReadFrom(strings.NewReader(subject + "\r\n"))
	if err == nil && last.Type != gomilter.ActionAccept {
		err = errors.New("not accepted")
	}
	return err
}
