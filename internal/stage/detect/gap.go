package detect

import (
	"bytes"
	"time"
)

// Gap makes an alert of a time in which an interface was not watched, as the
// source of Suricata tells it (package source/suricata). All gaps of one
// interface of one sensor are one group.
type Gap struct{}

// The detector's fields, in the order of Fields.
const (
	gapDataset = iota
	gapMessage
	gapSensor
	gapInterface
	gapReason
	gapDuration
	gapStart
	gapEnd
)

// gapVersion is the version of the check.
const gapVersion = 1

// longGap is from when on a gap is more than a restart.
const longGap = time.Minute

// Name returns gap.
func (Gap) Name() string { return "gap" }

// Fields names what the detector reads.
func (Gap) Fields() []string {
	return []string{"event.dataset", "message", "observer.name", "observer.ingress.interface.name",
		"event.reason", "event.duration", "event.start", "event.end"}
}

// Detect returns the finding of an event of the dataset suricata.decoder_gap.
func (Gap) Detect(e Event) ([]Finding, error) {
	if !bytes.Equal(e.Text(gapDataset), []byte("suricata.decoder_gap")) {
		return nil, nil
	}
	severity, points := Low, 20
	if time.Duration(e.Int(gapDuration)) >= longGap {
		severity, points = Medium, 45
	}
	title := e.String(gapMessage)
	if title == "" {
		title = "An interface was not watched"
	}
	return []Finding{{
		Group:    "not_watched," + e.String(gapSensor) + "," + e.String(gapInterface),
		Kind:     Pipeline,
		Severity: severity,
		Title:    title,
		Checks: []Check{{
			Name: "not_watched", Points: points, Evidence: gapEvidence(e), Version: gapVersion,
			Benign: "you stopped or restarted the sensor or its machine yourself; what crossed the interface meanwhile was still not seen",
		}},
	}}, nil
}

func gapEvidence(e Event) string {
	evidence := "from " + e.String(gapStart) + " to " + e.String(gapEnd)
	if reason := e.String(gapReason); reason != "" {
		evidence += ": " + reason
	}
	return evidence
}
