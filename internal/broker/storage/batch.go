package storage

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

// Layout of a record batch, version 2 (Kafka protocol guide, "Record Batch").
// The CRC covers what follows it, so the broker may set the base offset and
// the leader epoch without touching it.
const (
	headerSize       = 61
	offBaseOffset    = 0
	offLength        = 8
	offLeaderEpoch   = 12
	offMagic         = 16
	offCRC           = 17
	offAttributes    = 21
	offLastDelta     = 23
	offBaseTime      = 27
	offMaxTime       = 35
	offProducerID    = 43
	offProducerEpoch = 51
	offBaseSequence  = 53
	offRecordCount   = 57
	lengthOverhead   = 12 // base offset and length do not count in length
	minLength        = headerSize - lengthOverhead
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the fixed part of a record batch.
type header struct {
	base       int64
	size       int // whole batch in bytes
	magic      int8
	crc        uint32
	attributes int16
	lastDelta  int32
	baseTime   int64
	maxTime    int64
	producerID int64
	epoch      int16
	sequence   int32
	count      int32
}

// end is the offset after the batch's last record.
func (h *header) end() int64 { return h.base + int64(h.lastDelta) + 1 }

func (h *header) codec() int { return int(h.attributes & attrCodec) }

// hasHorizon says that the base timestamp is when the tombstones may go.
func (h *header) hasHorizon() bool { return h.attributes&attrDeleteHorizon != 0 }

func (h *header) idempotent() bool { return h.producerID >= 0 }

// lastSequence is the sequence number of the last record; it wraps to 0 after
// the largest int32.
func (h *header) lastSequence() int32 {
	return int32((int64(h.sequence) + int64(h.lastDelta)) & math.MaxInt32)
}

// parseHeader reads the fixed part of a batch, which must be there whole, and
// says whether it can be one: what passes has a sane length and offsets, but
// its CRC has not been looked at.
func parseHeader(b []byte) (header, bool) {
	if len(b) < headerSize {
		return header{}, false
	}
	be := binary.BigEndian
	length := int32(be.Uint32(b[offLength:]))
	h := header{
		base:       int64(be.Uint64(b[offBaseOffset:])),
		size:       int(length) + lengthOverhead,
		magic:      int8(b[offMagic]),
		crc:        be.Uint32(b[offCRC:]),
		attributes: int16(be.Uint16(b[offAttributes:])),
		lastDelta:  int32(be.Uint32(b[offLastDelta:])),
		baseTime:   int64(be.Uint64(b[offBaseTime:])),
		maxTime:    int64(be.Uint64(b[offMaxTime:])),
		producerID: int64(be.Uint64(b[offProducerID:])),
		epoch:      int16(be.Uint16(b[offProducerEpoch:])),
		sequence:   int32(be.Uint32(b[offBaseSequence:])),
		count:      int32(be.Uint32(b[offRecordCount:])),
	}
	ok := length >= minLength && length <= maxMessage-lengthOverhead && h.magic == 2 &&
		h.base >= 0 && h.lastDelta >= 0 && h.count >= 0 &&
		h.base <= math.MaxInt64-int64(h.lastDelta)-1
	return h, ok
}

// crcOK says whether a whole batch is what its producer made.
func crcOK(b []byte, h *header) bool {
	return crc32.Checksum(b[offAttributes:h.size], castagnoli) == h.crc
}

// validate checks everything a reader will rely on. b must be exactly one
// batch; cfg is its topic's, now the broker's clock.
func validate(b []byte, cfg *Config, now time.Time) (header, error) {
	if len(b) >= offMagic+1 && b[offMagic] < 2 {
		return header{}, ErrOldMagic
	}
	if len(b) < headerSize {
		return header{}, invalid("%d bytes are too few", len(b))
	}
	if len(b) > cfg.MaxMessageBytes {
		return header{}, ErrTooLarge
	}
	// The base offset a producer writes means nothing.
	binary.BigEndian.PutUint64(b[offBaseOffset:], 0)
	h, ok := parseHeader(b)
	if !ok {
		return h, invalid("impossible header")
	}
	if h.size != len(b) {
		return h, invalid("length %d in %d bytes: one batch a partition and request", h.size, len(b))
	}
	if !crcOK(b, &h) {
		return h, ErrBadCRC
	}
	if h.attributes&(attrTransactional|attrControl|attrDeleteHorizon) != 0 {
		return h, invalid("attributes %#x", h.attributes)
	}
	if h.attributes&attrLogAppendTime != 0 {
		return h, ErrTimestamp
	}
	if h.count < 1 || h.lastDelta != h.count-1 {
		return h, invalid("%d records to offset delta %d", h.count, h.lastDelta)
	}
	if h.idempotent() && (h.epoch < 0 || h.sequence < 0) {
		return h, invalid("producer epoch %d, sequence %d", h.epoch, h.sequence)
	}
	oldest, newest, err := checkRecords(b, &h, cfg.Compact)
	if err != nil {
		return h, err
	}
	if cfg.AppendTime {
		setMaxTime(b, &h, now.UnixMilli(), attrLogAppendTime)
		return h, nil
	}
	if h.maxTime != newest { // some producers do not fill it in
		setMaxTime(b, &h, newest, 0)
	}
	ms := now.UnixMilli()
	if oldest < ms-cfg.TimestampBeforeMs || newest-ms > cfg.TimestampAfterMs {
		return h, ErrTimestamp
	}
	if newest < 0 {
		h.maxTime = ms // its segment ages all the same
	}
	return h, nil
}

// setMaxTime corrects the largest timestamp, sets attributes, and the CRC that
// covers both.
func setMaxTime(b []byte, h *header, maxTime int64, attributes int16) {
	h.attributes |= attributes
	h.maxTime = maxTime
	binary.BigEndian.PutUint16(b[offAttributes:], uint16(h.attributes))
	binary.BigEndian.PutUint64(b[offMaxTime:], uint64(maxTime))
	h.crc = crc32.Checksum(b[offAttributes:h.size], castagnoli)
	binary.BigEndian.PutUint32(b[offCRC:], h.crc)
}

// place gives the batch its offset and the epoch of the only leader there is.
func place(b []byte, h *header, base int64) {
	h.base = base
	binary.BigEndian.PutUint64(b[offBaseOffset:], uint64(base))
	binary.BigEndian.PutUint32(b[offLeaderEpoch:], LeaderEpoch)
}

// isPlaced says whether b begins as all batches do that place has seen: of
// bytes that are none, few pass.
func (h *header) isPlaced(b []byte) bool {
	return binary.BigEndian.Uint32(b[offLeaderEpoch:]) == LeaderEpoch && h.count <= h.lastDelta+1
}

// LeaderEpoch is the leader epoch of every partition: there is one leader, and
// what it acknowledged it never takes back.
const LeaderEpoch = 0
