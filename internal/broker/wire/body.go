package wire

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math"
)

// body reads a request as it arrives, so that it need not be in memory whole.
// err is the first thing that went wrong; what is read after it is zero.
type body struct {
	r        *bufio.Reader
	left     int // bytes of the frame that have not been read
	text     int // bytes of strings: they stay in memory until the answer is sent
	flexible bool
	err      error
}

// has says whether n more bytes belong to the frame.
func (b *body) has(n int) bool {
	if b.err == nil && n > b.left {
		b.err = fmt.Errorf("%w: a length is beyond the end", errFrame)
	}
	return b.err == nil
}

// take returns the next few bytes; they are valid until more is read.
func (b *body) take(n int) []byte {
	if b.has(n) {
		var v []byte
		if v, b.err = b.r.Peek(n); b.err == nil {
			b.skip(n)
			return v
		}
	}
	return make([]byte, n)
}

func (b *body) skip(n int) {
	if b.has(n) {
		b.left -= n
		_, b.err = b.r.Discard(n)
	}
}

// fill reads the next n bytes into buf, which grows where it must.
func (b *body) fill(buf []byte, n int) []byte {
	if b.has(n) {
		b.left -= n
		buf, b.err = readFrame(b.r, buf, n)
	}
	return buf
}

func (b *body) int16() int16 { return int16(binary.BigEndian.Uint16(b.take(2))) }
func (b *body) int32() int32 { return int32(binary.BigEndian.Uint32(b.take(4))) }

func (b *body) uvarint() int {
	v, err := binary.ReadUvarint(b)
	if b.err == nil && (err != nil || v > math.MaxInt32) {
		b.err = fmt.Errorf("%w: not a length", errFrame)
	}
	if b.err != nil {
		return 0
	}
	return int(v)
}

// ReadByte is for [binary.ReadUvarint].
func (b *body) ReadByte() (byte, error) {
	c := b.take(1)[0]
	return c, b.err
}

// length reads how long something is: a varint that is one more in a flexible
// version, otherwise so many bytes. That of null is -1.
func (b *body) length(size int) int {
	switch {
	case b.flexible:
		return b.uvarint() - 1
	case size == 2:
		return int(b.int16())
	default:
		return int(b.int32())
	}
}

// string reads a string, and says whether it is not null.
func (b *body) string() (s string, ok bool) {
	n := b.length(2)
	if n < 0 {
		return "", false
	}
	if b.text += n; b.err == nil && b.text > maxPlain {
		b.err = fmt.Errorf("%w: more than %d bytes of names", errFrame, maxPlain)
	}
	return string(b.fill(nil, n)), true
}

// array calls fn for each struct of an array. Every one of them takes bytes of
// the frame, so that no count makes it run for long.
func (b *body) array(fn func()) {
	for n := b.length(4); n > 0 && b.err == nil; n-- {
		fn()
		b.tags()
	}
}

// tags passes over tagged fields.
func (b *body) tags() {
	if !b.flexible {
		return
	}
	for n := b.uvarint(); n > 0 && b.err == nil; n-- {
		b.uvarint()
		b.skip(b.uvarint())
	}
}

// end says what was wrong with the frame, if anything.
func (b *body) end() error {
	if b.err == nil && b.left != 0 {
		b.err = fmt.Errorf("%w: %d bytes behind its end", errFrame, b.left)
	}
	return b.err
}
