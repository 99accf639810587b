package suricata

import (
	"bytes"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/decodetest"
)

// shapes returns events of the common types, 0.9 KB on average.
func shapes(t testing.TB) [][]byte {
	t.Helper()
	b, err := os.ReadFile("testdata/shapes.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(b), []byte("\n"))
}

func TestDecodeAllocatesNothing(t *testing.T) {
	d := newDecoder(t, Options{})
	meta := decode.Meta{Origin: "suricata:eve-1:2", Topic: "suricata_ingest", Partition: 1, Offset: 1 << 40}
	for _, line := range shapes(t) {
		var buf []byte
		decodetest.NoAllocs(t, string(line), func() {
			ev, err := d.Decode(line, meta, buf[:0])
			if err != nil {
				t.Fatal(err)
			}
			buf = ev.Buf
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	d := newDecoder(b, Options{})
	lines := shapes(b)
	meta := decode.Meta{Origin: "suricata:eve-1:2", Topic: "suricata_ingest", Partition: 1, Offset: 1 << 40}
	var buf []byte
	size := 0
	for _, l := range lines {
		size += len(l)
	}
	b.SetBytes(int64(size / len(lines)))
	b.ReportAllocs()
	n := 0
	before := cpu(b)
	for b.Loop() {
		ev, err := d.Decode(lines[n%len(lines)], meta, buf[:0])
		if err != nil {
			b.Fatal(err)
		}
		buf = ev.Buf
		n++
	}
	b.ReportMetric(float64(n)/(cpu(b)-before).Seconds(), "events/cpu-s")
}

// cpu is the processor time this process has used.
func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func newDecoder(t testing.TB, o Options) *Decoder {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
