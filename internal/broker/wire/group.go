package wire

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
	"github.com/decodersring/decoder/internal/broker/groups"
)

// atOnce adapts what groups answer at once.
func atOnce[R kmsg.Request, A kmsg.Response](ask func(*groups.Manager, R) A) func(request, R) reply {
	return func(r request, req R) reply { return answered(ask(r.server.groups, req)) }
}

// later adapts what groups take in, and answer when it is durable or complete.
func later[R kmsg.Request, A kmsg.Response](ask func(*groups.Manager, R) func(context.Context) A) func(request, R) reply {
	return func(r request, req R) reply {
		wait := ask(r.server.groups, req)
		return func(ctx context.Context) kmsg.Response { return wait(ctx) }
	}
}

func describeGroups(r request, req *kmsg.DescribeGroupsRequest) reply {
	req.Groups = once(req.Groups, func(id string) string { return id })
	return answered(r.server.groups.Describe(req))
}

func offsetFetch(r request, req *kmsg.OffsetFetchRequest) reply {
	req.Groups = once(req.Groups, func(g kmsg.OffsetFetchRequestGroup) string { return g.Group })
	return answered(r.server.groups.Fetch(req))
}

func joinGroup(r request, req *kmsg.JoinGroupRequest) reply {
	wait := r.server.groups.Join(req, r.client())
	return func(ctx context.Context) kmsg.Response { return wait(ctx) }
}

func offsetDelete(r request, req *kmsg.OffsetDeleteRequest) reply {
	return func(context.Context) kmsg.Response { return r.server.groups.DeleteOffsets(req) }
}

func deleteGroups(r request, req *kmsg.DeleteGroupsRequest) reply {
	return func(context.Context) kmsg.Response { return r.server.groups.Delete(req) }
}

// groupCoordinator is the kind of coordinator that is served.
const groupCoordinator = 0

func findCoordinator(r request, req *kmsg.FindCoordinatorRequest) reply {
	resp := req.ResponseKind().(*kmsg.FindCoordinatorResponse)
	// Version 3 and below ask for one, and read what later ones do not.
	resp.NodeID = nodeID
	resp.Host, resp.Port = r.advertised()
	if req.CoordinatorType != groupCoordinator {
		resp.ErrorCode, resp.NodeID, resp.Host, resp.Port = code.InvalidRequest, -1, "", -1
	}
	for _, key := range req.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.ErrorCode, c.NodeID, c.Host, c.Port = key, resp.ErrorCode, resp.NodeID, resp.Host, resp.Port
		resp.Coordinators = append(resp.Coordinators, c)
	}
	return answered(resp)
}
