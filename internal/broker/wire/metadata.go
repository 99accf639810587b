package wire

import (
	"errors"
	"net"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// nodeID is the only broker's.
const nodeID = 1

// advertised is where the client is told to connect to.
func (c *conn) advertised() (host string, port int32) {
	addr := c.server.cfg.Advertise
	if addr == "" || !c.remote {
		addr = c.net.LocalAddr().String()
	}
	h, p, _ := net.SplitHostPort(addr) // the broker has looked at what it advertises
	n, _ := strconv.ParseUint(p, 10, 16)
	return h, int32(n)
}

func metadata(r request, req *kmsg.MetadataRequest) reply {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID = nodeID
	b.Host, b.Port = r.advertised()
	resp.Brokers = append(resp.Brokers, b)
	resp.ControllerID, resp.ClusterID = nodeID, new(r.server.store.ClusterID())
	// No topics in version 0, null later: all of them.
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		for _, t := range r.server.store.Topics() {
			resp.Topics = append(resp.Topics, describeTopic(t))
		}
		return answered(resp)
	}
	for _, want := range once(req.Topics, func(t kmsg.MetadataRequestTopic) any {
		if t.Topic != nil {
			return *t.Topic
		}
		return t.TopicID
	}) {
		resp.Topics = append(resp.Topics, r.wanted(want, req.AllowAutoTopicCreation || req.Version < 4))
	}
	return answered(resp)
}

// once leaves out of a request what it asks for again: an answer may be
// thousands of times as long as the question.
func once[T any, K comparable](all []T, key func(T) K) []T {
	seen := make(map[K]struct{}, len(all))
	return slices.DeleteFunc(all, func(t T) bool {
		before := len(seen)
		seen[key(t)] = struct{}{}
		return len(seen) == before
	})
}

// wanted describes the topic asked for, or creates it.
func (r request) wanted(want kmsg.MetadataRequestTopic, mayCreate bool) kmsg.MetadataResponseTopic {
	t, c := r.topic(want.Topic, want.TopicID)
	if t == nil && want.Topic != nil {
		if storage.CheckName(*want.Topic) != nil {
			c = code.InvalidTopic
		} else if mayCreate {
			var err error
			t, err = r.autoCreate(*want.Topic)
			c = errorCode(err)
		}
	}
	if c == code.None {
		return describeTopic(t)
	}
	missing := kmsg.NewMetadataResponseTopic()
	missing.Topic, missing.TopicID, missing.ErrorCode = want.Topic, want.TopicID, c
	return missing
}

// topic finds a topic by name, or by ID when it has none.
func (r request) topic(name *string, id [16]byte) (*storage.Topic, int16) {
	t, unknown := r.server.store.TopicByID(id), code.UnknownTopicID
	if name != nil {
		t, unknown = r.server.store.Topic(*name), code.UnknownTopicOrPartition
	}
	if t == nil {
		return nil, unknown
	}
	return t, code.None
}

func (r request) autoCreate(name string) (*storage.Topic, error) {
	if r.server.cfg.AutoCreate == nil || r.ctx.Err() != nil {
		return nil, storage.ErrUnknownTopic
	}
	spec, ok := r.server.cfg.AutoCreate(name)
	if !ok {
		return nil, storage.ErrUnknownTopic
	}
	spec.Name = name
	t, err := r.server.store.Create(spec)
	if errors.Is(err, storage.ErrTopicExists) { // another client was faster
		if t = r.server.store.Topic(name); t != nil {
			return t, nil
		}
	}
	return t, err
}

func describeTopic(t *storage.Topic) kmsg.MetadataResponseTopic {
	rt := kmsg.NewMetadataResponseTopic()
	rt.Topic, rt.TopicID, rt.IsInternal = new(t.Name), t.ID, t.Internal
	for _, p := range t.Partitions() {
		rp := kmsg.NewMetadataResponseTopicPartition()
		rp.Partition, rp.Leader, rp.LeaderEpoch = p.Index(), nodeID, storage.LeaderEpoch
		rp.Replicas, rp.ISR, rp.OfflineReplicas = []int32{nodeID}, []int32{nodeID}, []int32{}
		rt.Partitions = append(rt.Partitions, rp)
	}
	return rt
}

func describeCluster(r request, req *kmsg.DescribeClusterRequest) reply {
	resp := req.ResponseKind().(*kmsg.DescribeClusterResponse)
	resp.ClusterID, resp.ControllerID = r.server.store.ClusterID(), nodeID
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID = nodeID
	b.Host, b.Port = r.advertised()
	resp.Brokers = append(resp.Brokers, b)
	if req.Version >= 1 && req.EndpointType != 1 { // only brokers, no controllers
		resp.ErrorCode = code.InvalidRequest
	}
	return answered(resp)
}

func describeLogDirs(r request, req *kmsg.DescribeLogDirsRequest) reply {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = r.server.store.Dir()
	dir.UsableBytes = r.server.store.Free() // the disk's size is not asked for
	want := map[string]map[int32]bool{}
	for _, t := range req.Topics {
		want[t.Topic] = map[int32]bool{}
		for _, p := range t.Partitions {
			want[t.Topic][p] = true
		}
	}
	for _, t := range r.server.store.Topics() {
		if req.Topics != nil && want[t.Name] == nil {
			continue
		}
		rt := kmsg.NewDescribeLogDirsResponseDirTopic()
		rt.Topic = t.Name
		for _, p := range t.Partitions() {
			if req.Topics != nil && !want[t.Name][p.Index()] {
				continue
			}
			rp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			rp.Partition, rp.Size = p.Index(), p.Size()
			rt.Partitions = append(rt.Partitions, rp)
		}
		dir.Topics = append(dir.Topics, rt)
	}
	resp.Dirs = append(resp.Dirs, dir)
	return answered(resp)
}
