package event

import "encoding/json"

// Texts is a field that ECS has as a list of texts, of which a sender may have
// written one as plain text.
type Texts []string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Texts) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*t = Texts{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(t))
}

// First returns the first text, "" if there is none.
func (t Texts) First() string {
	if len(t) == 0 {
		return ""
	}
	return t[0]
}
