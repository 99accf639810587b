package event

import (
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

func TestIDIsAHashOfItsParts(t *testing.T) {
	h := sha256.New()
	for _, s := range []string{"suricata:eve-1:2", KindEvent} {
		_ = binary.Write(h, binary.BigEndian, uint64(len(s)))
		h.Write([]byte(s))
	}
	_ = binary.Write(h, binary.BigEndian, uint64(3))
	want := idEncoding.EncodeToString(h.Sum(nil)[:16])
	if got := ID("suricata:eve-1:2", KindEvent, 3); got != want || len(got) != 26 {
		t.Errorf("got %s, want %s", got, want)
	}
	if ID("a", KindEvent, 0) == ID("a", KindAlert, 0) {
		t.Error("an event and the alert made of it have one id")
	}
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { buf = AppendID(buf[:0], "suricata:eve-1:2", KindEvent, 3) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
