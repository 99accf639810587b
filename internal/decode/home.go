package decode

import (
	"fmt"
	"net/netip"
)

// Home is the monitored networks, HOME_NET in a sensor's configuration.
type Home []netip.Prefix

// PrivateNetworks is the home of who says nothing: RFC 1918, unique local and
// link-local addresses of IPv6.
func PrivateNetworks() Home {
	h, err := ParseHome("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fe80::/10")
	if err != nil {
		panic(err)
	}
	return h
}

// ParseHome reads networks in CIDR notation and single addresses.
func ParseHome(networks ...string) (Home, error) {
	h := make(Home, 0, len(networks))
	for _, n := range networks {
		if a, err := netip.ParseAddr(n); err == nil {
			h = append(h, netip.PrefixFrom(a, a.BitLen()))
			continue
		}
		p, err := netip.ParsePrefix(n)
		if err != nil {
			return nil, fmt.Errorf("reading home network %q: %w", n, err)
		}
		h = append(h, p.Masked())
	}
	return h, nil
}

// Contains says whether the address is monitored.
func (h Home) Contains(a netip.Addr) bool {
	a = a.Unmap()
	for _, p := range h {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// Monitored returns the address an event of two concerns: the one at home, of
// two the lower; invalid when neither is.
func (h Home) Monitored(a, b netip.Addr) netip.Addr {
	atHome, bHome := h.Contains(a), h.Contains(b)
	switch {
	case atHome && bHome:
		if b.Less(a) {
			return b
		}
		return a
	case atHome:
		return a
	case bHome:
		return b
	}
	return netip.Addr{}
}

// Direction is ECS network.direction, as the perimeter of the home sees it.
type Direction uint8

// The directions; NoDirection is that of an event without both addresses.
const (
	NoDirection Direction = iota
	Internal
	Outbound
	Inbound
	External
)

func (d Direction) String() string {
	return [...]string{"", "internal", "outbound", "inbound", "external"}[d]
}

// Direction returns the direction of what goes from source to destination.
func (h Home) Direction(source, destination netip.Addr) Direction {
	if !source.IsValid() || !destination.IsValid() {
		return NoDirection
	}
	switch from, to := h.Contains(source) || onLink(source), h.Contains(destination) || onLink(destination); {
	case from && to:
		return Internal
	case from:
		return Outbound
	case to:
		return Inbound
	}
	return External
}

// onLink says whether an address never leaves its network: unspecified,
// multicast and broadcast.
func onLink(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
