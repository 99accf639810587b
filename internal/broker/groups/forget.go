package groups

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// DeleteOffsets answers an OffsetDelete request. It returns when the
// deletions are durable.
func (m *Manager) DeleteOffsets(req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	g, c := m.lock(req.Group, false)
	if c != code.None {
		resp.ErrorCode = c
		return resp
	}
	subscribed := g.subscribed()
	gone := values{}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetDeleteResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition = p.Partition
			tp := topicPartition{t.Topic, p.Partition}
			if subscribed == nil || subscribed[t.Topic] {
				rp.ErrorCode = code.GroupSubscribed
			} else if g.offsets[tp] != nil {
				gone[tp] = nil
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	ended := g.put(gone)
	g.mu.Unlock()
	if err := <-ended; err != nil {
		resp.ErrorCode = code.CoordinatorNotAvailable
	}
	return resp
}

// TopicDeleted forgets every offset of the topic: one of the same name may
// come, and its offsets begin at 0. It returns when that is durable; if it
// cannot be, the topic's id in what the log has keeps it from coming back.
func (m *Manager) TopicDeleted(topic string) {
	for g := range m.all() {
		delete(g.began, topic)
	}
	m.forgetOffsets(func(g *group, tp topicPartition, _ *offset) bool {
		if tp.topic != topic {
			return false
		}
		delete(g.offsets, tp) // at once, and what is being written too
		return true
	})
}

// expire forgets what nobody has committed for long, and groups with nothing
// left.
func (m *Manager) expire() {
	before := time.Now().Add(-m.cfg.Retention)
	m.forgetOffsets(func(g *group, _ topicPartition, o *offset) bool {
		idle := g.state == empty && (g.protocolType == "" || g.since.Before(before))
		return idle && o.writing == 0 && o.value.CommitTimestamp < before.UnixMilli()
	})
	idle := func(g *group) bool { // it was never one, or long ago
		nothing := g.state == empty && len(g.offsets) == 0 && len(g.pending) == 0
		return nothing && (g.generation == 0 || g.since.Before(before))
	}
	var ids []string
	for g := range m.all() {
		if idle(g) {
			ids = append(ids, g.id)
		}
	}
	for _, id := range ids {
		m.delete(id, idle) // it may have come to life meanwhile
	}
}

// forgetOffsets returns when the offsets chosen are durably forgotten.
func (m *Manager) forgetOffsets(which func(*group, topicPartition, *offset) bool) {
	var ended []<-chan error
	for g := range m.all() {
		gone := values{}
		for tp, o := range g.offsets {
			if which(g, tp, o) {
				gone[tp] = nil
			}
		}
		ended = append(ended, g.put(gone))
	}
	for _, end := range ended {
		<-end //nolint:errcheck // put logs what failed
	}
}
