package wire

import (
	"cmp"
	"fmt"
	"iter"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// changes are what a request changes, one after the other, each with what is
// wrong before it is looked at: as with Kafka nothing is changed that is named
// more than once. They end with the connection, since each may take a sync, and
// a request holds a hundred thousand.
func changes[T any](r request, all []T, name func(*T) string) iter.Seq2[*T, error] {
	times := map[string]int{}
	for i := range all {
		times[name(&all[i])]++
	}
	return func(yield func(*T, error) bool) {
		for i := range all {
			var err error
			if times[name(&all[i])] > 1 {
				err = errRepeated
			}
			if r.ctx.Err() != nil || !yield(&all[i], err) {
				return
			}
		}
	}
}

func createTopics(r request, req *kmsg.CreateTopicsRequest) reply {
	resp := req.ResponseKind().(*kmsg.CreateTopicsResponse)
	for t, err := range changes(r, req.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic }) {
		rt := kmsg.NewCreateTopicsResponseTopic()
		rt.Topic = t.Topic
		if err == nil {
			err = r.createTopic(req, t, &rt)
		}
		rt.ErrorCode, rt.ErrorMessage = failure(err)
		resp.Topics = append(resp.Topics, rt)
	}
	return answered(resp)
}

func (r request) createTopic(req *kmsg.CreateTopicsRequest, t *kmsg.CreateTopicsRequestTopic, rt *kmsg.CreateTopicsResponseTopic) error {
	spec := storage.TopicSpec{Name: t.Topic, Partitions: int(t.NumPartitions), Config: map[string]string{}}
	if t.NumPartitions == -1 {
		spec.Partitions = r.server.cfg.Partitions
	}
	if len(t.ReplicaAssignment) > 0 {
		n, err := assigned(t)
		if err != nil {
			return err
		}
		spec.Partitions = n
	} else if t.ReplicationFactor != -1 && t.ReplicationFactor != 1 {
		return fmt.Errorf("%w: %d, there is one broker", errReplication, t.ReplicationFactor)
	}
	for _, c := range t.Configs {
		if err := applyChange(spec.Config, kmsg.IncrementalAlterConfigOpSet, c.Name, c.Value); err != nil {
			return err
		}
	}
	if req.ValidateOnly {
		return r.server.store.CheckTopic(spec)
	}
	created, err := r.server.store.Create(spec)
	if err != nil {
		return err
	}
	rt.TopicID, rt.NumPartitions, rt.ReplicationFactor = created.ID, int32(spec.Partitions), 1
	for _, e := range created.Config().Entries() {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Value, c.Source = e.Name, new(e.Value), int8(configSource(e))
		rt.Configs = append(rt.Configs, c)
	}
	return nil
}

// assigned checks replica assignments, of which there is one that can be.
func assigned(t *kmsg.CreateTopicsRequestTopic) (partitions int, err error) {
	seen := map[int32]bool{}
	for _, a := range t.ReplicaAssignment {
		if len(a.Replicas) != 1 || a.Replicas[0] != nodeID || a.Partition < 0 ||
			int(a.Partition) >= len(t.ReplicaAssignment) || seen[a.Partition] {
			return 0, fmt.Errorf("%w: partition %d on brokers %v: every partition once, on broker %d", errAssignment, a.Partition, a.Replicas, nodeID)
		}
		seen[a.Partition] = true
	}
	return len(seen), nil
}

func deleteTopics(r request, req *kmsg.DeleteTopicsRequest) reply {
	resp := req.ResponseKind().(*kmsg.DeleteTopicsResponse)
	topics := req.Topics
	for _, name := range req.TopicNames { // version 5 and below
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = &name
		topics = append(topics, t)
	}
	for t, err := range changes(r, topics, r.nameOf) {
		rt := kmsg.NewDeleteTopicsResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		found, c := r.topic(t.Topic, t.TopicID)
		switch {
		case err != nil || (t.Topic == nil) == (t.TopicID == [16]byte{}):
			rt.ErrorCode, rt.ErrorMessage = failure(cmp.Or(err, errNaming))
		case c != code.None:
			rt.ErrorCode = c
		case found.Internal:
			rt.ErrorCode = code.InvalidTopic
		default:
			rt.Topic, rt.TopicID = new(found.Name), found.ID
			if rt.ErrorCode, rt.ErrorMessage = failure(r.server.store.Delete(found.Name)); rt.ErrorCode == code.None {
				r.server.groups.TopicDeleted(found.Name)
			}
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return answered(resp)
}

// nameOf is what tells a topic that is to be deleted from others.
func (r request) nameOf(t *kmsg.DeleteTopicsRequestTopic) string {
	if t.Topic != nil {
		return *t.Topic
	}
	if found := r.server.store.TopicByID(t.TopicID); found != nil {
		return found.Name
	}
	return string(t.TopicID[:])
}

func createPartitions(r request, req *kmsg.CreatePartitionsRequest) reply {
	resp := req.ResponseKind().(*kmsg.CreatePartitionsResponse)
	for t, err := range changes(r, req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic }) {
		rt := kmsg.NewCreatePartitionsResponseTopic()
		rt.Topic = t.Topic
		if err == nil {
			err = r.server.store.Grow(t.Topic, int(t.Count), req.ValidateOnly)
		}
		rt.ErrorCode, rt.ErrorMessage = failure(err)
		resp.Topics = append(resp.Topics, rt)
	}
	return answered(resp)
}
