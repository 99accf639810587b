package wire

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

func joinGroup(r request, req *kmsg.JoinGroupRequest) reply {
	wait := r.server.groups.Join(req, r.client())
	return func(ctx context.Context) kmsg.Response { return wait(ctx) }
}

func syncGroup(r request, req *kmsg.SyncGroupRequest) reply {
	wait := r.server.groups.Sync(req)
	return func(ctx context.Context) kmsg.Response { return wait(ctx) }
}

func heartbeat(r request, req *kmsg.HeartbeatRequest) reply {
	return answered(r.server.groups.Heartbeat(req))
}

func leaveGroup(r request, req *kmsg.LeaveGroupRequest) reply {
	return answered(r.server.groups.Leave(req))
}

func offsetCommit(r request, req *kmsg.OffsetCommitRequest) reply {
	wait := r.server.groups.Commit(req)
	return func(ctx context.Context) kmsg.Response { return wait(ctx) }
}

func offsetFetch(r request, req *kmsg.OffsetFetchRequest) reply {
	return answered(r.server.groups.Fetch(req))
}

func offsetDelete(r request, req *kmsg.OffsetDeleteRequest) reply {
	return func(ctx context.Context) kmsg.Response { return r.server.groups.DeleteOffsets(ctx, req) }
}

func describeGroups(r request, req *kmsg.DescribeGroupsRequest) reply {
	return answered(r.server.groups.Describe(req))
}

func listGroups(r request, req *kmsg.ListGroupsRequest) reply {
	return answered(r.server.groups.List(req))
}

func deleteGroups(r request, req *kmsg.DeleteGroupsRequest) reply {
	return func(ctx context.Context) kmsg.Response { return r.server.groups.Delete(ctx, req) }
}

// groupCoordinator is the kind of coordinator that is served.
const groupCoordinator = 0

func findCoordinator(r request, req *kmsg.FindCoordinatorRequest) reply {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	host, port := r.advertised()
	if req.Version < 4 {
		resp.NodeID, resp.Host, resp.Port = nodeID, host, port
		if req.CoordinatorType != groupCoordinator {
			resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = code.InvalidRequest, -1, "", -1
		}
		return answered(resp)
	}
	for _, key := range req.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.NodeID, c.Host, c.Port = key, nodeID, host, port
		if req.CoordinatorType != groupCoordinator {
			c.ErrorCode, c.NodeID, c.Host, c.Port = code.InvalidRequest, -1, "", -1
		}
		resp.Coordinators = append(resp.Coordinators, c)
	}
	return answered(resp)
}
