package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A shape says how the body of a request is laid out, so that it can be walked
// before it is decoded: kmsg makes an array as long as it claims to be, and
// counts tagged fields up to 2^32, before it sees that the bytes have ended.
//
//	4      so many bytes          s   a string      y   bytes
//	<4>    an array of these      [ … ]  an array of structs
//	7+:s   from version 7 on      6-7:s  in versions 6 and 7
//
// A struct of a flexible version ends with its tagged fields.
type shape struct {
	from   int16 // first version it is for
	fields []field
}

type field struct {
	min, max int16
	kind     byte // 'n', 's', 'y', '<', '['
	size     int  // of 'n'
	elem     []field
}

// shapes are those of all flexible versions that are served, but of Produce,
// which is read as it arrives.
func shapes() map[int16]shape {
	out := map[int16]shape{}
	for key, s := range map[kmsg.Key]struct {
		from   int16
		fields string
	}{
		kmsg.ApiVersions:             {3, "s s"},
		kmsg.SASLAuthenticate:        {2, "y"},
		kmsg.Metadata:                {9, "[ 10+:16 s ] 1 9-10:1 1"},
		kmsg.DescribeCluster:         {0, "1 1+:1"},
		kmsg.Fetch:                   {12, "12-14:4 4 4 4 1 4 4 [ 12-12:s 13+:16 [ 4 4 8 4 8 4 ] ] [ 12-12:s 13+:16 <4> ] s"},
		kmsg.ListOffsets:             {6, "4 1 [ s [ 4 4 8 ] ]"},
		kmsg.OffsetForLeaderEpoch:    {4, "4 [ s [ 4 4 4 ] ]"},
		kmsg.InitProducerID:          {2, "s 4 3+:8 3+:2"},
		kmsg.DeleteRecords:           {2, "[ s [ 4 8 ] ] 4"},
		kmsg.CreateTopics:            {5, "[ s 4 2 [ 4 <4> ] [ s s ] ] 4 1"},
		kmsg.DeleteTopics:            {4, "4-5:<s> 6+:[ s 16 ] 4"},
		kmsg.CreatePartitions:        {2, "[ s 4 [ <4> ] ] 4 1"},
		kmsg.DescribeConfigs:         {4, "[ 1 s <s> ] 1 1"},
		kmsg.AlterConfigs:            {2, "[ 1 s [ s s ] ] 1"},
		kmsg.IncrementalAlterConfigs: {1, "[ 1 s [ s 1 s ] ] 1"},
		kmsg.DescribeLogDirs:         {2, "[ s <4> ]"},
		kmsg.FindCoordinator:         {3, "3-3:s 1 4+:<s>"},
		kmsg.JoinGroup:               {6, "s 4 4 s s s [ s y ] 8+:s"},
		kmsg.SyncGroup:               {4, "s 4 s s 5+:s 5+:s [ s y ]"},
		kmsg.Heartbeat:               {4, "s 4 s s"},
		kmsg.LeaveGroup:              {4, "s [ s s 5+:s ]"},
		kmsg.OffsetCommit:            {8, "s 4 s s [ s [ 4 8 4 s ] ]"},
		kmsg.OffsetFetch:             {6, "6-7:s 6-7:[ s <4> ] 8+:[ s 9+:s 9+:4 [ s <4> ] ] 7+:1"},
		kmsg.DescribeGroups:          {5, "<s> 1"},
		kmsg.ListGroups:              {3, "4+:<s> 5+:<s>"},
		kmsg.DeleteGroups:            {2, "<s>"},
	} {
		tokens := strings.Fields(s.fields)
		fields, rest := parseShape(tokens)
		if len(rest) != 0 {
			panic("wire: shape with an unopened bracket: " + s.fields) // a constant above
		}
		out[int16(key)] = shape{from: s.from, fields: fields}
	}
	return out
}

// parseShape reads fields up to a closing bracket, or the end.
func parseShape(tokens []string) (fields []field, rest []string) {
	for len(tokens) > 0 {
		t := tokens[0]
		tokens = tokens[1:]
		if t == "]" {
			return fields, tokens
		}
		f := field{max: math.MaxInt16}
		if versions, what, ok := strings.Cut(t, ":"); ok {
			t = what
			from, to, bounded := strings.Cut(strings.TrimSuffix(versions, "+"), "-")
			f.min = int16(number(from))
			if bounded {
				f.max = int16(number(to))
			}
		}
		switch {
		case t == "[":
			f.kind = '['
			f.elem, tokens = parseShape(tokens)
		case t[0] == '<':
			f.kind = '<'
			f.elem, _ = parseShape([]string{strings.Trim(t, "<>")})
		case t == "s" || t == "y":
			f.kind = t[0]
		default:
			f.kind, f.size = 'n', number(t)
		}
		fields = append(fields, f)
	}
	return fields, nil
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic("wire: shape: " + err.Error()) // of a constant
	}
	return n
}

// walker walks a body.
type walker struct {
	b        []byte
	version  int16
	flexible bool
	bad      bool
}

// check says whether the body of a request is laid out as its shape says.
func (s shape) check(h requestHead, flexible bool, body []byte) error {
	if h.version < s.from {
		return nil
	}
	w := walker{b: body, version: h.version, flexible: flexible}
	w.fields(s.fields)
	if flexible {
		w.tags(h.key == int16(kmsg.Fetch))
	}
	if w.bad {
		return fmt.Errorf("%w: key %d version %d: a length is beyond the end", errFrame, h.key, h.version)
	}
	return nil
}

func (w *walker) fields(fs []field) {
	for i := range fs {
		f := &fs[i]
		if w.version < f.min || w.version > f.max {
			continue
		}
		switch f.kind {
		case 'n':
			w.skip(int64(f.size))
		case 's':
			n := w.length(2)
			w.bad = w.bad || n > math.MaxInt16 // as long as it can be written down
			w.skip(n)
		case 'y':
			w.skip(w.length(4))
		default:
			for n := w.length(4); n > 0 && !w.bad; n-- {
				w.fields(f.elem)
				if w.flexible && f.kind == '[' {
					w.tags(false)
				}
			}
		}
		if w.bad {
			return
		}
	}
}

// length reads a length: of so many bytes, or a varint that is one more than
// it in a flexible version. Null is 0.
func (w *walker) length(size int) int64 {
	if w.flexible {
		return max(w.uvarint()-1, 0)
	}
	if len(w.b) < size {
		w.bad = true
		return 0
	}
	n := int64(int16(binary.BigEndian.Uint16(w.b)))
	if size == 4 {
		n = int64(int32(binary.BigEndian.Uint32(w.b)))
	}
	w.skip(int64(size))
	return max(n, 0)
}

func (w *walker) uvarint() int64 {
	v, n := binary.Uvarint(w.b)
	if n <= 0 || v > math.MaxInt32 {
		w.bad = true
		return 0
	}
	w.b = w.b[n:]
	return int64(v)
}

func (w *walker) skip(n int64) {
	if n > int64(len(w.b)) {
		w.bad = true
		return
	}
	w.b = w.b[n:]
}

// tags passes over tagged fields. Those of a fetch that only brokers send hold
// structs, which are not for us to decode.
func (w *walker) tags(ofFetch bool) {
	for n := w.uvarint(); n > 0 && !w.bad; n-- {
		key := w.uvarint()
		w.skip(w.uvarint())
		w.bad = w.bad || ofFetch && key == 1
	}
}
