package groups

import "time"

// Reading is what a group reads and how far it has come.
type Reading struct {
	Group string
	// Topics and partitions: what was committed; a partition of these topics
	// without an offset has not been begun.
	Topics map[string]map[int32]int64
}

// patience is how long a group that has lost its last member still counts as
// reading: its members may be starting.
const patience = 2 * time.Minute

// Readings returns what the groups chosen read at present. A group without
// members is left out once its members have been gone for two minutes.
func (m *Manager) Readings(chosen func(group string) bool) []Reading {
	m.mu.Lock()
	all := m.all()
	m.mu.Unlock()
	now := m.cfg.Now()
	var out []Reading
	for _, g := range all {
		if !chosen(g.id) {
			continue
		}
		g.mu.Lock()
		if topics := g.reading(now); len(topics) > 0 {
			out = append(out, Reading{Group: g.id, Topics: topics})
		}
		g.mu.Unlock()
	}
	return out
}

// reading returns the group's offsets in the topics it is subscribed to; in
// all it ever committed to while its members, or their topics, are not known.
func (g *group) reading(now time.Time) map[string]map[int32]int64 {
	if g.state == dead || g.state == empty && now.Sub(g.since) > patience {
		return nil
	}
	topics := map[string]map[int32]int64{}
	subscribed := g.subscribed()
	for t := range subscribed {
		topics[t] = map[int32]int64{}
	}
	for tp, o := range g.offsets {
		if topics[tp.topic] == nil {
			if len(subscribed) > 0 {
				continue // it read that once
			}
			topics[tp.topic] = map[int32]int64{}
		}
		topics[tp.topic][tp.partition] = o.at
	}
	return topics
}
