package wire

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/groups"
)

// api is a request that is served: its versions, and how it is begun.
type api struct {
	min, max int16
	handle   func(request, kmsg.Request) reply
	unsigned bool // before sign-in
	reuse    bool // keeps nothing of the frame
	shape    shape
}

// on adapts a handler of one kind of request.
func on[R kmsg.Request](min, max int16, h func(request, R) reply) api {
	return api{min: min, max: max, handle: func(r request, req kmsg.Request) reply { return h(r, req.(R)) }}
}

func (a api) beforeSignIn() api { a.unsigned = true; return a }
func (a api) reusing() api      { a.reuse = true; return a }

// withShapes adds to each request how its body is laid out.
func withShapes(all map[int16]api) map[int16]api {
	for key, s := range shapes() {
		a := all[key]
		a.shape = s
		all[key] = a
	}
	return all
}

// apis lists what is served. What is not here is not advertised: transactions,
// share groups, the group protocol of KIP-848, delegation tokens, ACLs and
// what brokers ask each other.
func apis() map[int16]api {
	return withShapes(map[int16]api{
		int16(kmsg.ApiVersions):      on(0, 4, apiVersions).beforeSignIn(),
		int16(kmsg.SASLHandshake):    on(0, 1, saslHandshake).beforeSignIn(),
		int16(kmsg.SASLAuthenticate): on(0, 2, saslAuthenticate).beforeSignIn(),

		int16(kmsg.Metadata):        on(0, 13, metadata).reusing(),
		int16(kmsg.DescribeCluster): on(0, 1, describeCluster).reusing(),

		// Version 2 and below carry message formats before 2; they are
		// advertised, as Kafka 4 does, since librdkafka derives from version 0
		// which compressions there are. [conn.beginProduce] serves it.
		int16(kmsg.Produce):              {min: 0, max: 12},
		int16(kmsg.Fetch):                on(4, 16, fetch).reusing(),
		int16(kmsg.ListOffsets):          on(1, 8, listOffsets).reusing(),
		int16(kmsg.OffsetForLeaderEpoch): on(2, 4, offsetForLeaderEpoch).reusing(),
		int16(kmsg.InitProducerID):       on(0, 5, initProducerID).reusing(),
		int16(kmsg.DeleteRecords):        on(0, 2, deleteRecords).reusing(),

		int16(kmsg.CreateTopics):            on(0, 7, createTopics).reusing(),
		int16(kmsg.DeleteTopics):            on(0, 6, deleteTopics).reusing(),
		int16(kmsg.CreatePartitions):        on(0, 3, createPartitions).reusing(),
		int16(kmsg.DescribeConfigs):         on(0, 4, describeConfigs).reusing(),
		int16(kmsg.AlterConfigs):            on(0, 2, alterConfigs).reusing(),
		int16(kmsg.IncrementalAlterConfigs): on(0, 1, incrementalAlterConfigs).reusing(),
		int16(kmsg.DescribeLogDirs):         on(0, 4, describeLogDirs).reusing(),

		int16(kmsg.FindCoordinator): on(0, 4, findCoordinator).reusing(),
		int16(kmsg.JoinGroup):       on(0, 9, joinGroup).reusing(),
		int16(kmsg.SyncGroup):       on(0, 5, later((*groups.Manager).Sync)).reusing(),
		int16(kmsg.Heartbeat):       on(0, 4, atOnce((*groups.Manager).Heartbeat)).reusing(),
		int16(kmsg.LeaveGroup):      on(0, 5, atOnce((*groups.Manager).Leave)).reusing(),
		int16(kmsg.OffsetCommit):    on(0, 9, later((*groups.Manager).Commit)).reusing(),
		int16(kmsg.OffsetFetch):     on(0, 9, offsetFetch).reusing(),
		int16(kmsg.OffsetDelete):    on(0, 0, offsetDelete).reusing(),
		int16(kmsg.DescribeGroups):  on(0, 6, describeGroups).reusing(),
		int16(kmsg.ListGroups):      on(0, 5, atOnce((*groups.Manager).List)).reusing(),
		int16(kmsg.DeleteGroups):    on(0, 2, deleteGroups).reusing(),
	})
}

func (s *Server) versions() []kmsg.ApiVersionsResponseApiKey {
	var out []kmsg.ApiVersionsResponseApiKey
	for _, key := range slices.Sorted(maps.Keys(s.apis)) {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = key, s.apis[key].min, s.apis[key].max
		out = append(out, k)
	}
	return out
}

func apiVersions(r request, req *kmsg.ApiVersionsRequest) reply {
	resp := req.ResponseKind().(*kmsg.ApiVersionsResponse)
	resp.ApiKeys = r.server.versions()
	return answered(resp)
}

// tooNew answers an ApiVersions request of a version from the future: version
// 0 is what both sides are sure to know (KIP-511).
func (s *Server) tooNew() kmsg.Response {
	resp := kmsg.NewPtrApiVersionsResponse()
	resp.ErrorCode, resp.ApiKeys = code.UnsupportedVersion, s.versions()
	return resp
}
