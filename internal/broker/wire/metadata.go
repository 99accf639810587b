package wire

import (
	"cmp"
	"errors"
	"net"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// nodeID is the only broker's.
const nodeID = 1

// noOperations says that authorized operations were not asked for.
const noOperations = -2147483648

// advertised is where the client is told to connect to.
func (c *conn) advertised() (host string, port int32) {
	if !c.remote { // its dialer comes here whatever the address
		return c.host, 9092
	}
	addr := cmp.Or(c.server.cfg.Advertise, c.net.LocalAddr().String())
	h, p, err := net.SplitHostPort(addr)
	if err != nil {
		return addr, 0
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return h, 0
	}
	return h, int32(n)
}

func metadata(r request, req *kmsg.MetadataRequest) reply {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID = nodeID
	b.Host, b.Port = r.advertised()
	resp.Brokers = append(resp.Brokers, b)
	resp.ControllerID = nodeID
	id := r.server.store.ClusterID()
	resp.ClusterID = &id
	resp.AuthorizedOperations = noOperations
	// No topics in version 0, null later: all of them.
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		for _, t := range r.server.store.Topics() {
			resp.Topics = append(resp.Topics, describeTopic(t))
		}
		return answered(resp)
	}
	for _, want := range req.Topics {
		resp.Topics = append(resp.Topics, r.topic(want, req.AllowAutoTopicCreation || req.Version < 4))
	}
	return answered(resp)
}

// topic finds the topic asked for, by ID or by name, or creates it.
func (r request) topic(want kmsg.MetadataRequestTopic, mayCreate bool) kmsg.MetadataResponseTopic {
	missing := kmsg.NewMetadataResponseTopic()
	missing.Topic, missing.TopicID = want.Topic, want.TopicID
	if want.Topic == nil {
		if t := r.server.store.TopicByID(want.TopicID); t != nil {
			return describeTopic(t)
		}
		missing.ErrorCode = code.UnknownTopicID
		return missing
	}
	if t := r.server.store.Topic(*want.Topic); t != nil {
		return describeTopic(t)
	}
	missing.ErrorCode = code.UnknownTopicOrPartition
	if storage.CheckName(*want.Topic) != nil {
		missing.ErrorCode = code.InvalidTopic
	} else if mayCreate {
		t, err := r.autoCreate(*want.Topic)
		if err == nil {
			return describeTopic(t)
		}
		missing.ErrorCode = errorCode(err)
	}
	return missing
}

func (r request) autoCreate(name string) (*storage.Topic, error) {
	if r.server.cfg.AutoCreate == nil {
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
	name := t.Name
	rt.Topic, rt.TopicID, rt.IsInternal, rt.AuthorizedOperations = &name, t.ID, t.Internal, noOperations
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
	resp.ClusterAuthorizedOperations = noOperations
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
	dir.UsableBytes, dir.TotalBytes = r.server.store.Free(), -1 // the disk's size is not asked for
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
