package suricata

import (
	"bytes"
	"os"
	"testing"

	"github.com/decodersring/decoder/internal/decode"
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
		run := func() {
			ev, err := d.Decode(line, meta, buf[:0])
			if err != nil {
				t.Fatal(err)
			}
			buf = ev.Buf
		}
		run()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%v allocations for %.120s", n, line)
		}
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
	for b.Loop() {
		ev, err := d.Decode(lines[n%len(lines)], meta, buf[:0])
		if err != nil {
			b.Fatal(err)
		}
		buf = ev.Buf
		n++
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
}

func newDecoder(t testing.TB, o Options) *Decoder {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
