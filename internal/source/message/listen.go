package message

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
)

// Listen listens on TCP or on a Unix socket. A socket that an earlier run left
// behind is replaced, any other file is not; mail servers run as users of
// their own, so the socket is open to all on the machine, as a port would be.
func Listen(ctx context.Context, network, addr string) (net.Listener, error) {
	if network == "unix" {
		switch st, err := os.Lstat(addr); {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, fmt.Errorf("looking at socket: %w", err)
		case st.Mode().Type() != fs.ModeSocket:
			return nil, fmt.Errorf("%s is no socket", addr)
		default:
			if err := os.Remove(addr); err != nil {
				return nil, fmt.Errorf("removing old socket: %w", err)
			}
		}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("listening for mail: %w", err)
	}
	if network == "unix" {
		if err := os.Chmod(addr, 0o666); err != nil { //nolint:gosec // the mail server is another user
			return nil, errors.Join(fmt.Errorf("opening socket to the mail server: %w", err), l.Close())
		}
	}
	return l, nil
}
