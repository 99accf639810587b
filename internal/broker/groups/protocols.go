package groups

import (
	"bytes"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fits says whether the request has the group's protocol type and a protocol
// that all members know.
func (g *group) fits(j joinCall) bool {
	if len(g.members) == 0 {
		return true
	}
	common := g.common(j.MemberID)
	return j.ProtocolType == g.protocolType && (common == nil ||
		slices.ContainsFunc(j.Protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return common[p.Name] }))
}

// hasRoom says whether what all members say of themselves is within the bound
// with the request.
func (g *group) hasRoom(j joinCall) bool {
	n, itself := size(j.client.ID, j.InstanceID, j.Protocols), j.MemberID
	if j.InstanceID != nil {
		itself = g.static[*j.InstanceID]
	}
	for id, mb := range g.members {
		if id != itself {
			n += size(mb.ClientID, mb.InstanceID, mb.protocols)
		}
	}
	return n <= maxGroupBytes
}

func size(clientID string, instance *string, ps []kmsg.JoinGroupRequestProtocol) int {
	n := 2 * len(clientID) // it is in the member's id too
	if instance != nil {
		n += 2 * len(*instance)
	}
	for _, p := range ps {
		n += 64 + len(p.Name) + len(p.Metadata) // and what an element takes
	}
	return n
}

// common returns the protocols that all members know, but for one member that
// is asked anew; nil when there is no other.
func (g *group) common(except string) map[string]bool {
	var all map[string]bool
	for id, mb := range g.members {
		if id == except {
			continue
		}
		known := map[string]bool{}
		for _, p := range mb.protocols {
			known[p.Name] = all == nil || all[p.Name]
		}
		all = known
	}
	return all
}

// vote chooses among the protocols that all members know the one most of
// them like best.
func (g *group) vote() string {
	common := g.common("")
	votes := map[string]int{}
	best := ""
	for _, mb := range g.sorted() {
		i := slices.IndexFunc(mb.protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return common[p.Name] })
		if i < 0 {
			continue // the members have nothing in common
		}
		name := mb.protocols[i].Name
		votes[name]++
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// metadata returns what the member said for the protocol.
func (mb *member) metadata(protocol string) []byte {
	for _, p := range mb.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (mb *member) sameProtocols(ps []kmsg.JoinGroupRequestProtocol) bool {
	return slices.EqualFunc(mb.protocols, ps, func(a, b kmsg.JoinGroupRequestProtocol) bool {
		return a.Name == b.Name && slices.Equal(a.Metadata, b.Metadata)
	})
}

// sameWish says whether two subscriptions of consumers are to the same topics:
// what a member owned, it owns no more when it comes back. Those of others are
// the same to the byte.
func (g *group) sameWish(a, b []byte) bool {
	x, known := g.topics(a)
	y, alsoKnown := g.topics(b)
	if known && alsoKnown {
		slices.Sort(x)
		slices.Sort(y)
		return slices.Equal(x, y)
	}
	return bytes.Equal(a, b)
}

// subscribed returns the topics the members read; nil when they cannot be
// told.
func (g *group) subscribed() map[string]bool {
	all := map[string]bool{}
	for _, mb := range g.members {
		for _, p := range mb.protocols {
			topics, ok := g.topics(p.Metadata)
			if !ok {
				return nil
			}
			for _, t := range topics {
				all[t] = true
			}
		}
	}
	return all
}

// topics returns those of a consumer's subscription, if it is one.
func (g *group) topics(subscription []byte) ([]string, bool) {
	var meta kmsg.ConsumerMemberMetadata
	if g.protocolType != "consumer" || meta.ReadFrom(subscription) != nil {
		return nil, false
	}
	return meta.Topics, true
}
