package detect

import (
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/stagetest"
)

func TestContract(t *testing.T) {
	var good []stagetest.Record
	for _, line := range []string{
		alertLine, strings.Replace(alertLine, "2100498", "9", 1), strings.Replace(alertLine, `"event_type":"alert"`, `"event_type":"http"`, 1), gapLine,
	} {
		r := eventOf(t, line, "")
		good = append(good, stagetest.Record{Key: string(r.Key), Value: string(r.Value)})
	}
	stagetest.Check(t, stagetest.Case{
		New:     func(testing.TB) client.Stage { return New(Suricata{}, Gap{}) },
		Input:   bus.TopicEvents,
		Outputs: []string{bus.TopicAlerts},
		Good:    good,
		Bad:     []stagetest.Record{{Value: ""}, {Value: `{"event":`}, {Value: "[]"}},
	})
}
