package replay

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"os"
)

// Link types of "tcpdump -i any": the first version Suricata reads, the second,
// which tcpdump has written since 4.99, it does not.
const (
	linkCooked   = 113 // LINKTYPE_LINUX_SLL
	linkCookedV2 = 276 // LINKTYPE_LINUX_SLL2
)

// isCookedV2 says whether a capture is one that uncook can rewrite.
func (s *shape) isCookedV2() bool {
	return s.Classic && len(s.LinkTypes) == 1 && s.LinkTypes[0] == linkCookedV2
}

// uncook writes the pcap file at from, of link type LINUX_SLL2, to the new file
// at to as LINUX_SLL. The index of the interface is lost, which the engine has
// no use for. It ends where the capture breaks off.
func uncook(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("rewriting a capture: %w", err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("rewriting a capture: %w", err)
	}
	defer out.Close()
	w := bufio.NewWriterSize(out, 256<<10)
	if err := uncookStream(bufio.NewReaderSize(in, 256<<10), w); err != nil {
		return fmt.Errorf("rewriting a capture: %w", err)
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("rewriting a capture: %w", err)
	}
	return out.Close()
}

func uncookStream(r io.Reader, w io.Writer) error {
	var head [24]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	order, packetHead, ok := pcapKind(head[:4])
	if !ok {
		return errFormat
	}
	order.PutUint32(head[20:], linkCooked)
	if _, err := w.Write(head[:]); err != nil {
		return err
	}
	buf := make([]byte, packetHead+longestPacket)
	for {
		if _, err := io.ReadFull(r, buf[:packetHead]); err != nil {
			return nil // the end, or where it breaks off
		}
		n := order.Uint32(buf[8:])
		if n > longestPacket {
			return nil
		}
		packet := buf[packetHead : packetHead+int(n)]
		if _, err := io.ReadFull(r, packet); err != nil {
			return nil
		}
		if n >= 20 {
			packet = recook(packet)
			order.PutUint32(buf[8:], n-4)
			if original := order.Uint32(buf[12:]); original >= 4 {
				order.PutUint32(buf[12:], original-4)
			}
		}
		if _, err := w.Write(buf[:packetHead]); err != nil {
			return err
		}
		if _, err := w.Write(packet); err != nil {
			return err
		}
	}
}

// recook changes a packet's header in place: version 2 is protocol, reserved,
// interface index, hardware type, packet type, address length, address (20
// bytes); version 1 packet type, hardware type, address length, address,
// protocol (16 bytes). Both are in network order.
func recook(p []byte) []byte {
	var v1 [16]byte
	v1[1] = p[10]
	copy(v1[2:4], p[8:10])
	v1[5] = p[11]
	copy(v1[6:14], p[12:20])
	copy(v1[14:16], p[0:2])
	p = p[4:]
	copy(p, v1[:])
	return p
}

// pcapKind tells by a file's first four bytes how a pcap file is written:
// its byte order and the length of a packet's header.
func pcapKind(magic []byte) (order binary.ByteOrder, packetHead int, ok bool) {
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		switch order.Uint32(magic) {
		case 0xa1b2c3d4, 0xa1b23c4d: // microseconds, nanoseconds
			return order, 16, true
		case 0xa1b2cd34: // Kuznetzov's, with 8 more bytes a packet
			return order, 24, true
		}
	}
	return nil, 0, false
}
