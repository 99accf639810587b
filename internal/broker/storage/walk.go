package storage

import (
	"bytes"
	"errors"
	"io"
	"slices"
)

// batchFunc is told of a batch that is there whole and matches its CRC; b and
// h are valid during the call. An ErrInvalidBatch says that it is none all the
// same, any other error ends the walk; errEnough does without being one.
type batchFunc func(pos int64, b []byte, h *header) error

var (
	// errMisplaced refuses a batch that does not belong where it lies.
	errMisplaced = invalid("not where it belongs")
	errEnough    = errors.New("that is enough")
)

// eachBatchIn calls fn for the batches that b begins with; pos is where b
// lies. n bytes are such batches. need is how many there must be behind n for
// the next one; 0 says that there is none.
func eachBatchIn(b []byte, pos int64, fn batchFunc) (n, need int, err error) {
	var h header // one for all, since fn has it escape
	for len(b)-n >= headerSize {
		rest, ok := b[n:], false
		if h, ok = parseHeader(rest); ok && h.size > len(rest) {
			return n, h.size, nil
		}
		if !ok || !crcOK(rest, &h) {
			return n, 0, nil
		}
		if err := fn(pos+int64(n), rest[:h.size], &h); errors.Is(err, ErrInvalidBatch) {
			return n, 0, nil
		} else if err != nil {
			return n, 0, err
		}
		n += h.size
	}
	return n, headerSize, nil
}

// walk calls fn for every batch from pos up to limit. Where there is none it
// goes on at the next that can be found; gap, if any, is told what it passed
// over. It reads in pieces of bounded size, small ones first: most lookups find
// what they want in the first.
func walk(f io.ReaderAt, pos, limit int64, fn batchFunc, gap func(from, to int64)) error {
	const first, most = 8 << 10, 256 << 10
	buf := make([]byte, first)
	for pos < limit {
		piece, err := readUpTo(f, buf, pos, limit)
		if err != nil {
			return err
		}
		n, need, err := eachBatchIn(piece, pos, fn)
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
		pos += int64(n)
		shorter := n == 0 && need <= len(buf) // the file, than limit
		if pos < limit && (need == 0 || int64(need) > limit-pos || shorter) {
			from := pos
			if pos, err = findBatch(f, from, limit); err != nil {
				return err
			}
			if gap != nil {
				gap(from, pos)
			}
			continue
		}
		want := max(need, min(2*len(buf), most))
		buf = slices.Grow(buf[:0], want)[:want]
	}
	return nil
}

// findBatch returns the position of the next whole batch behind pos, or limit.
func findBatch(f io.ReaderAt, pos, limit int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for pos++; pos+headerSize <= limit; {
		piece, err := readUpTo(f, buf, pos, limit)
		last := len(piece) - headerSize
		if err != nil || last < 0 {
			return limit, err
		}
		for at := 0; at <= last; at++ {
			// Every batch has magic 2 at a known place: look for that byte.
			n := bytes.IndexByte(piece[at+offMagic:last+offMagic+1], 2)
			if n < 0 {
				break
			}
			at += n
			if ok, err := isBatch(f, piece[at:], pos+int64(at), limit); ok || err != nil {
				return pos + int64(at), err
			}
		}
		pos += int64(last) + 1
	}
	return limit, nil
}

// isBatch says whether a whole batch with the header lies at pos.
func isBatch(f io.ReaderAt, head []byte, pos, limit int64) (bool, error) {
	h, ok := parseHeader(head)
	if !ok || !h.isPlaced(head) || int64(h.size) > limit-pos {
		return false, nil
	}
	b, err := readUpTo(f, make([]byte, h.size), pos, limit)
	return err == nil && len(b) == h.size && crcOK(b, &h), err
}

// readUpTo fills buf from pos on, up to limit or the file's end, and returns
// what it has read.
func readUpTo(f io.ReaderAt, buf []byte, pos, limit int64) ([]byte, error) {
	n, err := f.ReadAt(buf[:min(int64(len(buf)), limit-pos)], pos)
	return buf[:n], notEOF(err)
}
