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
	answer := make(chan *kmsg.SyncGroupResponse, 1)
	if c := m.sync(req, answer); c != code.None {
		answer <- refusedSync(req, c)
	}
	return orEnd(answer, refusedSync(req, code.CoordinatorNotAvailable))
}

func refusedSync(req *kmsg.SyncGroupRequest, errorCode int16) *kmsg.SyncGroupResponse {
	r := req.ResponseKind().(*kmsg.SyncGroupResponse)
	r.ErrorCode = errorCode
	return r
}

// unknownMember is what a member of a group that does not exist is.
func unknownMember(c int16) int16 {
	if c == code.GroupIDNotFound {
		return code.UnknownMemberID
	}
	return c
}

// sync sees to it that the request is answered, or says why it is refused.
func (m *Manager) sync(req *kmsg.SyncGroupRequest, answer chan<- *kmsg.SyncGroupResponse) int16 {
	g, c := m.lock(req.Group, false)
	if c != code.None {
		return unknownMember(c)
	}
	defer g.mu.Unlock()
	mb, c := g.heard(req.MemberID, req.InstanceID, req.Generation)
	if c != code.None {
		return c
	}
	if req.ProtocolType != nil && *req.ProtocolType != g.protocolType || req.Protocol != nil && *req.Protocol != g.protocol {
		return code.InconsistentProtocol
	}
	if g.state != completing && g.state != stable {
		return code.RebalanceInProgress
	}
	g.answer(mb, code.RebalanceInProgress) // an earlier one: its connection is gone
	mb.waits = func(errorCode int16) {
		r := refusedSync(req, errorCode)
		if errorCode == code.None {
			r.ProtocolType, r.Protocol, r.MemberAssignment = new(g.protocolType), new(g.protocol), mb.Assignment
		}
		answer <- r
	}
	if g.state == stable {
		g.answer(mb, code.None)
	} else if mb.MemberID == g.leader {
		g.assign(req)
	}
	return code.None
}

// assign takes the leader's assignment. The group is stable once it is
// durable.
func (g *group) assign(req *kmsg.SyncGroupRequest) {
	given := map[string][]byte{}
	for _, a := range req.GroupAssignment {
		given[a.MemberID] = a.MemberAssignment
	}
	for _, mb := range g.members {
		mb.Assignment = bytes.Clone(given[mb.MemberID])
	}
	generation := g.generation
	g.persist(func(err error) {
		if g.state != completing || g.generation != generation {
			return // another round has begun
		}
		if err != nil {
			for _, mb := range g.members {
				g.answer(mb, code.CoordinatorNotAvailable)
			}
			g.prepare()
			return
		}
		g.stopTimer()
		g.setState(stable)
		for _, mb := range g.members {
			g.answer(mb, code.None)
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
	_, resp.ErrorCode = g.heard(req.MemberID, req.InstanceID, req.Generation)
	if resp.ErrorCode == code.None && g.state == preparing {
		resp.ErrorCode = code.RebalanceInProgress
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
