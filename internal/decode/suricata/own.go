package suricata

import (
	"fmt"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/event"
)

// finishOwn says in a sentence what a line of the source tells (package
// source/suricata).
func (s *state) finishOwn() {
	switch s.typ.name {
	case typeGap:
		s.PutString(s.d.fields.message, s.gapMessage())
	case typeTruncated:
		s.PutString(s.d.fields.message, s.truncatedMessage())
	}
}

func (s *state) gapMessage() string {
	iface := "the interface"
	if raw := s.Doc.Value(s.d.fields.iface); len(raw) > 0 {
		iface = string(event.AppendText(nil, raw))
	}
	// Without a duration the clock was set back meanwhile.
	ns, err := strconv.ParseInt(string(s.Doc.Value(s.d.fields.duration)), 10, 64)
	if err != nil {
		return iface + " was not watched for a while"
	}
	return iface + " was not watched for " + span(time.Duration(ns))
}

// span is a duration as people say it, in one unit.
func span(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	default:
		return fmt.Sprintf("%.0f h", d.Hours())
	}
}

func (s *state) truncatedMessage() string {
	if l, ok := s.Find(s.d.paths.truncatedBytes); ok && s.Integer(l) {
		return "a line of " + string(l.Bytes(s.Line)) + " bytes is longer than the log takes; its beginning is kept"
	}
	return "a line is longer than the log takes; its beginning is kept"
}
