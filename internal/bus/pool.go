package bus

import (
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"
)

// pool lends the memory of fetched batches: the bytes they are decompressed
// into and their records. It comes back when the last record of a batch is
// recycled, zeroed; what never comes back is the collector's. Without it, it
// is a third of all the program allocates under load.
type pool struct {
	bytes   free[byte]
	records free[Record]
}

const (
	pooledBytes   = 16 << 20 // kept for the next batches, over all groups
	pooledRecords = 64 << 10
)

func newPool() *pool {
	return &pool{bytes: free[byte]{limit: pooledBytes}, records: free[Record]{limit: pooledRecords}}
}

// GetDecompressBytes implements [kgo.PoolDecompressBytes].
func (p *pool) GetDecompressBytes(compressed []byte, codec kgo.CompressionCodecType) []byte {
	size := 4 * len(compressed)
	if codec == kgo.CodecSnappy {
		if n, err := s2.DecodedLen(compressed); err == nil {
			size = n
		}
	}
	return p.bytes.get(min(size, maxRead))
}

// PutDecompressBytes implements [kgo.PoolDecompressBytes].
func (p *pool) PutDecompressBytes(b []byte) { p.bytes.put(b) }

// GetRecords implements [kgo.PoolRecords].
func (p *pool) GetRecords(n int) []Record { return p.records.get(n) }

// PutRecords implements [kgo.PoolRecords].
func (p *pool) PutRecords(r []Record) { p.records.put(r) }

// free is a list of slices that nobody uses, of limit elements altogether.
type free[T any] struct {
	limit int

	mu   sync.Mutex
	list [][]T
	kept int
}

// get returns the smallest slice with room for n that is not far too large, or
// a new one.
func (f *free[T]) get(n int) []T {
	f.mu.Lock()
	defer f.mu.Unlock()
	best := -1
	for i, s := range f.list {
		if cap(s) >= n && cap(s)/4 <= n && (best < 0 || cap(s) < cap(f.list[best])) {
			best = i
		}
	}
	if best < 0 {
		return make([]T, 0, n)
	}
	s := f.list[best]
	last := len(f.list) - 1
	f.list[best], f.list[last] = f.list[last], nil
	f.list = f.list[:last]
	f.kept -= cap(s)
	return s
}

// put keeps a slice, in place of the oldest when the list is full.
func (f *free[T]) put(s []T) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cap(s) > f.limit/4 {
		return
	}
	for f.kept+cap(s) > f.limit {
		f.kept -= cap(f.list[0])
		f.list[0] = nil
		f.list = f.list[1:]
	}
	f.list = append(f.list, s[:0])
	f.kept += cap(s)
}
