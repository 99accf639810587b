package groups

import (
	"cmp"
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

// offset is how far a group has read a partition.
type offset struct {
	at       int64
	epoch    int32
	metadata string
	when     time.Time
	log      int64 // where the log has it: of two commits the later counts
}

// Commit takes in an OffsetCommit request; wait returns the answer when it is
// durable.
func (m *Manager) Commit(req *kmsg.OffsetCommitRequest) (wait func(context.Context) *kmsg.OffsetCommitResponse) {
	all := func(c int16) func(context.Context) *kmsg.OffsetCommitResponse {
		return func(context.Context) *kmsg.OffsetCommitResponse {
			return commitResponse(req, func(topicPartition) int16 { return c })
		}
	}
	g, c := m.lock(req.Group, req.Generation < 0)
	if c != code.None {
		if c == code.GroupIDNotFound {
			c = code.IllegalGeneration
		}
		return all(c)
	}
	defer g.mu.Unlock()
	if c := g.mayCommit(req); c != code.None {
		return all(c)
	}
	refused, taken, records := g.check(req)
	answer := func() *kmsg.OffsetCommitResponse {
		return commitResponse(req, func(tp topicPartition) int16 { return refused[tp] })
	}
	if len(records) == 0 {
		return func(context.Context) *kmsg.OffsetCommitResponse { return answer() }
	}
	at, done, err := m.log.Append(records)
	if err != nil {
		m.cfg.Log.Warn("committing offsets", "group", g.id, "error", err)
		return all(code.CoordinatorNotAvailable)
	}
	return func(ctx context.Context) *kmsg.OffsetCommitResponse {
		if err := done(ctx); err != nil {
			return all(code.CoordinatorNotAvailable)(ctx)
		}
		g.apply(taken, at)
		return answer()
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

// check sorts the request's offsets into refused ones and records.
func (g *group) check(req *kmsg.OffsetCommitRequest) (refused map[topicPartition]int16, taken map[topicPartition]offset, records []Record) {
	refused, taken = map[topicPartition]int16{}, map[topicPartition]offset{}
	now := time.Now()
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			tp := topicPartition{t.Topic, p.Partition}
			o := offset{at: p.Offset, epoch: p.LeaderEpoch, when: now}
			if p.Metadata != nil {
				o.metadata = *p.Metadata
			}
			switch {
			case len(o.metadata) > maxOffsetMetadata:
				refused[tp] = code.OffsetMetadataTooLarge
			case g.m.cfg.Exists != nil && !g.m.cfg.Exists(tp.topic, tp.partition):
				refused[tp] = code.UnknownTopicOrPartition
			default:
				taken[tp] = o
				records = append(records, Record{Key: offsetKey(g.id, tp), Value: offsetValue(o)})
			}
		}
	}
	return refused, taken, records
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

func commitResponse(req *kmsg.OffsetCommitRequest, errorCode func(topicPartition) int16) *kmsg.OffsetCommitResponse {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, errorCode(topicPartition{t.Topic, p.Partition})
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// Fetch answers an OffsetFetch request of any version.
func (m *Manager) Fetch(req *kmsg.OffsetFetchRequest) *kmsg.OffsetFetchResponse {
	resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
	if req.Version >= 8 {
		for _, g := range req.Groups {
			resp.Groups = append(resp.Groups, m.fetch(g))
		}
		return resp
	}
	one := kmsg.OffsetFetchRequestGroup{Group: req.Group}
	for _, t := range req.Topics {
		one.Topics = append(one.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: t.Topic, Partitions: t.Partitions})
	}
	if req.Topics != nil && one.Topics == nil {
		one.Topics = []kmsg.OffsetFetchRequestGroupTopic{}
	}
	r := m.fetch(one)
	resp.ErrorCode = r.ErrorCode
	for _, t := range r.Topics {
		rt := kmsg.NewOffsetFetchResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rt.Partitions = append(rt.Partitions, kmsg.OffsetFetchResponseTopicPartition{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: p.Metadata, ErrorCode: p.ErrorCode,
			})
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func (m *Manager) fetch(req kmsg.OffsetFetchRequestGroup) kmsg.OffsetFetchResponseGroup {
	resp := kmsg.NewOffsetFetchResponseGroup()
	resp.Group = req.Group
	offsets := map[topicPartition]offset{}
	g, c := m.lock(req.Group, false)
	switch c {
	case code.None:
		defer g.mu.Unlock()
		if req.MemberID != nil && *req.MemberID != "" {
			if mb := g.members[*req.MemberID]; mb == nil {
				resp.ErrorCode = code.UnknownMemberID
				return resp
			}
		}
		offsets = g.offsets
	case code.GroupIDNotFound: // nothing was committed
	default:
		resp.ErrorCode = c
		return resp
	}
	if req.Topics == nil {
		resp.Topics = allOffsets(offsets)
		return resp
	}
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetFetchResponseGroupTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			o, ok := offsets[topicPartition{t.Topic, p}]
			if !ok {
				o = offset{at: -1, epoch: -1}
			}
			rt.Partitions = append(rt.Partitions, fetched(p, o))
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func fetched(partition int32, o offset) kmsg.OffsetFetchResponseGroupTopicPartition {
	p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
	p.Partition, p.Offset, p.LeaderEpoch, p.Metadata = partition, o.at, o.epoch, &o.metadata
	return p
}

func allOffsets(offsets map[topicPartition]offset) []kmsg.OffsetFetchResponseGroupTopic {
	var out []kmsg.OffsetFetchResponseGroupTopic
	for _, tp := range sortedOffsets(offsets) {
		if len(out) == 0 || out[len(out)-1].Topic != tp.topic {
			t := kmsg.NewOffsetFetchResponseGroupTopic()
			t.Topic = tp.topic
			out = append(out, t)
		}
		last := &out[len(out)-1]
		last.Partitions = append(last.Partitions, fetched(tp.partition, offsets[tp]))
	}
	return out
}

func sortedOffsets(offsets map[topicPartition]offset) []topicPartition {
	return slices.SortedFunc(maps.Keys(offsets), func(a, b topicPartition) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
}
