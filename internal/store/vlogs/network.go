package vlogs

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// elementRegexp returns a regular expression for an array of addresses of
// which one is in the network. It is "" where the network is one whose
// addresses cannot be told by how they begin: IPv6 with zeros in the prefix,
// which may be written as "::".
func elementRegexp(p netip.Prefix) string {
	if p.Addr().Is4() {
		return `"` + ip4Regexp(p) + `"`
	}
	if re := ip6Regexp(p); re != "" {
		return `"` + re
	}
	return ""
}

func ip4Regexp(p netip.Prefix) string {
	var parts [4]string
	for i, octet := range p.Addr().As4() {
		switch bits := p.Bits() - 8*i; {
		case bits >= 8:
			parts[i] = strconv.FormatUint(uint64(octet), 10)
		case bits <= 0:
			parts[i] = `[0-9]+`
		default:
			var all []string
			for v := int(octet); v < int(octet)+1<<(8-bits); v++ {
				all = append(all, strconv.Itoa(v))
			}
			parts[i] = "(?:" + strings.Join(all, "|") + ")"
		}
	}
	return strings.Join(parts[:], `\.`)
}

// ip6Regexp matches the beginning of the canonical text (RFC 5952).
func ip6Regexp(p netip.Prefix) string {
	a := p.Addr().As16()
	var b strings.Builder
	for i := range 8 {
		group := uint16(a[2*i])<<8 | uint16(a[2*i+1])
		bits := p.Bits() - 16*i
		switch {
		case bits <= 0:
			return b.String()
		case group == 0:
			return ""
		case bits >= 16:
			fmt.Fprintf(&b, "%x", group)
			if i < 7 {
				b.WriteByte(':')
			} else {
				b.WriteByte('"')
			}
		default:
			first := fmt.Sprintf("%04x", group)
			fixed, rest := bits/4, bits%4
			if first[0] == '0' { // written without its zeros: of varying length
				return ""
			}
			b.WriteString(first[:fixed])
			digits := 4 - fixed
			if rest > 0 {
				low := int(a[2*i+fixed/2]) >> (4 * (1 - fixed%2)) & 15
				b.WriteByte('[')
				for v := low; v < low+1<<(4-rest); v++ {
					fmt.Fprintf(&b, "%x", v)
				}
				b.WriteByte(']')
				digits--
			}
			if digits > 0 {
				fmt.Fprintf(&b, "[0-9a-f]{%d}", digits)
			}
			b.WriteByte(':')
			return b.String()
		}
	}
	return b.String()
}
