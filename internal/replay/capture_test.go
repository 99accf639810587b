package replay

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"testing"
)

// packet is an Ethernet frame with a UDP datagram, a flow of its own for each i.
func packet(i int) []byte {
	payload := []byte("hello")
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	ip := make([]byte, 20)
	ip[0], ip[8], ip[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(payload)))
	copy(ip[12:], []byte{10, 0, 0, 1})
	copy(ip[16:], []byte{10, 0, 0, 2})
	udp := make([]byte, 8)
	binary.BigEndian.PutUint16(udp, uint16(20000+i))
	binary.BigEndian.PutUint16(udp[2:], 9999)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(payload)))
	return append(append(append(b, ip...), udp...), payload...)
}

func pcap(link uint32, packets int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = binary.LittleEndian.AppendUint16(b, 2)
	b = binary.LittleEndian.AppendUint16(b, 4)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, 65535)
	b = binary.LittleEndian.AppendUint32(b, link)
	for i := range packets {
		p := packet(i)
		b = binary.LittleEndian.AppendUint32(b, 1500000000+uint32(i))
		b = binary.LittleEndian.AppendUint32(b, 0)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	return b
}

func writePcap(t *testing.T, path string, link uint32, packets int) []byte {
	t.Helper()
	b := pcap(link, packets)
	write(t, path, b)
	return b
}

func pcapng(packets int) []byte {
	le := binary.LittleEndian
	block := func(kind uint32, body []byte) []byte {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		b := le.AppendUint32(nil, kind)
		b = le.AppendUint32(b, uint32(12+len(body)))
		b = append(b, body...)
		return le.AppendUint32(b, uint32(12+len(body)))
	}
	section := le.AppendUint32(nil, 0x1a2b3c4d)
	section = le.AppendUint16(section, 1)
	section = le.AppendUint16(section, 0)
	section = le.AppendUint64(section, 1<<64-1)
	out := block(blockSection, section)
	out = append(out, block(blockInterface, []byte{1, 0, 0, 0, 0xff, 0xff, 0, 0})...)
	for i := range packets {
		p := packet(i)
		body := le.AppendUint32(nil, 0)
		micro := uint64(1500000000+i) * 1e6
		body = le.AppendUint32(body, uint32(micro>>32))
		body = le.AppendUint32(body, uint32(micro))
		body = le.AppendUint32(body, uint32(len(p)))
		body = le.AppendUint32(body, uint32(len(p)))
		out = append(out, block(blockEnhanced, append(body, p...))...)
	}
	return out
}

// cooked is a capture as "tcpdump -i any" writes it.
func cooked(packets int) []byte {
	b := pcap(276, 0)
	for i := range packets {
		p := packet(i)[14:]
		p = append([]byte{8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 4, 6, 2, 0, 0, 0, 0, 1, 0, 0}, p...)
		for _, w := range []uint32{1500000000 + uint32(i), 0, uint32(len(p)), uint32(len(p))} {
			b = binary.LittleEndian.AppendUint32(b, w)
		}
		b = append(b, p...)
	}
	return b
}

func FuzzUncook(f *testing.F) {
	f.Add(cooked(2))
	f.Add(cooked(2)[:60])
	f.Add(pcap(276, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		if err := uncookStream(bytes.NewReader(b), &out); err != nil {
			return
		}
		var before, after shape
		if scan(bufio.NewReader(bytes.NewReader(b)), &before) != nil {
			return
		}
		if err := scan(bufio.NewReader(&out), &after); err != nil || after.Packets > before.Packets || after.Broken != nil {
			t.Errorf("%d packets became %d: %v, %v", before.Packets, after.Packets, err, after.Broken)
		}
	})
}

// FuzzScan holds that no capture, however damaged, does worse than an error.
func FuzzScan(f *testing.F) {
	whole := pcap(1, 2)
	f.Add(whole)
	f.Add(whole[:30])
	f.Add(pcapng(2))
	f.Add(pcapng(2)[:50])
	f.Add([]byte("\x0a\x0d\x0d\x0a\xff\xff\xff\xff\x4d\x3c\x2b\x1a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s shape
		err := scan(bufio.NewReader(bytes.NewReader(b)), &s)
		if err == nil && s.Packets*16 > int64(len(b)) {
			t.Errorf("%d packets in %d bytes", s.Packets, len(b))
		}
		if len(s.LinkTypes) > 16 {
			t.Errorf("%d link types", len(s.LinkTypes))
		}
	})
}

func TestACompressionBombEndsAtTheLimit(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/bomb.pcap.gz"
	b := append(pcap(1, 1), make([]byte, 1<<20)...)
	write(t, path, packed(t, b))
	_, err := inspect(path, 1<<16, func() (io.WriteCloser, error) { return os.Create(dir + "/out") })
	if err == nil {
		t.Fatal("a capture over the limit was taken")
	}
	if info, _ := os.Stat(dir + "/out"); info != nil && info.Size() > 1<<16 {
		t.Errorf("%d bytes were written", info.Size())
	}
}
