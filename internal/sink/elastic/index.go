package elastic

import (
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
)

// Parts of an index's name between its prefix and its time.
const (
	kindEvents   = "events"   // an index a day
	kindAlerts   = "alerts"   // an index a month
	kindCaptures = "captures" // events of replayed captures, an index a year
)

// What a clock says wrongly, or a hostile sender, must not make an index for
// each day there is: a document further than this from when it was appended to
// the log goes into the index of its year.
const (
	oldest   = 31 * 24 * time.Hour
	furthest = 24 * time.Hour
)

// index returns the name of the index a document belongs into, which follows
// from the time of the event, so that the same document never meets another
// index.
func (s *Sink) index(r *client.Record, d client.Document) string {
	kind, layout := kindEvents, "2006.01.02"
	switch {
	case r.Topic != bus.TopicEvents:
		kind, layout = kindAlerts, "2006.01"
	case d.Capture:
		kind, layout = kindCaptures, ""
	}
	at := d.Time.UTC()
	if age := r.Timestamp.Sub(at); age > oldest || age < -furthest || layout == "" {
		return fmt.Sprintf("%s-%s-%d", s.prefix, kind, min(max(at.Year(), 1970), 2106))
	}
	return s.prefix + "-" + kind + "-" + at.Format(layout)
}
