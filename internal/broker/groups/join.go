package groups

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

// joinCall is a JoinGroup request until it is answered.
type joinCall struct {
	*kmsg.JoinGroupRequest
	client Client
	answer chan *kmsg.JoinGroupResponse // has room for it
}

func (j joinCall) response(memberID string, errorCode int16) *kmsg.JoinGroupResponse {
	r := j.ResponseKind().(*kmsg.JoinGroupResponse)
	r.MemberID, r.ErrorCode = memberID, errorCode
	return r
}

// Join takes in a JoinGroup request; wait returns the answer when the group
// is complete.
func (m *Manager) Join(req *kmsg.JoinGroupRequest, cl Client) (wait func(context.Context) *kmsg.JoinGroupResponse) {
	j := joinCall{req, cl, make(chan *kmsg.JoinGroupResponse, 1)}
	if c := m.join(j); c != code.None {
		j.answer <- j.response(j.MemberID, c)
	}
	return orEnd(j.answer, j.response(j.MemberID, code.CoordinatorNotAvailable))
}

// orEnd waits for an answer, or has another when ctx ends first.
func orEnd[R any](answer <-chan R, ended R) func(context.Context) R {
	return func(ctx context.Context) R {
		select {
		case r := <-answer:
			return r
		case <-ctx.Done():
			return ended
		}
	}
}

// join sees to it that the call is answered, or says why it is refused.
func (m *Manager) join(j joinCall) int16 {
	session := millis(j.SessionTimeoutMillis)
	if session < minSessionTimeout || session > maxSessionTimeout {
		return code.InvalidSessionTimeout
	}
	if j.InstanceID != nil && len(*j.InstanceID) > maxName {
		return code.InvalidRequest
	}
	if j.ProtocolType == "" || len(j.Protocols) == 0 {
		return code.InconsistentProtocol
	}
	g, c := m.lock(j.Group, j.MemberID == "")
	if c != code.None {
		return unknownMember(c)
	}
	defer g.mu.Unlock()
	if !g.fits(j) {
		return code.InconsistentProtocol
	}
	if !g.hasRoom(j) {
		return code.GroupMaxSizeReached
	}
	if j.MemberID == "" {
		return g.joinNew(j)
	}
	if t, ok := g.pending[j.MemberID]; ok && j.InstanceID == nil {
		t.Stop()
		delete(g.pending, j.MemberID)
		g.add(j, j.MemberID)
		return code.None
	}
	mb, c := g.find(j.MemberID, j.InstanceID)
	if c != code.None {
		return c
	}
	same := mb.sameProtocols(j.Protocols)
	if g.state == completing && same || g.state == stable && same && mb.MemberID != g.leader {
		mb.update(j)
		g.alive(mb)
		j.answer <- g.joined(j, mb)
		return code.None
	}
	g.rejoin(mb, j)
	return code.None
}

// joinNew takes in a member without an id. Unless it has a name of its own it
// is told its id first and asked to come again, so that a client that gave up
// waiting is not counted twice.
func (g *group) joinNew(j joinCall) int16 {
	prefix := j.client.ID
	if j.InstanceID != nil {
		prefix = *j.InstanceID
		if old, ok := g.static[prefix]; ok {
			g.replace(g.members[old], j, newMemberID(prefix))
			return code.None
		}
	}
	if len(g.members)+len(g.pending) >= g.m.cfg.MaxMembers {
		return code.GroupMaxSizeReached
	}
	id := newMemberID(prefix)
	if j.InstanceID != nil || j.Version < 4 {
		g.add(j, id)
		return code.None
	}
	g.pending[id] = g.after(millis(j.SessionTimeoutMillis), func() {
		delete(g.pending, id)
		g.completeIfJoined()
	})
	j.answer <- j.response(id, code.MemberIDRequired)
	return code.None
}

func (g *group) add(j joinCall, id string) {
	mb := &member{}
	mb.MemberID, mb.InstanceID = id, j.InstanceID
	g.members[id] = mb
	if mb.InstanceID != nil {
		g.static[*mb.InstanceID] = id
	}
	g.rejoin(mb, j)
}

// replace puts a restarted static member in the place of its former self. If
// it wants what it had, nobody else notices.
func (g *group) replace(mb *member, j joinCall, id string) {
	g.answer(mb, code.FencedInstanceID)
	old, had := mb.MemberID, mb.metadata(g.protocol)
	delete(g.members, old)
	mb.MemberID = id
	g.members[id], g.static[*mb.InstanceID] = mb, id
	leads := g.leader == old
	if leads {
		g.leader = id
	}
	mb.update(j)
	if g.state != stable || !g.sameWish(had, mb.metadata(g.protocol)) {
		g.rejoin(mb, j)
		return
	}
	g.alive(mb)
	mb.waits = func(errorCode int16) {
		if errorCode != code.None {
			j.answer <- j.response(id, errorCode)
			return
		}
		r := g.joined(j, mb)
		if leads && j.Version < 9 {
			// It must not believe that it has to assign: another leads its list.
			r.LeaderID, r.Members = old, nil
		}
		r.SkipAssignment = leads
		j.answer <- r
	}
	generation := g.generation
	g.persist(func(err error) {
		switch {
		case g.state != stable || g.generation != generation || mb.MemberID != id:
			// It has been told to come again, or another has taken its place.
		case err != nil:
			g.answer(mb, code.CoordinatorNotAvailable)
		default:
			g.answer(mb, code.None)
		}
	})
}

func (mb *member) update(j joinCall) {
	mb.ClientID, mb.ClientHost, mb.protocols = j.client.ID, j.client.Host, slices.Clone(j.Protocols)
	for i := range mb.protocols { // for as long as it is a member, without the frame it came in
		mb.protocols[i].Metadata = bytes.Clone(mb.protocols[i].Metadata)
	}
	mb.SessionTimeoutMillis, mb.RebalanceTimeoutMillis = j.SessionTimeoutMillis, j.SessionTimeoutMillis
	if j.RebalanceTimeoutMillis > 0 {
		mb.RebalanceTimeoutMillis = min(j.RebalanceTimeoutMillis, maxRebalanceMillis)
	}
}

// rejoin has the member wait for the group to be complete.
func (g *group) rejoin(mb *member, j joinCall) {
	// An earlier join of the same member is over: its connection is gone.
	g.answer(mb, code.RebalanceInProgress)
	mb.update(j)
	g.protocolType = j.ProtocolType
	g.alive(mb)
	if g.state != preparing {
		g.prepare()
	}
	mb.waits = func(errorCode int16) {
		if errorCode != code.None {
			j.answer <- j.response(mb.MemberID, errorCode)
		} else {
			j.answer <- g.joined(j, mb)
		}
	}
	g.completeIfJoined()
}

// prepare asks all members to join again. A new group waits a moment for
// more members.
func (g *group) prepare() {
	g.delayed = g.state == empty
	for _, mb := range g.members {
		g.answer(mb, code.RebalanceInProgress)
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
	if !g.completeIfJoined() {
		g.rebalance = g.after(g.longest(), g.complete)
	}
}

func (g *group) longest() time.Duration {
	longest := int32(0)
	for _, mb := range g.members {
		longest = max(longest, mb.RebalanceTimeoutMillis)
	}
	return millis(longest)
}

// completeIfJoined completes the group when nobody is missing, and says so.
func (g *group) completeIfJoined() bool {
	if g.state != preparing || g.delayed || len(g.pending) > 0 {
		return false
	}
	for _, mb := range g.members {
		if mb.waits == nil {
			return false
		}
	}
	g.complete()
	return true
}

// complete ends joining: who has not come is out (a static member until its
// session ends), and the leader is told of all others.
func (g *group) complete() {
	g.stopTimer()
	var joined []*member
	for _, mb := range g.sorted() {
		switch {
		case mb.waits != nil:
			joined = append(joined, mb)
		case mb.InstanceID == nil:
			g.drop(mb)
		}
	}
	if len(joined) == 0 && len(g.members) > 0 {
		g.rebalance = g.after(g.longest(), g.complete)
		return
	}
	g.generation++
	if len(joined) == 0 {
		g.protocol, g.leader = "", ""
		g.setState(empty)
		g.persist(func(error) {}) // nobody waits for it
		return
	}
	g.protocol = g.vote()
	if l := g.members[g.leader]; l == nil || l.waits == nil {
		g.leader = joined[0].MemberID
	}
	g.setState(completing)
	for _, mb := range joined {
		g.answer(mb, code.None)
	}
	g.rebalance = g.after(g.longest(), g.dropUnsynced)
}

// joined is the answer to a member of a complete group.
func (g *group) joined(j joinCall, mb *member) *kmsg.JoinGroupResponse {
	r := j.response(mb.MemberID, code.None)
	r.Generation, r.LeaderID = g.generation, g.leader
	r.ProtocolType, r.Protocol = new(g.protocolType), new(g.protocol)
	if mb.MemberID != g.leader {
		return r
	}
	for _, o := range g.sorted() {
		m := kmsg.NewJoinGroupResponseMember()
		m.MemberID, m.InstanceID, m.ProtocolMetadata = o.MemberID, o.InstanceID, o.metadata(g.protocol)
		r.Members = append(r.Members, m)
	}
	return r
}

// dropUnsynced ends the wait for the leader's assignment: members that did
// not ask for theirs are out, and all join again.
func (g *group) dropUnsynced() {
	for _, mb := range g.sorted() {
		if mb.waits == nil && mb.InstanceID == nil {
			g.drop(mb)
		}
	}
	g.prepare()
}
