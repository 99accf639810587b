package storage

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// Record is one record of a batch. Its bytes belong to the batch it was read
// from.
type Record struct {
	Offset  int64
	Time    int64 // milliseconds since 1970
	Key     []byte
	Value   []byte
	headers []byte // as encoded, their count in front
	raw     []byte // as encoded, its length in front
}

// Headers returns the record's headers.
func (r *Record) Headers() (out []Header) {
	b := reader{b: r.headers}
	for range b.int() {
		out = append(out, Header{Key: string(b.bytes()), Value: b.bytes()})
	}
	return out
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

// int takes a number of up to 32 bits. Not all readers take one that is encoded
// in more bytes than that needs.
func (r *reader) int() int64 { return r.varint(binary.MaxVarintLen32) }

func (r *reader) varint(most int) int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || n > most {
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
	n := r.int()
	if n == -1 {
		return nil
	}
	return r.take(n)
}

// record takes a record of the batch.
func (r *reader) record(h *header, rec *Record) {
	start := r.b
	body := reader{b: r.take(r.int())}
	rec.raw = start[:len(start)-len(r.b)]
	body.take(1) // attributes
	rec.Time = h.baseTime + body.varint(binary.MaxVarintLen64)
	if h.attributes&attrLogAppendTime != 0 {
		rec.Time = h.maxTime
	}
	rec.Offset = h.base + body.int()
	rec.Key = body.bytes()
	rec.Value = body.bytes()
	rec.headers = body.b
	n := body.int()
	for body.bad = body.bad || n < 0; n > 0 && !body.bad; n-- {
		body.take(body.int())
		body.bytes()
	}
	r.bad = r.bad || body.bad || len(body.b) != 0
}

// checkRecords walks over the records and returns the smallest and the largest
// timestamp; -1, which is none, does not count as a small one.
func checkRecords(b []byte, h *header, needKeys bool) (oldest, newest int64, err error) {
	if h.codec() != codecNone {
		unpacking <- struct{}{}
		defer func() { <-unpacking }()
	}
	if h.codec() == codecLZ4 && !javaReadsLZ4(b[headerSize:]) {
		return 0, 0, invalid("not an LZ4 frame of independent blocks")
	}
	payload, release, err := h.payload(b)
	if err != nil {
		return 0, 0, err
	}
	defer release()
	r := reader{b: payload}
	var rec Record
	oldest, newest = math.MaxInt64, -1
	for i := range h.count {
		if r.record(h, &rec); r.bad {
			return 0, 0, invalid("record %d of %d is malformed", i, h.count)
		}
		if delta := rec.Offset - h.base; delta != int64(i) {
			return 0, 0, invalid("record %d has offset delta %d", i, delta)
		}
		if needKeys && rec.Key == nil {
			return 0, 0, ErrNoKey
		}
		newest = max(newest, rec.Time)
		if rec.Time != -1 {
			oldest = min(oldest, rec.Time)
		}
	}
	if len(r.b) != 0 {
		return 0, 0, invalid("%d bytes behind the last record", len(r.b))
	}
	return oldest, newest, nil
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
	var rec Record // one for all, since fn has it escape
	for i := range h.count {
		if r.record(h, &rec); r.bad {
			return invalid("record %d of %d is malformed", i, h.count)
		}
		if !fn(&rec) {
			return nil
		}
	}
	return nil
}

// appendTo appends the record as a batch with another base timestamp has it.
func (r *Record) appendTo(b []byte, baseTime int64) []byte {
	rest := reader{b: r.raw}
	rest.int() // the length
	attributes := rest.take(1)
	rest.varint(binary.MaxVarintLen64)
	var delta [binary.MaxVarintLen64]byte
	n := binary.PutVarint(delta[:], r.Time-baseTime)
	b = binary.AppendVarint(b, int64(1+n+len(rest.b)))
	b = append(append(b, attributes...), delta[:n]...)
	return append(b, rest.b...)
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
