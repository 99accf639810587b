package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// Sight is what was seen on an interface in promiscuous mode.
type Sight struct {
	Own    int // unicast frames from or to a card of this machine
	Shared int // broadcast and multicast frames of others
	Others int // unicast frames between other machines
	Pairs  int // of other machines that talk to each other
}

// SeesOthers says whether the interface sees the traffic of other machines. A
// switch passes on the odd frame for a card whose port it has forgotten, so a
// few do not count.
func (s Sight) SeesOthers() bool {
	return s.Others >= 20 && s.Others*50 >= s.Own
}

// Observe watches an interface for a while. It needs CAP_NET_RAW.
func Observe(ctx context.Context, name string, d time.Duration) (Sight, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return Sight{}, fmt.Errorf("looking at interface %s: %w", name, err)
	}
	own, err := ownAddresses()
	if err != nil {
		return Sight{}, err
	}
	fd, err := openPromiscuous(i.Index)
	if err != nil {
		return Sight{}, err
	}
	defer unix.Close(fd)
	var (
		s     Sight
		pairs = map[[12]byte]struct{}{}
		frame = make([]byte, 64)
		until = time.Now().Add(d)
	)
	for ctx.Err() == nil && time.Now().Before(until) {
		n, _, err := unix.Recvfrom(fd, frame, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return s, fmt.Errorf("watching %s: %w", name, err)
		}
		if n >= 14 {
			s.count([12]byte(frame[:12]), own, pairs)
		}
	}
	s.Pairs = len(pairs)
	return s, ctx.Err()
}

const mostPairs = 10000

// count sorts a frame by its two addresses: destination, then source.
func (s *Sight) count(addresses [12]byte, own map[[6]byte]bool, pairs map[[12]byte]struct{}) {
	to, from := [6]byte(addresses[:6]), [6]byte(addresses[6:])
	switch {
	case own[from] || own[to]:
		s.Own++
	case to[0]&1 == 1: // the group bit
		s.Shared++
	default:
		s.Others++
		if len(pairs) < mostPairs {
			pairs[addresses] = struct{}{}
		}
	}
}

func ownAddresses() (map[[6]byte]bool, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	out := map[[6]byte]bool{{}: true} // lo has none but zeros
	for _, i := range all {
		if len(i.HardwareAddr) == 6 {
			out[[6]byte(i.HardwareAddr)] = true
		}
	}
	return out, nil
}

// openPromiscuous opens a packet socket on one interface. The kernel ends the
// promiscuous mode with the socket.
func openPromiscuous(index int) (int, error) {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("opening a packet socket: %w", err)
	}
	err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
	if err == nil {
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP,
			&unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})
	}
	if err == nil {
		err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("watching an interface: %w", err)
	}
	return fd, nil
}

// sight says plainly whether more than this machine is watched.
func sight(ctx context.Context, name string, d time.Duration) Finding {
	const check = "sight"
	s, err := Observe(ctx, name, d)
	if err != nil {
		return Finding{check, Warn, err.Error(), ""}
	}
	counts := fmt.Sprintf("within %s: %d frames of this machine, %d between others (%d pairs), %d to all",
		d, s.Own, s.Others, s.Pairs, s.Shared)
	const mend = "to watch a whole network, put the sensor at a mirror port or on the router: docs/sensor-placement.md"
	switch {
	case s.SeesOthers():
		return Finding{check, OK, name + " sees the traffic of other machines; " + counts, ""}
	case s.Own+s.Others+s.Shared == 0:
		return Finding{check, Warn, "nothing was seen on " + name + " within " + d.String() + ", so it is not known whether it sees other machines", mend}
	}
	return Finding{check, Warn, name + " sees only the traffic of this machine; " + counts, mend}
}
