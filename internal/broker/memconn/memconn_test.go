package memconn

import (
	"io"
	"net"
	"testing"

	"golang.org/x/net/nettest"
)

func TestConnIsOne(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		a, b := Pipe("memory:1", 64<<10)
		return a, b, func() { _ = a.Close(); _ = b.Close() }, nil
	})
}

func TestWhatWasWrittenBeforeCloseIsRead(t *testing.T) {
	a, b := Pipe("memory:1", 64<<10)
	if _, err := a.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != "last words" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := b.Write([]byte("x")); err == nil {
		t.Error("wrote to nobody")
	}
}
