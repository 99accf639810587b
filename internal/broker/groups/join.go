package groups

import (
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// Join takes in a JoinGroup request; wait returns the answer when the group
// is complete.
func (m *Manager) Join(req *kmsg.JoinGroupRequest, cl Client) (wait func(context.Context) *kmsg.JoinGroupResponse) {
	now := func(r *kmsg.JoinGroupResponse) func(context.Context) *kmsg.JoinGroupResponse {
		return func(context.Context) *kmsg.JoinGroupResponse { return finishJoin(req, r) }
	}
	session := time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	if session < m.cfg.MinSessionTimeout || session > m.cfg.MaxSessionTimeout {
		return now(&kmsg.JoinGroupResponse{ErrorCode: code.InvalidSessionTimeout, MemberID: req.MemberID})
	}
	if req.ProtocolType == "" || len(req.Protocols) == 0 {
		return now(&kmsg.JoinGroupResponse{ErrorCode: code.InconsistentProtocol, MemberID: req.MemberID})
	}
	g, c := m.lock(req.Group, req.MemberID == "")
	if c != code.None {
		if c == code.GroupIDNotFound {
			c = code.UnknownMemberID
		}
		return now(&kmsg.JoinGroupResponse{ErrorCode: c, MemberID: req.MemberID})
	}
	defer g.mu.Unlock()
	ch, r := g.join(req, cl)
	if r != nil {
		return now(r)
	}
	return func(ctx context.Context) *kmsg.JoinGroupResponse {
		select {
		case r := <-ch:
			return finishJoin(req, r)
		case <-ctx.Done():
			return finishJoin(req, &kmsg.JoinGroupResponse{ErrorCode: code.CoordinatorNotAvailable, MemberID: req.MemberID})
		}
	}
}

// finishJoin makes r fit the request's version.
func finishJoin(req *kmsg.JoinGroupRequest, r *kmsg.JoinGroupResponse) *kmsg.JoinGroupResponse {
	r.Version = req.Version
	if r.Generation == 0 && r.ErrorCode != code.None {
		r.Generation = -1
	}
	if r.Protocol == nil && req.Version < 7 {
		r.Protocol = new(string)
	}
	return r
}

// join either returns an answer, or the channel it will come on.
func (g *group) join(req *kmsg.JoinGroupRequest, cl Client) (chan *kmsg.JoinGroupResponse, *kmsg.JoinGroupResponse) {
	refuse := func(c int16) (chan *kmsg.JoinGroupResponse, *kmsg.JoinGroupResponse) {
		return nil, &kmsg.JoinGroupResponse{ErrorCode: c, MemberID: req.MemberID}
	}
	if g.state == dead {
		return refuse(code.CoordinatorNotAvailable)
	}
	if !g.fits(req) {
		return refuse(code.InconsistentProtocol)
	}
	if req.MemberID == "" {
		return g.joinNew(req, cl)
	}
	if t, ok := g.pending[req.MemberID]; ok && req.InstanceID == nil {
		t.Stop()
		delete(g.pending, req.MemberID)
		return g.add(req, cl, req.MemberID), nil
	}
	mb, c := g.find(req.MemberID, req.InstanceID)
	if c != code.None {
		return refuse(c)
	}
	mb.client = cl
	same := mb.sameProtocols(req.Protocols)
	if g.state == completing && same || g.state == stable && same && mb.id != g.leader {
		mb.update(req)
		g.alive(mb)
		return nil, g.joined(mb)
	}
	return g.rejoin(mb, req), nil
}

// fits says whether the request has the group's protocol type and a protocol
// that all members know.
func (g *group) fits(req *kmsg.JoinGroupRequest) bool {
	if len(g.members) == 0 {
		return true
	}
	if req.ProtocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(req.Protocols, func(p kmsg.JoinGroupRequestProtocol) bool {
		for id, mb := range g.members {
			if id != req.MemberID && !slices.ContainsFunc(mb.protocols, func(q kmsg.JoinGroupRequestProtocol) bool { return q.Name == p.Name }) {
				return false
			}
		}
		return true
	})
}

// joinNew takes in a member without an id. Unless it has a name of its own it
// is told its id first and asked to come again, so that a client that gave up
// waiting is not counted twice.
func (g *group) joinNew(req *kmsg.JoinGroupRequest, cl Client) (chan *kmsg.JoinGroupResponse, *kmsg.JoinGroupResponse) {
	if req.InstanceID != nil {
		id := newMemberID(*req.InstanceID)
		if old, ok := g.static[*req.InstanceID]; ok {
			return g.replace(g.members[old], req, cl, id)
		}
		if len(g.members)+len(g.pending) >= g.m.cfg.MaxMembers {
			return nil, &kmsg.JoinGroupResponse{ErrorCode: code.GroupMaxSizeReached}
		}
		return g.add(req, cl, id), nil
	}
	if len(g.members)+len(g.pending) >= g.m.cfg.MaxMembers {
		return nil, &kmsg.JoinGroupResponse{ErrorCode: code.GroupMaxSizeReached}
	}
	id := newMemberID(cl.ID)
	if req.Version < 4 {
		return g.add(req, cl, id), nil
	}
	g.pending[id] = g.after(time.Duration(req.SessionTimeoutMillis)*time.Millisecond, func() {
		delete(g.pending, id)
		g.completeIfJoined()
	})
	return nil, &kmsg.JoinGroupResponse{ErrorCode: code.MemberIDRequired, MemberID: id}
}

func (g *group) add(req *kmsg.JoinGroupRequest, cl Client, id string) chan *kmsg.JoinGroupResponse {
	mb := &member{id: id, instance: req.InstanceID, client: cl}
	g.members[id] = mb
	if req.InstanceID != nil {
		g.static[*req.InstanceID] = id
	}
	return g.rejoin(mb, req)
}

// replace puts a restarted static member in the place of its former self. If
// it wants what it had, nobody else notices.
func (g *group) replace(old *member, req *kmsg.JoinGroupRequest, cl Client, id string) (chan *kmsg.JoinGroupResponse, *kmsg.JoinGroupResponse) {
	old.expires.Stop()
	old.answerJoin(&kmsg.JoinGroupResponse{ErrorCode: code.FencedInstanceID, MemberID: old.id})
	old.answerSync(&kmsg.SyncGroupResponse{ErrorCode: code.FencedInstanceID})
	delete(g.members, old.id)
	mb := &member{
		id: id, instance: req.InstanceID, client: cl, protocols: old.protocols,
		assignment: old.assignment,
	}
	g.members[id] = mb
	g.static[*req.InstanceID] = id
	leads := g.leader == old.id
	if leads {
		g.leader = id
	}
	if g.state != stable || !slices.Equal(mb.metadata(g.protocol), metadataOf(req, g.protocol)) {
		return g.rejoin(mb, req), nil
	}
	mb.update(req)
	g.alive(mb)
	r := g.joined(mb)
	if leads && req.Version < 9 {
		// It must not believe that it has to assign: another leads its list.
		r.LeaderID, r.Members = old.id, nil
	}
	r.SkipAssignment = leads
	g.persistLater()
	return nil, r
}

func metadataOf(req *kmsg.JoinGroupRequest, protocol string) []byte {
	for _, p := range req.Protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (mb *member) update(req *kmsg.JoinGroupRequest) {
	mb.session = time.Duration(req.SessionTimeoutMillis) * time.Millisecond
	mb.rebalance = mb.session
	if req.RebalanceTimeoutMillis > 0 {
		mb.rebalance = min(time.Duration(req.RebalanceTimeoutMillis)*time.Millisecond, time.Hour)
	}
	mb.protocols, mb.version = req.Protocols, req.Version
}

// rejoin has the member wait for the group to be complete.
func (g *group) rejoin(mb *member, req *kmsg.JoinGroupRequest) chan *kmsg.JoinGroupResponse {
	// An earlier join of the same member is over: its connection is gone.
	mb.answerJoin(&kmsg.JoinGroupResponse{ErrorCode: code.RebalanceInProgress, MemberID: mb.id})
	mb.update(req)
	g.protocolType = req.ProtocolType
	g.alive(mb)
	ch := make(chan *kmsg.JoinGroupResponse, 1)
	mb.join = ch
	if g.state == preparing {
		g.completeIfJoined()
	} else {
		g.prepare()
	}
	return ch
}

// prepare asks all members to join again. A new group waits a moment for
// more members.
func (g *group) prepare() {
	g.delayed = g.state == empty
	for _, mb := range g.members {
		g.release(mb, code.RebalanceInProgress)
	}
	g.setState(preparing)
	g.stopTimer()
	if g.delayed {
		g.rebalance = g.after(g.m.cfg.InitialDelay, g.startJoining)
		return
	}
	g.startJoining()
}

func (g *group) stopTimer() {
	if g.rebalance != nil {
		g.rebalance.Stop()
		g.rebalance = nil
	}
}

// startJoining gives the members as long as the slowest of them asks for.
func (g *group) startJoining() {
	g.delayed = false
	if g.state == preparing && !g.completeIfJoined() {
		g.rebalance = g.after(g.longest(), g.complete)
	}
}

func (g *group) longest() time.Duration {
	d := time.Duration(0)
	for _, mb := range g.members {
		d = max(d, mb.rebalance)
	}
	return d
}

// completeIfJoined completes the group when nobody is missing, and says so.
func (g *group) completeIfJoined() bool {
	if g.state != preparing || g.delayed || len(g.pending) > 0 {
		return false
	}
	for _, mb := range g.members {
		if mb.join == nil {
			return false
		}
	}
	g.complete()
	return true
}

// complete ends joining: who has not come is out (a static member until its
// session ends), and the leader is told of all others.
func (g *group) complete() {
	if g.state != preparing {
		return
	}
	g.stopTimer()
	joined := 0
	for _, mb := range g.sorted() {
		switch {
		case mb.join != nil:
			joined++
		case mb.instance == nil:
			g.drop(mb)
		}
	}
	if joined == 0 && len(g.members) > 0 {
		g.rebalance = g.after(g.longest(), g.complete)
		return
	}
	g.generation++
	if joined == 0 {
		g.protocol, g.leader = "", ""
		g.setState(empty)
		g.persistLater()
		return
	}
	g.protocol = g.vote()
	if l := g.members[g.leader]; l == nil || l.join == nil {
		g.leader = ""
	}
	for _, mb := range g.sorted() {
		if g.leader == "" && mb.join != nil {
			g.leader = mb.id
		}
	}
	g.setState(completing)
	for _, mb := range g.sorted() {
		if mb.join != nil {
			mb.answerJoin(g.joined(mb))
			g.alive(mb)
		}
	}
	g.rebalance = g.after(g.longest(), g.dropUnsynced)
}

// joined is the answer to a member of a complete group.
func (g *group) joined(mb *member) *kmsg.JoinGroupResponse {
	protocol, protocolType := g.protocol, g.protocolType
	r := &kmsg.JoinGroupResponse{
		Generation: g.generation, ProtocolType: &protocolType, Protocol: &protocol,
		LeaderID: g.leader, MemberID: mb.id,
	}
	if mb.id != g.leader {
		return r
	}
	for _, o := range g.sorted() {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.InstanceID, m.ProtocolMetadata = o.id, o.instance, o.metadata(g.protocol)
		r.Members = append(r.Members, m)
	}
	return r
}

// vote chooses among the protocols that all members know the one most of
// them like best.
func (g *group) vote() string {
	known := map[string]int{}
	for _, mb := range g.members {
		for _, p := range mb.protocols {
			known[p.Name]++
		}
	}
	votes := map[string]int{}
	best := ""
	for _, mb := range g.sorted() {
		for _, p := range mb.protocols {
			if known[p.Name] < len(g.members) {
				continue
			}
			votes[p.Name]++
			if best == "" || votes[p.Name] > votes[best] {
				best = p.Name
			}
			break
		}
	}
	return best
}

// dropUnsynced ends the wait for the leader's assignment: members that did
// not ask for theirs are out, and all join again.
func (g *group) dropUnsynced() {
	if g.state != completing {
		return
	}
	for _, mb := range g.sorted() {
		if mb.sync == nil && mb.instance == nil {
			g.drop(mb)
		}
	}
	g.prepare()
}
