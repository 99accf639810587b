package groups

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

const maxOffsetMetadata = 4096

type topicPartition struct {
	topic     string
	partition int32
}

// offset is how far a group has read a partition, as the log has it.
type offset struct {
	kmsg.OffsetCommitValue
	log int64 // where the log has it: of two commits the later counts
}

// Commit takes in an OffsetCommit request; wait returns the answer when it is
// durable.
func (m *Manager) Commit(req *kmsg.OffsetCommitRequest) (wait func(context.Context) *kmsg.OffsetCommitResponse) {
	unavailable := func(context.Context) *kmsg.OffsetCommitResponse {
		resp, _, _ := m.check(req, code.CoordinatorNotAvailable)
		return resp
	}
	g, c := m.lock(req.Group, req.Generation < 0)
	switch c {
	case code.None:
		defer g.mu.Unlock()
		c = g.mayCommit(req)
	case code.GroupIDNotFound:
		c = code.IllegalGeneration
	}
	resp, taken, records := m.check(req, c)
	if len(records) == 0 {
		return func(context.Context) *kmsg.OffsetCommitResponse { return resp }
	}
	at, done, err := m.log.Append(records)
	if err != nil {
		m.cfg.Log.Warn("committing offsets", "group", g.id, "error", err)
		return unavailable
	}
	return func(ctx context.Context) *kmsg.OffsetCommitResponse {
		if err := done(ctx); err != nil {
			return unavailable(ctx)
		}
		g.apply(taken, at)
		return resp
	}
}

// mayCommit says whether the request speaks for the group as it is.
func (g *group) mayCommit(req *kmsg.OffsetCommitRequest) int16 {
	if req.Generation < 0 && req.MemberID == "" && req.InstanceID == nil {
		if g.state == empty {
			return code.None // a consumer that assigns itself
		}
		return code.UnknownMemberID
	}
	_, c := g.heard(req.MemberID, req.InstanceID, req.Generation)
	if c == code.None && g.state == completing {
		return code.RebalanceInProgress
	}
	return c
}

// check sorts the request's offsets into refused ones, all of them if there is
// a code to refuse them with, and records; the answer is for when those are
// durable.
func (m *Manager) check(req *kmsg.OffsetCommitRequest, refuse int16) (resp *kmsg.OffsetCommitResponse, taken map[topicPartition]offset, records []Record) {
	resp, taken = req.ResponseKind().(*kmsg.OffsetCommitResponse), map[topicPartition]offset{}
	now := time.Now().UnixMilli()
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition = p.Partition
			switch {
			case refuse != code.None:
				rp.ErrorCode = refuse
			case p.Metadata != nil && len(*p.Metadata) > maxOffsetMetadata:
				rp.ErrorCode = code.OffsetMetadataTooLarge
			case m.cfg.Exists != nil && !m.cfg.Exists(t.Topic, p.Partition):
				rp.ErrorCode = code.UnknownTopicOrPartition
			default:
				tp, o := topicPartition{t.Topic, p.Partition}, newOffset(p, now)
				taken[tp] = o
				records = append(records, Record{Key: offsetKey(req.Group, tp), Value: o.AppendTo(nil)})
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, taken, records
}

func newOffset(p kmsg.OffsetCommitRequestTopicPartition, now int64) offset {
	var o offset
	o.Version, o.Offset, o.LeaderEpoch, o.CommitTimestamp = offsetValueVersion, p.Offset, p.LeaderEpoch, now
	if p.Metadata != nil {
		o.Metadata = *p.Metadata
	}
	return o
}

func (g *group) apply(taken map[topicPartition]offset, at int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for tp, o := range taken {
		o.log = at
		if old, ok := g.offsets[tp]; !ok || old.log <= at {
			g.offsets[tp] = o
		}
	}
}

// Fetch answers an OffsetFetch request of any version.
func (m *Manager) Fetch(req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	for _, g := range req.Groups {
		resp.Groups = append(resp.Groups, m.fetch(g))
	}
	if req.Version >= 8 {
		return resp
	}
	one := kmsg.NewOffsetFetchRequestGroup() // all that can be asked for
	one.Group = req.Group
	if req.Topics != nil {
		one.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	for _, t := range req.Topics {
		one.Topics = append(one.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	r := m.fetch(one)
	resp.ErrorCode = r.ErrorCode
	for _, t := range r.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition(p))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (m *Manager) fetch(req kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	var offsets map[topicPartition]offset
	g, c := m.lock(req.Group, false)
	switch c {
	case code.None:
		defer g.mu.Unlock()
		if req.MemberID != nil && *req.MemberID != "" && g.members[*req.MemberID] == nil {
			resp.ErrorCode = code.UnknownMemberID
			return resp
		}
		offsets = g.offsets
	case code.GroupIDNotFound: // nothing was committed
	default:
		resp.ErrorCode = c
		return resp
	}
	if req.Topics == nil {
		req.Topics = topicsOf(offsets)
	}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			rp.Partition, rp.Offset, rp.Metadata = p, -1, new("")
			if o, ok := offsets[topicPartition{t.Topic, p}]; ok {
				rp.Offset, rp.LeaderEpoch, rp.Metadata = o.Offset, o.LeaderEpoch, &o.Metadata
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// topicsOf is a request for all there is.
func topicsOf(offsets map[topicPartition]offset) (all []kmsg.OffsetFetchRequestGroupTopic) {
	partitions := map[string][]int32{}
	for tp := range offsets {
		partitions[tp.topic] = append(partitions[tp.topic], tp.partition)
	}
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topic, slices.Sorted(slices.Values(partitions[topic]))
		all = append(all, t)
	}
	return all
}
