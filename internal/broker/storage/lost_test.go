package storage

import (
	"math"
	"testing"
	"time"
)

// Few bytes may hold many records: of those an index entry takes 32 bits.
func TestSegmentHoldsNoMoreOffsetsThanItsIndex(t *testing.T) {
	fsys := newCrashFS(1)
	s := open(t, fsys)
	defer s.stop()
	p := s.topic("t", 1).Partition(0)
	for range 6 {
		b := append(newBatch(header{base: p.next, lastDelta: math.MaxInt32 - 1, producerID: -1}), make([]byte, 5000)...)
		sealBatch(b)
		h, _ := parseHeader(b)
		p.mu.Lock()
		err := p.write(b, &h, p.topic.Config(), time.Now())
		p.mu.Unlock()
		if err != nil {
			t.Fatalf("writing from offset %d: %v", h.base, err)
		}
	}
}
