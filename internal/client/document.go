package client

import (
	"time"

	"github.com/decodersring/decoder/internal/event"
)

// Document is what a sink needs to know of a record to keep it: which document
// its value is, when it happened, and whether it comes of a replayed capture.
type Document struct {
	ID      string
	Time    time.Time
	Capture bool
}

// Document returns what the headers decoder-id, decoder-time and
// decoder-capture say. Where an id or a time is missing or cannot be read, the
// value is parsed for it; what is in neither comes from the record: its origin
// gives the id, its timestamp the time. A value that is not JSON stays for the
// destination to name.
func (r *Record) Document() Document {
	var d Document
	for _, h := range r.Headers {
		switch h.Key {
		case event.HeaderID:
			d.ID = string(h.Value)
		case event.HeaderTime:
			d.Time, _ = time.Parse(time.RFC3339Nano, string(h.Value)) // else the zero time: not known
		case event.HeaderCapture:
			d.Capture = len(h.Value) > 0
		}
	}
	if d.ID == "" || d.Time.IsZero() {
		d.parse(r.Value)
	}
	if d.ID == "" {
		d.ID = event.ID(r.Origin, event.KindEvent, 0)
	}
	if d.Time.IsZero() {
		d.Time = r.Timestamp
	}
	return d
}

func (d *Document) parse(value []byte) {
	var f event.Flattener
	_ = f.Flatten(value, func(path, value []byte, kind event.Kind) error {
		if kind != event.String {
			return nil
		}
		switch string(path) {
		case "event.id":
			if d.ID == "" {
				d.ID = string(value)
			}
		case "@timestamp":
			if d.Time.IsZero() {
				d.Time, _ = time.Parse(time.RFC3339Nano, string(value))
			}
		case "decoder.capture.name":
			d.Capture = d.Capture || len(value) > 0
		}
		return nil
	})
}
