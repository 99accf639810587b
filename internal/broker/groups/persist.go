package groups

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Versions of keys and values: those Kafka 4.1 writes.
const (
	offsetKeyVersion     = 1
	metadataKeyVersion   = 2
	offsetValueVersion   = 4 // has the topic's id
	metadataValueVersion = 3
)

func offsetKey(group string, tp topicPartition) []byte {
	k := kmsg.OffsetCommitKey{Version: offsetKeyVersion, Group: group, Topic: tp.topic, Partition: tp.partition}
	return k.AppendTo(nil)
}

func metadataKey(group string) []byte {
	k := kmsg.GroupMetadataKey{Version: metadataKeyVersion, Group: group}
	return k.AppendTo(nil)
}

func (g *group) metadataValue() []byte {
	v := kmsg.NewGroupMetadataValue()
	v.Version, v.ProtocolType, v.Generation = metadataValueVersion, g.protocolType, g.generation
	v.CurrentStateTimestamp = g.since.UnixMilli()
	if len(g.members) > 0 {
		v.Protocol, v.Leader = &g.protocol, &g.leader
	}
	for _, mb := range g.sorted() {
		m := mb.GroupMetadataValueMember
		m.Subscription = mb.metadata(g.protocol)
		v.Members = append(v.Members, m)
	}
	return v.AppendTo(nil)
}

// persist writes the group down and calls then, with the group locked, when
// that is durable or has failed.
func (g *group) persist(then func(error)) {
	g.write([]Record{{Key: metadataKey(g.id), Value: g.metadataValue()}}, func(_ int64, err error) {
		then(err)
	})
}

// write appends records and calls then, with the group locked, when they are
// durable or have failed.
func (g *group) write(records []Record, then func(at int64, err error)) {
	if len(records) == 0 {
		then(0, nil)
		return
	}
	at, done, err := g.m.log.Append(records)
	go func() {
		if err == nil {
			err = done(context.Background()) // ends when the log does
		}
		if err != nil {
			g.m.cfg.Log.Warn("writing to the groups' log", "group", g.id, "error", err)
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		then(at, err)
	}()
}

// Load reads all groups back. Members of a stable group are members still;
// their sessions begin anew.
func (m *Manager) Load() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := int64(0)
	err := m.log.Each(func(key, value []byte) {
		at++
		if err := m.load(key, value); err != nil {
			m.cfg.Log.Error("record of the groups' log is left out", "number", at, "error", err)
		}
	})
	if err != nil {
		return fmt.Errorf("reading groups: %w", err)
	}
	for _, g := range m.groups {
		g.mu.Lock()
		for tp, o := range g.offsets {
			id, ok := m.cfg.Topic(tp.topic, tp.partition)
			if !ok || o.value.TopicID != id && o.value.TopicID != [16]byte{} {
				delete(g.offsets, tp) // its topic was deleted
			}
		}
		for _, mb := range g.members {
			g.alive(mb)
		}
		g.mu.Unlock()
	}
	return nil
}

// load takes one record in. The caller holds m.mu.
func (m *Manager) load(key, value []byte) error {
	if len(key) < 2 {
		return fmt.Errorf("key of %d bytes", len(key))
	}
	switch version := int16(key[0])<<8 | int16(key[1]); version {
	case 0, offsetKeyVersion:
		var k kmsg.OffsetCommitKey
		if err := k.ReadFrom(key); err != nil {
			return err
		}
		return m.loadOffset(k, value)
	case metadataKeyVersion:
		var k kmsg.GroupMetadataKey
		if err := k.ReadFrom(key); err != nil {
			return err
		}
		return m.loadMetadata(k, value)
	default:
		return nil // of a newer kind, for which there is no use here
	}
}

func (m *Manager) loadedGroup(id string) *group {
	g := m.groups[id]
	if g == nil {
		g = newGroup(m, id)
		m.groups[id] = g
	}
	return g
}

func (m *Manager) loadOffset(k kmsg.OffsetCommitKey, value []byte) error {
	tp := topicPartition{k.Topic, k.Partition}
	if value == nil {
		if g := m.groups[k.Group]; g != nil {
			delete(g.offsets, tp)
		}
		return nil
	}
	v := &kmsg.OffsetCommitValue{}
	if err := v.ReadFrom(value); err != nil {
		return err
	}
	m.loadedGroup(k.Group).offsets[tp] = &offset{value: v}
	return nil
}

func (m *Manager) loadMetadata(k kmsg.GroupMetadataKey, value []byte) error {
	if value == nil {
		delete(m.groups, k.Group)
		return nil
	}
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(value); err != nil {
		return err
	}
	g := m.loadedGroup(k.Group)
	g.generation, g.protocolType = v.Generation, v.ProtocolType
	g.state, g.since = empty, time.UnixMilli(v.CurrentStateTimestamp)
	g.protocol, g.leader = "", ""
	g.members, g.static = map[string]*member{}, map[string]string{}
	if len(v.Members) == 0 {
		return nil
	}
	g.state = stable
	if v.Protocol != nil && v.Leader != nil {
		g.protocol, g.leader = *v.Protocol, *v.Leader
	}
	for _, s := range v.Members {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = g.protocol, s.Subscription
		mb := &member{GroupMetadataValueMember: s, protocols: []kmsg.JoinGroupRequestProtocol{p}}
		g.members[mb.MemberID] = mb
		if mb.InstanceID != nil {
			g.static[*mb.InstanceID] = mb.MemberID
		}
	}
	return nil
}
