package replay

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// shape is what a look at a capture file gives.
type shape struct {
	SHA256    string // of what is in it, unpacked where it is gzipped, hexadecimal
	Packed    string // of a gzipped file as it lies there, else ""
	Size      int64
	Modified  time.Time
	Gzipped   bool
	Classic   bool // pcap, not pcapng
	Packets   int64
	LinkTypes []uint32 // LINKTYPE_ values, in order of appearance
	Broken    error    // why reading stopped before the end; nil for a whole file
}

// errFormat says that a file is no capture at all.
var errFormat = errors.New("not a capture: neither pcap nor pcapng")

// inspect reads a whole capture, gzipped or not: it hashes it, counts its
// packets and finds where it breaks off. The unpacked bytes of a gzipped one
// are written to unpack, which is called at most once. An error means that the
// file cannot be used at all.
func inspect(path string, maxUnpacked int64, unpack func() (io.WriteCloser, error)) (shape, error) {
	f, info, err := openRegular(path)
	if err != nil {
		return shape{}, err
	}
	defer f.Close()
	sum, content := sha256.New(), sha256.New()
	raw := bufio.NewReaderSize(io.TeeReader(f, sum), 256<<10)
	s := shape{Size: info.Size(), Modified: info.ModTime()}
	if s.Size == 0 {
		return s, errors.New("the file is empty")
	}
	if head, _ := raw.Peek(2); len(head) == 2 && head[0] == 0x1f && head[1] == 0x8b {
		s.Gzipped = true
		err = inspectGzip(raw, &s, content, maxUnpacked, unpack)
	} else {
		err = scan(raw, &s)
	}
	if err != nil {
		return s, err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return s, err
	}
	s.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if s.Gzipped {
		s.SHA256, s.Packed = hex.EncodeToString(content.Sum(nil)), s.SHA256
	}
	return s, nil
}

// openRegular opens a file for reading, and does not wait for what writes to
// one that is a pipe.
func openRegular(path string) (*os.File, os.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// inspectGzip gives the unpacked bytes to content too.
func inspectGzip(raw io.Reader, s *shape, content io.Writer, limit int64, unpack func() (io.WriteCloser, error)) error {
	z, err := gzip.NewReader(raw)
	if err != nil {
		return fmt.Errorf("unpacking: %w", err)
	}
	out, err := unpack()
	if err != nil {
		return err
	}
	defer out.Close()
	unpacked := &limited{r: z, left: limit}
	plain := bufio.NewReaderSize(io.TeeReader(unpacked, io.MultiWriter(out, content)), 256<<10)
	if err := scan(plain, s); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, plain); err != nil && s.Broken == nil {
		s.Broken = err
	}
	if errors.Is(s.Broken, errTooLarge) {
		return s.Broken
	}
	return out.Close()
}

var errTooLarge = errors.New("unpacked, the capture is larger than is allowed or the disk has room for")

// limited ends with errTooLarge instead of reading on for ever.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, errTooLarge
	}
	n, err := l.r.Read(p[:min(int64(len(p)), l.left)])
	l.left -= int64(n)
	return n, err
}

// scan walks over a capture's packets. It returns an error only for what is no
// capture; what breaks off later is in s.Broken.
func scan(r *bufio.Reader, s *shape) error {
	head, err := r.Peek(4)
	if errors.Is(err, errTooLarge) {
		return err
	}
	if err != nil {
		return errFormat
	}
	if binary.BigEndian.Uint32(head) == blockSection {
		return scanPcapng(r, s)
	}
	order, packetHead, ok := pcapKind(head)
	if !ok {
		return errFormat
	}
	s.Classic = true
	return scanPcap(r, s, order, packetHead)
}

// longestPacket is libpcap's MAXIMUM_SNAPLEN: a longer one means that the file
// is damaged.
const longestPacket = 262144

func scanPcap(r *bufio.Reader, s *shape, order binary.ByteOrder, header int) error {
	var b [24]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return errors.New("truncated within the file header")
	}
	snaplen := order.Uint32(b[16:])
	// The upper bits of the link type tell of a frame check sequence.
	s.addLink(order.Uint32(b[20:]) & 0x03ffffff)
	for {
		_, err := io.ReadFull(r, b[:header])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			s.brokenOff(err)
			return nil
		}
		n := order.Uint32(b[8:])
		if n > max(snaplen, longestPacket) {
			s.Broken = fmt.Errorf("damaged after %d packets: the next claims %d bytes", s.Packets, n)
			return nil
		}
		if _, err := r.Discard(int(n)); err != nil {
			s.brokenOff(err)
			return nil
		}
		s.Packets++
	}
}

// pcapng block types (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6

	longestBlock = 16 << 20
)

func scanPcapng(r *bufio.Reader, s *shape) error {
	var order binary.ByteOrder
	for first := true; ; first = false {
		head, err := r.Peek(12)
		if len(head) == 0 && errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if first {
				return errors.New("truncated within the file header")
			}
			s.brokenOff(err)
			return nil
		}
		if binary.BigEndian.Uint32(head) == blockSection {
			switch {
			case binary.BigEndian.Uint32(head[8:]) == 0x1a2b3c4d:
				order = binary.BigEndian
			case binary.LittleEndian.Uint32(head[8:]) == 0x1a2b3c4d:
				order = binary.LittleEndian
			case first:
				return errFormat
			default:
				s.Broken = fmt.Errorf("damaged after %d packets: a section without byte order", s.Packets)
				return nil
			}
		}
		kind, length := order.Uint32(head), order.Uint32(head[4:])
		if length < 12 || length%4 != 0 || length > longestBlock {
			s.Broken = fmt.Errorf("damaged after %d packets: a block claims %d bytes", s.Packets, length)
			return nil
		}
		if kind == blockInterface {
			s.addLink(uint32(order.Uint16(head[8:])))
		}
		if _, err := r.Discard(int(length)); err != nil {
			s.brokenOff(err)
			return nil
		}
		if kind == blockPacket || kind == blockSimple || kind == blockEnhanced {
			s.Packets++
		}
	}
}

func (s *shape) addLink(t uint32) {
	if slices.Contains(s.LinkTypes, t) {
		return
	}
	if len(s.LinkTypes) < 16 {
		s.LinkTypes = append(s.LinkTypes, t)
	}
}

// mixed says that the capture has packets of several link types.
func (s *shape) mixed() bool { return len(s.LinkTypes) > 1 }

func (s *shape) brokenOff(err error) {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		s.Broken = fmt.Errorf("truncated after %d packets", s.Packets)
		return
	}
	s.Broken = fmt.Errorf("unreadable after %d packets: %w", s.Packets, err)
}

// linkNames are the link types people meet, by their LINKTYPE_ value
// (https://www.tcpdump.org/linktypes.html), and whether Suricata 7 reads them.
var linkNames = [...]struct {
	value uint32
	name  string
	read  bool
}{
	{0, "NULL", true}, {1, "Ethernet", true}, {9, "PPP", true}, {12, "raw IP", true},
	{101, "raw IP", true}, {104, "Cisco HDLC", true}, {113, "Linux cooked", true},
	{228, "IPv4", true}, {229, "IPv6", true},
	{105, "IEEE 802.11", false}, {119, "IEEE 802.11 with Prism header", false},
	{127, "IEEE 802.11 with radiotap", false}, {163, "IEEE 802.11 with AVS header", false},
	{108, "OpenBSD loopback", false}, {117, "OpenBSD pflog", false},
	{147, "user-defined", false}, {187, "Bluetooth HCI", false}, {189, "USB on Linux", false},
	{195, "IEEE 802.15.4", false}, {220, "USB on Linux", false}, {239, "netfilter log", false},
	{249, "USB on Windows", false}, {276, "Linux cooked v2", false},
}

// unread names the link types of a capture that Suricata does not read.
func unread(types []uint32) []string {
	var out []string
next:
	for _, t := range types {
		for _, l := range linkNames {
			if l.value != t {
				continue
			}
			if !l.read {
				out = append(out, fmt.Sprintf("%d (%s)", t, l.name))
			}
			continue next
		}
		out = append(out, strconv.FormatUint(uint64(t), 10))
	}
	return out
}
