package groups

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/code"
)

type state int

const (
	empty      state = iota // no members
	preparing               // waiting for members to join
	completing              // waiting for the leader's assignment
	stable
	dead // the broker ends
)

func (s state) String() string {
	return [...]string{"Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead"}[s]
}

// group is one consumer group. Everything is under mu, which is never held
// while something is waited for.
type group struct {
	m  *Manager
	id string
	mu sync.Mutex

	state        state
	since        time.Time // of the state
	generation   int32
	protocolType string
	protocol     string
	leader       string
	members      map[string]*member
	static       map[string]string // instance id to member id
	pending      map[string]*timer
	deleting     bool   // its deletion is being written, or is durable
	delayed      bool   // a new group waits for more members
	rebalance    *timer // ends joining, or the wait for the assignment
	offsets      map[topicPartition]*offset
	began        map[string]map[int32]int64 // the log's ends when it was new; nil: it was loaded
}

// member is one consumer in a group, as the log has it, but for its
// subscription: that is what it says for the protocol chosen.
type member struct {
	kmsg.GroupMetadataValueMember
	protocols []kmsg.JoinGroupRequestProtocol
	expires   *timer
	waits     func(errorCode int16) // answers its join or sync; nil: it does not wait
}

func newGroup(m *Manager, id string) *group {
	return &group{
		m: m, id: id, since: time.Now(),
		members: map[string]*member{},
		static:  map[string]string{},
		pending: map[string]*timer{},
		offsets: map[topicPartition]*offset{},
	}
}

func (g *group) setState(s state) {
	g.state, g.since = s, time.Now()
}

func millis(n int32) time.Duration { return time.Duration(n) * time.Millisecond }

func newMemberID(prefix string) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix[:min(len(prefix), maxName)] + "-" + hex.EncodeToString(b[:])
}

// sorted returns the members by id, so that answers do not depend on chance.
func (g *group) sorted() []*member {
	out := make([]*member, 0, len(g.members))
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		out = append(out, g.members[id])
	}
	return out
}

// alive puts off the end of the member's session.
func (g *group) alive(mb *member) {
	if mb.expires != nil {
		mb.expires.Stop()
	}
	mb.expires = g.after(millis(mb.SessionTimeoutMillis), func() {
		// Not while it waits for an answer of ours.
		if g.members[mb.MemberID] == mb && mb.waits == nil {
			g.m.cfg.Log.Info("member's session expired", "group", g.id, "member", mb.MemberID)
			g.remove(mb)
		}
	})
}

// timer calls a function with the group locked. One that was stopped in time
// never does, even if it had run out and was waiting for the lock.
type timer struct {
	clock   *time.Timer
	stopped bool
}

// Stop is called with the group locked.
func (t *timer) Stop() {
	t.stopped = true
	t.clock.Stop()
}

// after calls fn with the group locked, unless the timer is stopped.
func (g *group) after(d time.Duration, fn func()) *timer {
	t := &timer{}
	t.clock = time.AfterFunc(d, func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.state != dead && !t.stopped {
			fn()
		}
	})
	return t
}

// remove takes a member out and starts a rebalance.
func (g *group) remove(mb *member) {
	g.drop(mb)
	switch g.state {
	case stable, completing:
		g.prepare()
	case preparing:
		g.completeIfJoined()
	}
}

// drop takes a member out, and answers what it waits for.
func (g *group) drop(mb *member) {
	g.answer(mb, code.UnknownMemberID)
	mb.expires.Stop()
	delete(g.members, mb.MemberID)
	if mb.InstanceID != nil && g.static[*mb.InstanceID] == mb.MemberID {
		delete(g.static, *mb.InstanceID)
	}
	if g.leader == mb.MemberID {
		g.leader = ""
	}
}

// answer ends the member's wait, if it waits, with what the group now is or
// with why there is no more to wait for. Its session begins anew, since nothing
// was heard of it meanwhile.
func (g *group) answer(mb *member, errorCode int16) {
	if mb.waits != nil {
		mb.waits(errorCode)
		mb.waits = nil
		g.alive(mb)
	}
}

// stop ends the group's timers and everything that waits on it.
func (g *group) stop(errorCode int16) {
	g.stopTimer()
	for _, t := range g.pending {
		t.Stop()
	}
	for _, mb := range g.members {
		g.answer(mb, errorCode)
		mb.expires.Stop()
	}
	g.state = dead
}

// find returns the member a request speaks for, or why not. An instance id
// that another member has taken over is fenced.
func (g *group) find(memberID string, instance *string) (*member, int16) {
	if instance != nil {
		current, ok := g.static[*instance]
		if !ok {
			return nil, code.UnknownMemberID
		}
		if current != memberID {
			return nil, code.FencedInstanceID
		}
	}
	mb := g.members[memberID]
	if mb == nil {
		return nil, code.UnknownMemberID
	}
	return mb, code.None
}

// heard returns the member that a request speaks for as one of the generation,
// or why not. Its session begins anew.
func (g *group) heard(memberID string, instance *string, generation int32) (*member, int16) {
	mb, c := g.find(memberID, instance)
	if c != code.None {
		return nil, c
	}
	if generation != g.generation {
		return nil, code.IllegalGeneration
	}
	g.alive(mb)
	return mb, code.None
}

// describe fills a DescribeGroups answer.
func (g *group) describe(r *kmsg.DescribeGroupsResponseGroup) {
	r.State, r.ProtocolType = g.state.String(), g.protocolType
	if g.state == stable {
		r.Protocol = g.protocol
	}
	for _, mb := range g.sorted() {
		d := kmsg.NewDescribeGroupsResponseGroupMember()
		d.MemberID, d.InstanceID, d.ClientID, d.ClientHost = mb.MemberID, mb.InstanceID, mb.ClientID, mb.ClientHost
		if g.state == stable {
			d.ProtocolMetadata, d.MemberAssignment = mb.metadata(g.protocol), mb.Assignment
		}
		r.Members = append(r.Members, d)
	}
}
