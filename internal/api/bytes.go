package api

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Bytes are bytes from outside: in JSON a string where they are valid UTF-8,
// else an object {"base64": "…"}, null where there are none.
type Bytes []byte

type base64Bytes struct {
	Base64 []byte `json:"base64"`
}

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) {
	if b == nil {
		return []byte("null"), nil
	}
	if utf8.Valid(b) {
		return json.Marshal(string(b))
	}
	return json.Marshal(base64Bytes{b})
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(in []byte) error {
	var text *string
	if err := json.Unmarshal(in, &text); err == nil {
		*b = nil
		if text != nil {
			*b = Bytes(*text)
		}
		return nil
	}
	var o base64Bytes
	if err := json.Unmarshal(in, &o); err != nil {
		return fmt.Errorf("reading bytes: %w", err)
	}
	*b = o.Base64
	return nil
}
