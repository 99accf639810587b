package storage

import (
	"encoding/binary"
	"hash/crc32"
)

// Record is one record of a batch. Its bytes belong to the batch it was read
// from.
type Record struct {
	Offset  int64
	Time    int64 // milliseconds since 1970
	Key     []byte
	Value   []byte
	Headers []Header
	raw     []byte // as encoded, its length in front
}

// Header is one header of a record.
type Header struct {
	Key   string
	Value []byte
}

// reader takes the parts of a record from b; bad is set when it was too short
// or a length was impossible.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n int64) []byte {
	if n < 0 || n > int64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// bytes takes a nullable byte string; null is nil.
func (r *reader) bytes() []byte {
	n := r.varint()
	if n == -1 {
		return nil
	}
	return r.take(n)
}

// recordShape is what validation needs of a record.
type recordShape struct {
	delta   int64
	time    int64
	nullKey bool
}

// shape reads one record without keeping anything of it.
func (r *reader) shape() recordShape {
	body := reader{b: r.take(r.varint())}
	body.take(1) // attributes
	var s recordShape
	s.time = body.varint()
	s.delta = body.varint()
	keyLen := body.varint()
	s.nullKey = keyLen < 0
	if keyLen != -1 {
		body.take(keyLen)
	}
	if n := body.varint(); n != -1 {
		body.take(n)
	}
	for n := body.varint(); n != 0 && !body.bad; n-- {
		if n < 0 {
			body.bad = true
			break
		}
		body.take(body.varint())
		if v := body.varint(); v != -1 {
			body.take(v)
		}
	}
	r.bad = r.bad || body.bad || len(body.b) != 0
	return s
}

// checkRecords walks over the records and returns the largest timestamp.
func checkRecords(b []byte, h *header, needKeys bool) (maxTime int64, err error) {
	payload, release, err := h.payload(b)
	if err != nil {
		return 0, err
	}
	defer release()
	r := reader{b: payload}
	maxTime = -1
	for i := range h.count {
		s := r.shape()
		if r.bad {
			return 0, invalid("record %d of %d is malformed", i, h.count)
		}
		if s.delta != int64(i) {
			return 0, invalid("record %d has offset delta %d", i, s.delta)
		}
		if needKeys && s.nullKey {
			return 0, ErrNoKey
		}
		maxTime = max(maxTime, h.baseTime+s.time)
	}
	if len(r.b) != 0 {
		return 0, invalid("%d bytes behind the last record", len(r.b))
	}
	return maxTime, nil
}

// payload returns the encoded records, decompressed where they must be.
// release gives the buffer back.
func (h *header) payload(b []byte) (p []byte, release func(), err error) {
	p = b[headerSize:h.size]
	if h.codec() == codecNone {
		return p, func() {}, nil
	}
	return decompress(h.codec(), p)
}

// eachRecord calls fn for every record of a whole batch until it returns
// false. The record and its bytes are valid during the call.
func eachRecord(b []byte, h *header, fn func(*Record) bool) error {
	payload, release, err := h.payload(b)
	if err != nil {
		return err
	}
	defer release()
	r := reader{b: payload}
	for i := range h.count {
		rec, ok := r.record(h)
		if !ok {
			return invalid("record %d of %d is malformed", i, h.count)
		}
		if !fn(&rec) {
			return nil
		}
	}
	return nil
}

func (r *reader) record(h *header) (Record, bool) {
	start := r.b
	body := reader{b: r.take(r.varint())}
	rec := Record{raw: start[:len(start)-len(r.b)]}
	body.take(1)
	rec.Time = h.baseTime + body.varint()
	if h.attributes&attrLogAppendTime != 0 {
		rec.Time = h.maxTime
	}
	rec.Offset = h.base + body.varint()
	rec.Key = body.bytes()
	rec.Value = body.bytes()
	n := body.varint()
	if n < 0 || n > int64(len(body.b)) {
		return rec, false
	}
	for range n {
		rec.Headers = append(rec.Headers, Header{Key: string(body.bytes()), Value: body.bytes()})
	}
	return rec, !r.bad && !body.bad
}

// KeyValue is a record to be written by the broker itself. A nil value is a
// tombstone.
type KeyValue struct{ Key, Value []byte }

// encodeBatch makes an uncompressed batch of the broker's own records.
func encodeBatch(kvs []KeyValue, now int64) []byte {
	b := newBatch(header{
		baseTime: now, maxTime: now, producerID: -1, epoch: -1, sequence: -1,
		count: int32(len(kvs)), lastDelta: int32(len(kvs)) - 1,
	})
	var body []byte
	for i, kv := range kvs {
		body = append(body[:0], 0) // attributes
		body = binary.AppendVarint(body, 0)
		body = binary.AppendVarint(body, int64(i))
		body = appendBytes(body, kv.Key)
		body = appendBytes(body, kv.Value)
		body = binary.AppendVarint(body, 0) // headers
		b = binary.AppendVarint(b, int64(len(body)))
		b = append(b, body...)
	}
	sealBatch(b)
	return b
}

func appendBytes(b, v []byte) []byte {
	if v == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(v)))
	return append(b, v...)
}

// newBatch returns the encoded header h; records are to be appended to it, and
// then sealBatch sets length and CRC.
func newBatch(h header) []byte {
	be := binary.BigEndian
	b := make([]byte, headerSize, 1024)
	be.PutUint64(b[offBaseOffset:], uint64(h.base))
	be.PutUint32(b[offLeaderEpoch:], LeaderEpoch)
	b[offMagic] = 2
	be.PutUint16(b[offAttributes:], uint16(h.attributes))
	be.PutUint32(b[offLastDelta:], uint32(h.lastDelta))
	be.PutUint64(b[offBaseTime:], uint64(h.baseTime))
	be.PutUint64(b[offMaxTime:], uint64(h.maxTime))
	be.PutUint64(b[offProducerID:], uint64(h.producerID))
	be.PutUint16(b[offProducerEpoch:], uint16(h.epoch))
	be.PutUint32(b[offBaseSequence:], uint32(h.sequence))
	be.PutUint32(b[offRecordCount:], uint32(h.count))
	return b
}

func sealBatch(b []byte) {
	binary.BigEndian.PutUint32(b[offLength:], uint32(len(b)-lengthOverhead))
	binary.BigEndian.PutUint32(b[offCRC:], crc32.Checksum(b[offAttributes:], castagnoli))
}
