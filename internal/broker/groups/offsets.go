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
	value   *kmsg.OffsetCommitValue // nil: there is none yet, or it is forgotten
	log     int64                   // where the log says so: of two records the later counts
	writing int                     // records of it that are not yet durable
}

// values are what is committed; nil ones are forgotten.
type values map[topicPartition]*kmsg.OffsetCommitValue

// Commit takes in an OffsetCommit request; wait returns the answer when it is
// durable.
func (m *Manager) Commit(req *kmsg.OffsetCommitRequest) (wait func(context.Context) *kmsg.OffsetCommitResponse) {
	g, c := m.lock(req.Group, req.Generation < 0)
	switch c {
	case code.None:
		defer g.mu.Unlock()
		c = g.mayCommit(req)
	case code.GroupIDNotFound:
		c = code.IllegalGeneration
	}
	resp, taken := m.check(req, c)
	if len(taken) == 0 {
		return func(context.Context) *kmsg.OffsetCommitResponse { return resp }
	}
	ended := orEnd(g.put(taken), context.Canceled)
	return func(ctx context.Context) *kmsg.OffsetCommitResponse {
		if err := ended(ctx); err != nil {
			resp, _ = m.check(req, code.CoordinatorNotAvailable)
		}
		return resp
	}
}

// mayCommit says whether the request speaks for the group as it is.
func (g *group) mayCommit(req *kmsg.OffsetCommitRequest) int16 {
	if req.Generation < 0 && g.state == empty {
		return code.None // a consumer that assigns itself
	}
	_, c := g.heard(req.MemberID, req.InstanceID, req.Generation)
	if c == code.None && g.state == completing {
		return code.RebalanceInProgress
	}
	return c
}

// check sorts the request's offsets into refused ones, all of them if there is
// a code to refuse them with, and those to be taken; the answer is for when
// they are durable.
func (m *Manager) check(req *kmsg.OffsetCommitRequest, refuse int16) (resp *kmsg.OffsetCommitResponse, taken values) {
	resp, taken = req.ResponseKind().(*kmsg.OffsetCommitResponse), values{}
	now := time.Now().UnixMilli()
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition = p.Partition
			id, ok := m.cfg.Topic(t.Topic, p.Partition)
			switch {
			case refuse != code.None:
				rp.ErrorCode = refuse
			case p.Metadata != nil && len(*p.Metadata) > maxOffsetMetadata:
				rp.ErrorCode = code.OffsetMetadataTooLarge
			case !ok:
				rp.ErrorCode = code.UnknownTopicOrPartition
			default:
				taken[topicPartition{t.Topic, p.Partition}] = newValue(p, id, now)
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp, taken
}

func newValue(p kmsg.OffsetCommitRequestTopicPartition, topic [16]byte, now int64) *kmsg.OffsetCommitValue {
	v := &kmsg.OffsetCommitValue{
		Version: offsetValueVersion, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, CommitTimestamp: now, TopicID: topic,
	}
	if p.Metadata != nil {
		v.Metadata = *p.Metadata
	}
	return v
}

// put writes down what is committed or forgotten, and behind it what comes
// with it. It counts when it is durable, whether or not anybody waits for that;
// until then what was before does.
func (g *group) put(vs values, with ...Record) (ended <-chan error) {
	end := make(chan error, 1)
	var records []Record
	offsets := map[topicPartition]*offset{}
	for tp, v := range vs {
		o := g.offsets[tp]
		if o == nil {
			o = &offset{}
			g.offsets[tp] = o
		}
		o.writing++
		offsets[tp] = o
		r := Record{Key: offsetKey(g.id, tp)}
		if v != nil {
			r.Value = v.AppendTo(nil)
		}
		records = append(records, r)
	}
	g.write(append(records, with...), func(at int64, err error) {
		for tp, o := range offsets {
			o.writing--
			if err == nil && at >= o.log {
				o.value, o.log = vs[tp], at
			}
			if o.writing == 0 && o.value == nil && g.offsets[tp] == o {
				delete(g.offsets, tp)
			}
		}
		end <- err
	})
	return end
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
	var offsets map[topicPartition]*offset
	g, c := m.lock(req.Group, false)
	switch c {
	case code.None:
		defer g.mu.Unlock()
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
			if o := offsets[topicPartition{t.Topic, p}]; o != nil && o.value != nil {
				rp.Offset, rp.LeaderEpoch, rp.Metadata = o.value.Offset, o.value.LeaderEpoch, &o.value.Metadata
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// topicsOf is a request for all there is.
func topicsOf(offsets map[topicPartition]*offset) (all []kmsg.OffsetFetchRequestGroupTopic) {
	partitions := map[string][]int32{}
	for tp, o := range offsets {
		if o.value != nil {
			partitions[tp.topic] = append(partitions[tp.topic], tp.partition)
		}
	}
	for _, topic := range slices.Sorted(maps.Keys(partitions)) {
		t := kmsg.NewOffsetFetchRequestGroupTopic()
		t.Topic, t.Partitions = topic, slices.Sorted(slices.Values(partitions[topic]))
		all = append(all, t)
	}
	return all
}
