// Package selftest makes a harmless exchange that a rule of the sensor must
// alert on, and measures how long the alert takes. The exchange is a web
// request and its answer, between addresses reserved for documentation (RFC
// 5737), sent as frames on the watched interface from and to its own hardware
// address: the sensor sees it as any other, no machine takes it up, and a
// switch does not pass it on. It does not know where alerts are found; the
// caller does.
package selftest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/decodersring/decoder/internal/rules"
	"github.com/decodersring/decoder/internal/suricata"
)

// Exchange is what was sent, and how its alert is recognised: signature
// rules.SelftestID, from Server:80 to Client:ClientPort.
type Exchange struct {
	Interface  string     `json:"interface"`
	Token      string     `json:"token"` // in the answer's body
	Client     netip.Addr `json:"client"`
	ClientPort uint16     `json:"client_port"`
	Server     netip.Addr `json:"server"`
	Sent       time.Time  `json:"sent"`
}

// Result is how a self-test ended.
type Result struct {
	Exchange
	Alerted bool          `json:"alerted"`
	Took    time.Duration `json:"took"` // from the first packet until the alert was found
}

// Patience is how long Run waits for the alert.
const Patience = 15 * time.Second

// ErrNoAlert says that the exchange was made and nothing alerted on it.
var ErrNoAlert = errors.New("the exchange was made, and no alert came of it")

// Run makes an exchange on the interface and asks find, again and again, whether
// its alert is there. Without the right to send it returns a
// *suricata.CaptureRightError.
func Run(ctx context.Context, iface string, find func(context.Context, Exchange) (bool, error)) (Result, error) {
	e, err := Send(iface)
	if err != nil {
		return Result{}, err
	}
	r := Result{Exchange: e}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		r.Alerted, err = find(ctx, e)
		if r.Took = time.Since(e.Sent); r.Alerted {
			return r, nil
		}
		if err != nil && ctx.Err() == nil {
			return r, fmt.Errorf("looking for the self-test's alert: %w", err)
		}
		select {
		case <-ctx.Done():
			return r, ErrNoAlert
		case <-tick.C:
		}
	}
}

// Send makes one exchange on the interface.
func Send(iface string) (Exchange, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return Exchange{}, fmt.Errorf("looking at interface %s: %w", iface, err)
	}
	if err := suricata.CheckCapture(iface); err != nil {
		return Exchange{}, err
	}
	e, err := newExchange(iface)
	if err != nil {
		return Exchange{}, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Exchange{}, fmt.Errorf("opening a packet socket: %w", err)
	}
	defer unix.Close(fd)
	mac := [6]byte{2, 0, 0, 0, 0, 1}
	copy(mac[:], i.HardwareAddr)
	to := &unix.SockaddrLinklayer{Ifindex: i.Index, Protocol: htons(unix.ETH_P_IP), Halen: 6}
	copy(to.Addr[:], mac[:])
	e.Sent = time.Now()
	for _, frame := range frames(e, mac) {
		if err := unix.Sendto(fd, frame, 0, to); err != nil {
			return Exchange{}, fmt.Errorf("sending on %s: %w", iface, err)
		}
	}
	return e, nil
}

func newExchange(iface string) (Exchange, error) {
	n, err := rand.Int(rand.Reader, big.NewInt(1<<14))
	if err != nil {
		return Exchange{}, fmt.Errorf("choosing a port: %w", err)
	}
	return Exchange{
		Interface: iface, Token: rand.Text(),
		Client: netip.MustParseAddr("198.51.100.7"), ClientPort: uint16(49152 + n.Int64()),
		Server: netip.MustParseAddr("203.0.113.7"),
	}, nil
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// answer is the web server's, with what the self-test's rule looks for.
func (e Exchange) answer() string {
	body := rules.SelftestContent + e.Token + "\n"
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}

func (e Exchange) request() string {
	return "GET /selftest HTTP/1.1\r\nHost: selftest.invalid\r\nUser-Agent: decoder-selftest\r\nConnection: close\r\n\r\n"
}
