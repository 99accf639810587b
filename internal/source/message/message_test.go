package message

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
)

func TestRecordIsAddressedByTheMessagesIdentity(t *testing.T) {
	raw := []byte("From: a@example.com\r\n\r\nhello\r\n")
	r, err := Record(raw, mail.Delivery{From: "a@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	id := mail.Identity(raw)
	if string(r.Key) != id || bus.Value(r, event.HeaderOrigin) != mail.Origin(id) || r.Topic != bus.TopicEmail {
		t.Errorf("%+v", r)
	}
	if _, err := Record(nil, mail.Delivery{}); err == nil {
		t.Error("an empty message gives a record")
	}
}

func TestOnlyAnOldSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	for range 2 {
		l, err := Listen(t.Context(), "unix", path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a kill
		l.Close()
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	file := filepath.Join(dir, "precious")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix", file); err == nil {
		t.Error("a file was taken for a socket")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
}
