package groups

import (
	"bytes"
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// Sync takes in a SyncGroup request; wait returns the answer when the leader
// has assigned.
func (m *Manager) Sync(req *kmsg.SyncGroupRequest) (wait func(context.Context) *kmsg.SyncGroupResponse) {
	now := func(r *kmsg.SyncGroupResponse) func(context.Context) *kmsg.SyncGroupResponse {
		return func(context.Context) *kmsg.SyncGroupResponse { r.Version = req.Version; return r }
	}
	g, c := m.lock(req.Group, false)
	if c != code.None {
		return now(&kmsg.SyncGroupResponse{ErrorCode: unknownMember(c)})
	}
	defer g.mu.Unlock()
	ch, r := g.sync(req)
	if r != nil {
		return now(r)
	}
	return func(ctx context.Context) *kmsg.SyncGroupResponse {
		select {
		case r := <-ch:
			r.Version = req.Version
			return r
		case <-ctx.Done():
			return now(&kmsg.SyncGroupResponse{ErrorCode: code.CoordinatorNotAvailable})(ctx)
		}
	}
}

// unknownMember is what a member of a group that does not exist is.
func unknownMember(c int16) int16 {
	if c == code.GroupIDNotFound {
		return code.UnknownMemberID
	}
	return c
}

func (g *group) sync(req *kmsg.SyncGroupRequest) (chan *kmsg.SyncGroupResponse, *kmsg.SyncGroupResponse) {
	refuse := func(c int16) (chan *kmsg.SyncGroupResponse, *kmsg.SyncGroupResponse) {
		return nil, &kmsg.SyncGroupResponse{ErrorCode: c}
	}
	mb, c := g.find(req.MemberID, req.InstanceID)
	switch {
	case c != code.None:
		return refuse(c)
	case req.Generation != g.generation:
		return refuse(code.IllegalGeneration)
	case req.ProtocolType != nil && *req.ProtocolType != g.protocolType,
		req.Protocol != nil && *req.Protocol != g.protocol:
		return refuse(code.InconsistentProtocol)
	}
	g.alive(mb)
	switch g.state {
	case stable:
		return nil, g.assigned(mb)
	case completing:
		mb.answerSync(&kmsg.SyncGroupResponse{ErrorCode: code.RebalanceInProgress})
		ch := make(chan *kmsg.SyncGroupResponse, 1)
		mb.sync = ch
		if mb.id == g.leader {
			g.assign(req)
		}
		return ch, nil
	default:
		return refuse(code.RebalanceInProgress)
	}
}

// release ends a member's wait for its assignment, if it waits; its session
// begins anew, since nothing was heard of it meanwhile.
func (g *group) release(mb *member, c int16) {
	if mb.sync != nil {
		mb.answerSync(&kmsg.SyncGroupResponse{ErrorCode: c})
		g.alive(mb)
	}
}

func (g *group) assigned(mb *member) *kmsg.SyncGroupResponse {
	protocol, protocolType := g.protocol, g.protocolType
	return &kmsg.SyncGroupResponse{ProtocolType: &protocolType, Protocol: &protocol, MemberAssignment: mb.assignment}
}

// assign takes the leader's assignment. The group is stable once it is
// durable.
func (g *group) assign(req *kmsg.SyncGroupRequest) {
	given := map[string][]byte{}
	for _, a := range req.GroupAssignment {
		given[a.MemberID] = a.MemberAssignment
	}
	for _, mb := range g.members {
		mb.assignment = bytes.Clone(given[mb.id])
	}
	generation := g.generation
	g.persist(func(err error) {
		if g.state != completing || g.generation != generation {
			return // another round has begun
		}
		if err != nil {
			g.m.cfg.Log.Warn("keeping a group's assignment", "group", g.id, "error", err)
			for _, mb := range g.members {
				g.release(mb, code.CoordinatorNotAvailable)
			}
			g.prepare()
			return
		}
		g.stopTimer()
		g.setState(stable)
		for _, mb := range g.sorted() {
			mb.answerSync(g.assigned(mb))
			g.alive(mb)
		}
	})
}

// Heartbeat answers a Heartbeat request.
func (m *Manager) Heartbeat(req *kmsg.HeartbeatRequest) *kmsg.HeartbeatResponse {
	resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
	g, c := m.lock(req.Group, false)
	if c != code.None {
		resp.ErrorCode = unknownMember(c)
		return resp
	}
	defer g.mu.Unlock()
	mb, c := g.find(req.MemberID, req.InstanceID)
	switch {
	case c != code.None:
		resp.ErrorCode = c
	case req.Generation != g.generation:
		resp.ErrorCode = code.IllegalGeneration
	case g.state == preparing:
		g.alive(mb)
		resp.ErrorCode = code.RebalanceInProgress
	default:
		g.alive(mb)
	}
	return resp
}

// Leave answers a LeaveGroup request.
func (m *Manager) Leave(req *kmsg.LeaveGroupRequest) *kmsg.LeaveGroupResponse {
	resp := req.ResponseKind().(*kmsg.LeaveGroupResponse)
	g, c := m.lock(req.Group, false)
	if c != code.None {
		resp.ErrorCode = unknownMember(c)
		return resp
	}
	defer g.mu.Unlock()
	if req.Version < 3 {
		resp.ErrorCode = g.leave(req.MemberID, nil)
		return resp
	}
	for _, mb := range req.Members {
		r := kmsg.NewLeaveGroupResponseMember()
		r.MemberID, r.InstanceID = mb.MemberID, mb.InstanceID
		r.ErrorCode = g.leave(mb.MemberID, mb.InstanceID)
		resp.Members = append(resp.Members, r)
	}
	return resp
}

// leave takes a member out; an administrator may name a static one by its
// instance alone.
func (g *group) leave(id string, instance *string) int16 {
	if t, ok := g.pending[id]; ok {
		t.Stop()
		delete(g.pending, id)
		g.completeIfJoined()
		return code.None
	}
	if instance != nil && id == "" {
		id = g.static[*instance]
	}
	mb, c := g.find(id, instance)
	if c == code.None {
		g.remove(mb)
	}
	return c
}
