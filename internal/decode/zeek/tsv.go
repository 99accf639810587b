package zeek

import (
	"bytes"
	"fmt"

	"github.com/decodersring/decoder/internal/event"
)

// appendJSON appends a line of TSV as the object that Zeek's JSON writer gives:
// columns without value left out, numbers verbatim.
func (h *header) appendJSON(dst, line []byte) ([]byte, error) {
	dst = append(dst, '{')
	empty := len(dst)
	n := 0
	for rest, more := line, true; more; n++ {
		var value []byte
		value, rest, more = bytes.Cut(rest, []byte{h.separator})
		if n == len(h.columns) {
			return dst, fmt.Errorf("more columns than the %d of the header", len(h.columns))
		}
		if string(value) == h.unset {
			continue
		}
		if len(dst) > empty {
			dst = append(dst, ',')
		}
		dst = append(dst, h.columns[n].name...)
		if k := h.columns[n].kind; k >= list {
			dst = h.appendList(dst, value, k-list)
		} else {
			dst = h.appendValue(dst, value, k)
		}
	}
	if n < len(h.columns) {
		return dst, fmt.Errorf("%d columns, the header has %d", n, len(h.columns))
	}
	return append(dst, '}'), nil
}

func (h *header) appendList(dst, value []byte, k kind) []byte {
	dst = append(dst, '[')
	if string(value) == h.empty {
		return append(dst, ']')
	}
	for i, more := 0, true; more; i++ {
		var v []byte
		v, value, more = bytes.Cut(value, []byte{h.set})
		if i > 0 {
			dst = append(dst, ',')
		}
		if string(v) == h.unset {
			dst = append(dst, "null"...)
		} else {
			dst = h.appendValue(dst, v, k)
		}
	}
	return append(dst, ']')
}

func (h *header) appendValue(dst, value []byte, k kind) []byte {
	switch {
	case k == boolean && string(value) == "T":
		return append(dst, "true"...)
	case k == boolean && string(value) == "F":
		return append(dst, "false"...)
	case (k == integer || k == number) && event.IsNumber(value):
		return append(dst, value...)
	case k == text && string(value) == h.empty:
		return append(dst, `""`...)
	}
	return event.AppendString(dst, value)
}
