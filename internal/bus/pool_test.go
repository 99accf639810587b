package bus

import (
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"
)

func TestPoolLendsWhatFitsAndKeepsNoMoreThanItsLimit(t *testing.T) {
	f := free[byte]{limit: 1000}
	small, large := make([]byte, 0, 100), make([]byte, 0, 250)
	f.put(small)
	f.put(large)
	if got := f.get(90); cap(got) != 100 {
		t.Errorf("asked for 90, got %d; want the smallest that fits, 100", cap(got))
	}
	if got := f.get(20); cap(got) != 20 {
		t.Errorf("asked for 20, got %d; want a new one, not 250", cap(got))
	}
	f.put(make([]byte, 0, 251)) // above a quarter of the limit
	for range 10 {
		f.put(make([]byte, 0, 200))
	}
	if f.kept > f.limit || len(f.list) != 5 {
		t.Errorf("kept %d in %d slices, want at most %d in 5", f.kept, len(f.list), f.limit)
	}
}

func TestPoolAsksForTheSizeThatComesOut(t *testing.T) {
	p := newPool()
	packed := s2.EncodeSnappy(nil, make([]byte, 1<<20))
	if got := cap(p.GetDecompressBytes(packed, kgo.CodecSnappy)); got != 1<<20 {
		t.Errorf("room for %d bytes, want %d", got, 1<<20)
	}
	p.GetDecompressBytes([]byte("not snappy"), kgo.CodecSnappy) // bounded by what was read
}
