// Package event owns what an event is: its identity, the record headers that
// carry that identity, and the JSON it is read from and written to. It knows
// neither the log nor any format.
package event

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
)

// Record headers of the project's own. Values are UTF-8 text.
const (
	// HeaderOrigin says what a source read and where, as
	// "<source>:<what>:<where>": "suricata:eve-3f9c…:81920" (file fingerprint
	// and byte offset), "suricata:capture-<sha256>-<rules>:17" (capture and
	// line). It never changes when the same thing is read again.
	HeaderOrigin = "decoder-origin"
	// HeaderCapture names the capture a record was replayed from. What carries
	// it is stored where the age limit does not reach it.
	HeaderCapture = "decoder-capture"
	// HeaderFormat says how a line is to be read that does not say it itself:
	// of a line of Zeek's TSV, the header of its log, lines that begin with #.
	HeaderFormat = "decoder-format"
	// HeaderID is the id of the document in the record's value.
	HeaderID = "decoder-id"
	// HeaderTime is the document's @timestamp in RFC 3339 with nanoseconds.
	HeaderTime = "decoder-time"
	// HeaderStage names the stage that appended a record: on a topic that
	// several write to, nothing else tells whose it is.
	HeaderStage = "decoder-stage"
)

// Kinds of output, one name for each kind of document a record may give.
const (
	KindEvent = "event"
	KindAlert = "alert"
)

var idEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// ID returns the id of the index-th output of the kind made from the record
// of that origin: 26 characters, the first 128 bits of a SHA-256 in Crockford's
// base 32. The same arguments always give the same id.
func ID(origin, kind string, index int) string {
	return string(AppendID(nil, origin, kind, index))
}

// AppendID appends what [ID] returns, and allocates nothing for an origin of
// up to 200 bytes.
func AppendID(dst []byte, origin, kind string, index int) []byte {
	var room [256]byte
	b := room[:0]
	for _, s := range [...]string{origin, kind} {
		b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(index))
	sum := sha256.Sum256(b)
	return idEncoding.AppendEncode(dst, sum[:16])
}

// LogOrigin is the origin of a record that came without one: the topic's id
// (not its name, so that two logs never agree), partition and offset.
func LogOrigin(topicID [16]byte, partition int32, offset int64) string {
	return "log:" + idEncoding.EncodeToString(topicID[:]) + "-" +
		strconv.FormatInt(int64(partition), 10) + ":" + strconv.FormatInt(offset, 10)
}
