package suricata

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// ErrNoInterface is returned where no route leads out of the machine.
var ErrNoInterface = errors.New("no default route: name the interface to watch")

// DefaultInterface returns the interface of the default route: of IPv4, of
// several the one with the lowest metric, else of IPv6.
func DefaultInterface() (string, error) {
	for _, table := range []struct {
		path string
		read func([]string) (name string, metric uint64, ok bool)
	}{
		{"/proc/net/route", routeV4},
		{"/proc/net/ipv6_route", routeV6},
	} {
		f, err := os.Open(table.path)
		if err != nil {
			continue
		}
		best, lowest := "", uint64(1<<63)
		for s := bufio.NewScanner(f); s.Scan(); {
			if name, metric, ok := table.read(strings.Fields(s.Text())); ok && metric < lowest {
				best, lowest = name, metric
			}
		}
		f.Close()
		if best != "" {
			return best, nil
		}
	}
	return "", ErrNoInterface
}

const routeUp = 1 // RTF_UP

// routeV4 reads a line of /proc/net/route: Iface Destination Gateway Flags
// RefCnt Use Metric Mask …, numbers but the metric in hexadecimal.
func routeV4(f []string) (string, uint64, bool) {
	if len(f) < 8 || f[1] != "00000000" || f[7] != "00000000" {
		return "", 0, false
	}
	flags, err := strconv.ParseUint(f[3], 16, 32)
	metric, err2 := strconv.ParseUint(f[6], 10, 32)
	return f[0], metric, err == nil && err2 == nil && flags&routeUp != 0
}

// routeV6 reads a line of /proc/net/ipv6_route: destination, its length,
// source, its length, next hop, metric, references, use, flags, interface, all
// in hexadecimal. The kernel's own unreachable default lies on lo.
func routeV6(f []string) (string, uint64, bool) {
	if len(f) < 10 || f[1] != "00" || f[9] == "lo" {
		return "", 0, false
	}
	if dst, err := hex.DecodeString(f[0]); err != nil || netip.AddrFrom16([16]byte(append(dst, make([]byte, 16)...)[:16])) != netip.IPv6Unspecified() {
		return "", 0, false
	}
	metric, err := strconv.ParseUint(f[5], 16, 64)
	flags, err2 := strconv.ParseUint(f[8], 16, 32)
	return f[9], metric, err == nil && err2 == nil && flags&routeUp != 0
}

// HomeNet returns the networks an interface is attached to, or PrivateNetworks
// when it has no address, as on a mirror port.
func HomeNet(name string) ([]netip.Prefix, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("looking at interface %s: %w", name, err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		return nil, fmt.Errorf("looking at interface %s: %w", name, err)
	}
	var out []netip.Prefix
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		out = append(out, p.Masked())
	}
	if onlyLinkLocal(out) {
		return PrivateNetworks(), nil
	}
	return out, nil
}

// onlyLinkLocal says whether the interface has no address but the ones every
// IPv6 interface gives itself.
func onlyLinkLocal(nets []netip.Prefix) bool {
	for _, p := range nets {
		if !p.Addr().IsLinkLocalUnicast() {
			return false
		}
	}
	return true
}
