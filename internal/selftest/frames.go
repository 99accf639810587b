package selftest

import (
	"encoding/binary"
	"net/netip"
)

// TCP flags.
const (
	fin = 1
	syn = 2
	psh = 8
	ack = 16
)

// frames returns a whole TCP connection: handshake, request, answer, end.
func frames(e Exchange, mac [6]byte) [][]byte {
	c := conversation{
		mac:  mac,
		up:   half{addr: e.Client, port: e.ClientPort, seq: 1_000_000},
		down: half{addr: e.Server, port: 80, seq: 2_000_000},
	}
	request, answer := []byte(e.request()), []byte(e.answer())
	return [][]byte{
		c.send(&c.up, &c.down, syn, nil),
		c.send(&c.down, &c.up, syn|ack, nil),
		c.send(&c.up, &c.down, ack, nil),
		c.send(&c.up, &c.down, psh|ack, request),
		c.send(&c.down, &c.up, ack, nil),
		c.send(&c.down, &c.up, psh|ack, answer),
		c.send(&c.up, &c.down, ack, nil),
		c.send(&c.down, &c.up, fin|ack, nil),
		c.send(&c.up, &c.down, fin|ack, nil),
		c.send(&c.down, &c.up, ack, nil),
	}
}

type half struct {
	addr netip.Addr
	port uint16
	seq  uint32 // of the next byte
}

type conversation struct {
	mac      [6]byte
	up, down half
}

// send returns the Ethernet frame of one segment.
func (c *conversation) send(from, to *half, flags byte, data []byte) []byte {
	tcp := make([]byte, 20, 20+len(data))
	binary.BigEndian.PutUint16(tcp[0:], from.port)
	binary.BigEndian.PutUint16(tcp[2:], to.port)
	binary.BigEndian.PutUint32(tcp[4:], from.seq)
	if flags&ack != 0 {
		binary.BigEndian.PutUint32(tcp[8:], to.seq)
	}
	tcp[12], tcp[13] = 5<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 64240)
	tcp = append(tcp, data...)
	from.seq += uint32(len(data))
	if flags&(syn|fin) != 0 {
		from.seq++
	}

	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 1, 6 // a hop limit of 1: it goes no further
	binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)+len(tcp)))
	src, dst := from.addr.As4(), to.addr.As4()
	copy(ip[12:], src[:])
	copy(ip[16:], dst[:])
	binary.BigEndian.PutUint16(ip[10:], checksum(0, ip))

	pseudo := append(append([]byte{}, ip[12:20]...), 0, 6, byte(len(tcp)>>8), byte(len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], checksum(sum(0, pseudo), tcp))

	frame := append(append([]byte{}, c.mac[:]...), c.mac[:]...)
	frame = append(frame, 0x08, 0x00)
	frame = append(append(frame, ip...), tcp...)
	for len(frame) < 60 {
		frame = append(frame, 0)
	}
	return frame
}

func sum(s uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		s += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

// checksum is the Internet checksum (RFC 1071) of b, after a partial sum.
func checksum(partial uint32, b []byte) uint16 {
	s := sum(partial, b)
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}
