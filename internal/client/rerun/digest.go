package rerun

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// digest tells whether two documents are the same: byte for byte, which is
// seen at once, or else by what they say, whatever the order of the members.
type digest struct{ exact, content uint64 }

func (d digest) String() string { return fmt.Sprintf("%016x-%016x", d.exact, d.content) }

func parseDigest(s string) (d digest) {
	if _, err := fmt.Sscanf(s, "%16x-%16x", &d.exact, &d.content); err != nil {
		return digest{}
	}
	return d
}

// of reports whether the digest is that of the document.
func (d digest) of(value []byte) bool {
	if d.exact == hash(value) {
		return true
	}
	document := object(value)
	if document == nil {
		return false
	}
	canonical, err := json.Marshal(document)
	return err == nil && d.content == hash(canonical)
}

func hash(b []byte) uint64 {
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
