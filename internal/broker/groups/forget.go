package groups

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// DeleteOffsets answers an OffsetDelete request. It returns when the
// deletions are durable.
func (m *Manager) DeleteOffsets(ctx context.Context, req *kmsg.OffsetDeleteRequest) *kmsg.OffsetDeleteResponse {
	resp := req.ResponseKind().(*kmsg.OffsetDeleteResponse)
	g, c := m.lock(req.Group, false)
	if c != code.None {
		resp.ErrorCode = c
		return resp
	}
	subscribed := g.subscribed()
	var gone []topicPartition
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetDeleteResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetDeleteResponseTopicPartition()
			rp.Partition = p.Partition
			if subscribed == nil && g.state != empty || subscribed[t.Topic] {
				rp.ErrorCode = code.GroupSubscribed
			} else {
				gone = append(gone, topicPartition{t.Topic, p.Partition})
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	done, err := g.tombstones(gone)
	g.mu.Unlock()
	if err == nil {
		err = done(ctx)
	}
	if err != nil {
		m.cfg.Log.Warn("deleting offsets", "group", req.Group, "error", err)
		resp.ErrorCode = code.CoordinatorNotAvailable
	}
	return resp
}

// subscribed returns the topics the members read; nil when they cannot be
// told.
func (g *group) subscribed() map[string]bool {
	topics := map[string]bool{}
	for _, mb := range g.members {
		if g.protocolType != "consumer" {
			return nil
		}
		for _, p := range mb.protocols {
			var meta kmsg.ConsumerMemberMetadata
			if meta.ReadFrom(p.Metadata) != nil {
				return nil
			}
			for _, t := range meta.Topics {
				topics[t] = true
			}
		}
	}
	return topics
}

// tombstones forgets the offsets and writes that down, and behind it what
// comes with it.
func (g *group) tombstones(gone []topicPartition, with ...Record) (done func(context.Context) error, err error) {
	var records []Record
	for _, tp := range gone {
		if _, ok := g.offsets[tp]; ok {
			records = append(records, Record{Key: offsetKey(g.id, tp)})
		}
	}
	records = append(records, with...)
	if len(records) == 0 {
		return func(context.Context) error { return nil }, nil
	}
	_, done, err = g.m.log.Append(records)
	if err != nil {
		return nil, err
	}
	for _, tp := range gone {
		delete(g.offsets, tp)
	}
	return done, nil
}

// TopicDeleted forgets every offset of the topic: one of the same name may
// come, and its offsets begin at 0.
func (m *Manager) TopicDeleted(ctx context.Context, topic string) {
	for g := range m.all() {
		delete(g.began, topic)
	}
	m.forgetOffsets(ctx, func(_ *group, tp topicPartition, _ offset) bool { return tp.topic == topic })
}

// expire forgets what nobody has committed for long, and groups with nothing
// left.
func (m *Manager) expire(ctx context.Context) {
	before := time.Now().Add(-m.cfg.Retention)
	m.forgetOffsets(ctx, func(g *group, _ topicPartition, o offset) bool {
		idle := g.state == empty && (g.protocolType == "" || g.since.Before(before))
		return idle && o.CommitTimestamp < before.UnixMilli()
	})
	var idle []string
	for g := range m.all() {
		if g.state == empty && len(g.offsets) == 0 && len(g.pending) == 0 && g.since.Before(before) {
			idle = append(idle, g.id)
		}
	}
	for _, id := range idle {
		m.delete(ctx, id)
	}
}

// forgetOffsets returns when the offsets chosen are durably forgotten.
func (m *Manager) forgetOffsets(ctx context.Context, which func(*group, topicPartition, offset) bool) {
	var written []func(context.Context) error
	for g := range m.all() {
		var gone []topicPartition
		for tp, o := range g.offsets {
			if which(g, tp, o) {
				gone = append(gone, tp)
			}
		}
		done, err := g.tombstones(gone)
		if err != nil {
			m.cfg.Log.Warn("forgetting offsets", "group", g.id, "error", err)
			continue
		}
		written = append(written, done)
	}
	for _, done := range written {
		if err := done(ctx); err != nil {
			m.cfg.Log.Warn("forgetting offsets", "error", err)
		}
	}
}
