package machine

import (
	"encoding/json"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
)

type object = map[string]any

// alert is the record of an episode's present revision.
func (m *Machine) alert(now time.Time, e *episode, c condition) *bus.Record {
	origin := m.origin(c.what, e.began)
	id := event.ID(origin, event.KindAlert, e.revision)
	group := "pipeline:" + m.options.Host + ":" + c.what
	at := now.UTC().Format(time.RFC3339Nano)
	value, err := json.Marshal(object{
		"@timestamp": at, "message": c.title, "ecs": object{"version": ecs.Version},
		"event": object{
			"id": id, "kind": "alert", "module": "decoder", "dataset": "decoder.alert",
			"risk_score": c.level.score(), "severity": int(c.level),
		},
		"host":     object{"name": m.options.Host},
		"observer": object{"name": m.options.Host, "product": "Decoder Ring"},
		"rule":     object{"id": "pipeline-" + c.what, "name": c.title},
		"decoder": object{"alert": object{
			"group": group, "kind": "pipeline", "severity": names[c.level], "score": c.level.score(),
			"title": c.title, "revision": e.revision, "events": []string{},
			"checks": []object{{"name": c.what, "points": c.level.score(), "evidence": c.evidence, "version": 1, "benign": c.benign}},
		}},
	})
	if err != nil {
		panic("machine: an alert of texts and numbers does not marshal: " + err.Error())
	}
	return &bus.Record{
		Topic: bus.TopicAlerts, Key: []byte(group), Value: value, Timestamp: now,
		Headers: []bus.Header{
			{Key: event.HeaderOrigin, Value: []byte(origin)},
			{Key: event.HeaderID, Value: []byte(id)},
			{Key: event.HeaderTime, Value: []byte(at)},
		},
	}
}
