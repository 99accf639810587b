package suricata

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// CaptureRightError says that the program may not capture packets.
type CaptureRightError struct {
	Interface string
	Program   string // path of the running program
}

func (e *CaptureRightError) Error() string {
	return fmt.Sprintf("capturing on %s needs the capability CAP_NET_RAW; give it with: %s", e.Interface, e.Command())
}

// Command is what an administrator types to give the right.
func (e *CaptureRightError) Command() string {
	return "sudo setcap cap_net_raw+ep " + e.Program
}

// CheckCapture says whether the program may capture on the interface, by
// opening what a capture needs. Without the right it returns a
// *CaptureRightError.
func CheckCapture(name string) error {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("looking at interface %s: %w", name, err)
	}
	if i.Flags&net.FlagUp == 0 {
		return fmt.Errorf("interface %s is down; bring it up with: sudo ip link set %s up", name, name)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		program, _ := os.Executable()
		return &CaptureRightError{Interface: name, Program: program}
	}
	if err != nil {
		return fmt.Errorf("opening a packet socket: %w", err)
	}
	return unix.Close(fd)
}

// captureCapabilities are given to the engine where the program has them:
// CAP_NET_RAW to capture, CAP_NET_ADMIN to switch off receive offload, which
// the engine does without when it must.
func captureCapabilities() []uintptr {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if unix.Capget(&header, &data[0]) != nil {
		return nil
	}
	var out []uintptr
	for _, c := range []uintptr{unix.CAP_NET_RAW, unix.CAP_NET_ADMIN} {
		if data[c/32].Permitted&(1<<(c%32)) != 0 {
			out = append(out, c)
		}
	}
	return out
}
