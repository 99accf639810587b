package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// maxUnsigned bounds a frame before sign-in.
	maxUnsigned = 16 << 10
	// maxPlain bounds every request but Produce: what it unpacks to in memory
	// is a small multiple of this. Larger batches share a bound.
	maxPlain = 2 << 20
	// chunk is how much is allocated ahead of what has arrived.
	chunk = 64 << 10
	// minFrame is key, version, correlation id and a null client id.
	minFrame = 10
)

var errFrame = errors.New("malformed frame")

// requestHead is the header of a request.
type requestHead struct {
	key, version  int16
	correlationID int32
	clientID      string
}

// readFrame reads so many bytes into buf, from its start. A length that only
// claims to be long costs no more than a chunk, or four times what has arrived.
func readFrame(r io.Reader, buf []byte, size int) ([]byte, error) {
	buf = buf[:0]
	for len(buf) < size {
		n := min(size-len(buf), max(chunk, 3*len(buf)))
		buf = slices.Grow(buf, n)
		got, err := io.ReadFull(r, buf[len(buf):len(buf)+n])
		buf = buf[:len(buf)+got]
		if err != nil {
			return buf, err
		}
	}
	return buf, nil
}

// parseHead reads key, version, correlation id and client id; what follows is
// rest, tagged fields of a flexible header in front.
func parseHead(b []byte) (h requestHead, rest []byte, err error) {
	if len(b) < minFrame {
		return h, nil, errFrame
	}
	be := binary.BigEndian
	h.key, h.version = int16(be.Uint16(b)), int16(be.Uint16(b[2:]))
	h.correlationID = int32(be.Uint32(b[4:]))
	n := int16(be.Uint16(b[8:]))
	rest = b[minFrame:]
	if n > 0 {
		if int(n) > len(rest) {
			return h, nil, errFrame
		}
		h.clientID, rest = string(rest[:n]), rest[n:]
	}
	return h, rest, nil
}

// skipTags passes over the tagged fields of a header.
func skipTags(b []byte) ([]byte, error) {
	w := walker{b: b}
	w.tags(false)
	if w.bad {
		return nil, errFrame
	}
	return w.b, nil
}

// parse decodes the body of a request that is served.
func (a api) parse(h requestHead, body []byte) (kmsg.Request, error) {
	req := kmsg.RequestForKey(h.key)
	req.SetVersion(h.version)
	if req.IsFlexible() {
		var err error
		if body, err = skipTags(body); err != nil {
			return nil, err
		}
	}
	if err := a.shape.check(h, req.IsFlexible(), body); err != nil {
		return nil, err
	}
	if err := req.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("%w: key %d version %d: %w", errFrame, h.key, h.version, err)
	}
	return req, nil
}

// appendResponse encodes a response as a frame, but for what is to be inset.
func appendResponse(b []byte, correlationID int32, resp kmsg.Response) (out []byte, insets []inset) {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(correlationID))
	// ApiVersions is answered with the old header, since the client does not
	// know yet what the broker can read (KIP-511).
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		b = append(b, 0)
	}
	if r, ok := resp.(insetter); ok {
		b, insets = r.appendInset(b)
	} else {
		b = resp.AppendTo(b)
	}
	size := len(b) - start - 4
	for _, in := range insets {
		size += len(in.bytes)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(size))
	return b, insets
}
