// Package message makes the record of a mail message that a source has
// received. Every mail source uses it. It does not know what is in a message.
package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/event"
)

// MaxSize is the largest message taken, in bytes, where nothing else is set.
const MaxSize = 50 << 20

// ErrEmpty is returned for a message of no bytes.
var ErrEmpty = errors.New("the message is empty")

// Record returns the record of a message: its bytes as they came, keyed by its
// identity, which is its origin too, so that a message seen twice is one.
func Record(raw []byte, d mail.Delivery) (*bus.Record, error) {
	if len(raw) == 0 {
		return nil, ErrEmpty
	}
	delivery, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("writing delivery: %w", err)
	}
	identity := mail.Identity(raw)
	r := &bus.Record{
		Topic: bus.TopicEmail,
		Key:   []byte(identity),
		Value: raw,
		Headers: []bus.Header{
			{Key: event.HeaderOrigin, Value: []byte(mail.Origin(identity))},
			{Key: mail.HeaderDelivery, Value: delivery},
		},
	}
	if !d.Time.IsZero() {
		r.Headers = append(r.Headers, bus.Header{Key: event.HeaderTime, Value: []byte(d.Time.UTC().Format(time.RFC3339Nano))})
	}
	return r, nil
}
