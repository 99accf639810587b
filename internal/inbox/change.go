package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
)

// Record returns the change as a record for the topic triage.
func (c Change) Record() (*bus.Record, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	b, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding change: %w", err)
	}
	return &bus.Record{
		Topic: bus.TopicTriage, Key: []byte(c.Group), Value: b,
		Headers: []bus.Header{
			{Key: event.HeaderID, Value: []byte(c.ID)},
			{Key: event.HeaderTime, Value: []byte(c.Time.UTC().Format(timeFormat))},
		},
	}, nil
}

const timeFormat = "2006-01-02T15:04:05.999999999Z07:00"

func (c Change) check() error {
	switch {
	case c.ID == "":
		return errors.New("a change needs an id")
	case c.Group == "":
		return errors.New("a change needs an alert group")
	case !slices.Contains(Actions(), c.What):
		return fmt.Errorf("a change cannot %q", c.What)
	}
	return nil
}
