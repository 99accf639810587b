package groups

import (
	"maps"
	"time"
)

// Reading is what a group reads and how far it has come.
type Reading struct {
	Group string
	// Topics and partitions: where the group is to read on. A partition of these
	// topics that is not there has not been begun.
	Topics map[string]map[int32]int64
}

// patience is how long a group that has lost its last member still counts as
// reading: its members may be starting.
const patience = 2 * time.Minute

// Readings returns what the groups chosen read at present. A group without
// members is left out once its members have been gone for two minutes.
func (m *Manager) Readings(chosen func(group string) bool) []Reading {
	now := time.Now()
	var out []Reading
	for g := range m.all() {
		if !chosen(g.id) {
			continue
		}
		if topics := g.reading(now); len(topics) > 0 {
			out = append(out, Reading{Group: g.id, Topics: topics})
		}
	}
	return out
}

// reading returns how far the group has come in the topics it is subscribed to;
// in all it ever committed to while its members, or their topics, are not
// known. What there was before the group is history, which it may read but
// which is not kept for it.
func (g *group) reading(now time.Time) map[string]map[int32]int64 {
	if g.state == empty && now.Sub(g.since) > patience {
		return nil
	}
	topics := map[string]map[int32]int64{}
	add := func(topic string) {
		if topics[topic] == nil {
			topics[topic] = map[int32]int64{}
			maps.Copy(topics[topic], g.began[topic])
		}
	}
	subscribed := g.subscribed()
	for t := range subscribed {
		add(t)
	}
	for tp, o := range g.offsets {
		if o.value == nil || len(subscribed) > 0 && !subscribed[tp.topic] {
			continue // it read that once
		}
		add(tp.topic)
		topics[tp.topic][tp.partition] = max(o.value.Offset, topics[tp.topic][tp.partition])
	}
	return topics
}
