package storage

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// Codecs of a batch's attributes.
const (
	codecNone = iota
	codecGzip
	codecSnappy
	codecLZ4
	codecZstd
)

const (
	// maxDecompressed bounds what one batch may unpack to.
	maxDecompressed = 128 << 20
	// keepBuffer is the largest buffer kept for the next batch: a busy producer
	// sends batches as large as most topics take, and to clear new memory for
	// each costs more than to unpack it.
	keepBuffer = 16 << 20
)

var errBomb = invalid("unpacks to more than %d bytes", maxDecompressed)

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// unpacking bounds how many batches are unpacked for validation at once, and
// the memory that takes.
var unpacking = make(chan struct{}, runtime.GOMAXPROCS(0))

var zstdReaders = sync.Pool{New: func() any {
	r, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxDecompressed))
	if err != nil {
		panic("storage: zstd options: " + err.Error()) // constant options
	}
	return r
}}

var zstdWriters = sync.Pool{New: func() any {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("storage: zstd options: " + err.Error()) // constant options
	}
	return w
}}

// compress packs records as a producer with the codec would.
func compress(codec int, src []byte) ([]byte, error) {
	var buf bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case codecGzip:
		w = gzip.NewWriter(&buf)
	case codecSnappy:
		return snappy.Encode(nil, src), nil
	case codecLZ4:
		w = lz4.NewWriter(&buf)
	case codecZstd:
		e := zstdWriters.Get().(*zstd.Encoder)
		defer zstdWriters.Put(e)
		return e.EncodeAll(src, nil), nil
	default:
		return src, nil
	}
	_, err := w.Write(src)
	err = errors.Join(err, w.Close())
	return buf.Bytes(), err
}

// decompress unpacks a batch's records into a pooled buffer, which release
// gives back.
func decompress(codec int, src []byte) (out []byte, release func(), err error) {
	buf := buffers.Get().(*bytes.Buffer)
	buf.Reset()
	release = func() {
		if buf.Cap() <= keepBuffer {
			buffers.Put(buf)
		}
	}
	switch codec {
	case codecGzip:
		err = gunzip(buf, src)
	case codecSnappy:
		err = unsnappy(buf, src)
	case codecLZ4:
		err = copyBounded(buf, lz4.NewReader(bytes.NewReader(src)))
	case codecZstd:
		r := zstdReaders.Get().(*zstd.Decoder)
		out, err = r.DecodeAll(src, buf.AvailableBuffer()) // without a window of the size that is claimed
		*buf = *bytes.NewBuffer(out)
		zstdReaders.Put(r)
	default:
		err = invalid("codec %d", codec)
	}
	if err != nil {
		release()
		if !errors.Is(err, ErrInvalidBatch) {
			err = invalid("unpacking: %v", err)
		}
		return nil, func() {}, err
	}
	return buf.Bytes(), release, nil
}

func gunzip(dst *bytes.Buffer, src []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return err
	}
	return copyBounded(dst, r)
}

// javaReadsLZ4 says whether it is a frame of independent blocks: Java clients
// read no other.
func javaReadsLZ4(src []byte) bool {
	const flags, version, independent = 4, 0xc0, 0x20
	return len(src) > flags && src[flags]&(version|independent) == 0x40|independent && bytes.HasPrefix(src, lz4Magic)
}

var lz4Magic = []byte{0x04, 0x22, 0x4d, 0x18}

func copyBounded(dst *bytes.Buffer, src io.Reader) error {
	n, err := io.Copy(dst, io.LimitReader(src, maxDecompressed+1))
	if err != nil {
		return err
	}
	if n > maxDecompressed {
		return errBomb
	}
	return nil
}

// xerialMagic starts the framing Java's snappy stream writes: the magic, two
// versions, then blocks with their lengths.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

func unsnappy(dst *bytes.Buffer, src []byte) error {
	if len(src) < xerialHeader || !bytes.HasPrefix(src, xerialMagic) {
		return unsnappyBlock(dst, src)
	}
	for src = src[xerialHeader:]; len(src) > 0; {
		if len(src) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(src))
		if src = src[4:]; n > int64(len(src)) {
			return io.ErrUnexpectedEOF
		}
		if err := unsnappyBlock(dst, src[:n]); err != nil {
			return err
		}
		src = src[n:]
	}
	return nil
}

func unsnappyBlock(dst *bytes.Buffer, block []byte) error {
	const most = 22 // times its length is what no block can unpack to: three bytes make 64
	n, err := snappy.DecodedLen(block)
	if err != nil {
		return err
	}
	if n > most*len(block) {
		return snappy.ErrCorrupt
	}
	if dst.Len()+n > maxDecompressed {
		return errBomb
	}
	dst.Grow(n)
	room := dst.AvailableBuffer()
	out, err := snappy.Decode(room[:n:cap(room)], block)
	if err != nil {
		return err
	}
	_, err = dst.Write(out)
	return err
}
