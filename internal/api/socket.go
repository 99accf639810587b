package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// SocketName is the name of the control socket in the data folder.
const SocketName = "control.sock"

// maxSocketPath is what fits into sockaddr_un on Linux.
const maxSocketPath = 107

// SocketPath returns a path by which the socket in the folder can be reached,
// and what to call when it is no longer needed. A folder too deep for a
// socket's address is reached through /proc.
func SocketPath(dir, name string) (string, func(), error) {
	path := filepath.Join(dir, name)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return "", nil, fmt.Errorf("opening data folder: %w", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", f.Fd(), name), func() { _ = f.Close() }, nil
}

// socket removes its file when it is closed.
type socket struct {
	*net.UnixListener
	path string
}

// Close implements net.Listener.
func (s *socket) Close() error {
	err := os.Remove(s.path)
	if errors.Is(err, os.ErrNotExist) {
		err = nil // Close is called twice
	}
	return errors.Join(err, s.UnixListener.Close())
}

// listenSocket makes the control socket. It gets its mode under another name
// and is then renamed, so that nobody can reach it before, and a socket that a
// kill left behind is replaced. The caller holds the lock of the folder.
func listenSocket(ctx context.Context, dir string) (net.Listener, error) {
	const unready = ".control.sock"
	path, done, err := SocketPath(dir, unready)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("removing old control socket: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("making control socket: %w", err)
	}
	ul, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("control socket is a %T", l), l.Close())
	}
	ul.SetUnlinkOnClose(false)
	final := filepath.Join(dir, SocketName)
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protecting control socket: %w", err), ul.Close())
	}
	if err := os.Rename(path, final); err != nil {
		return nil, errors.Join(fmt.Errorf("placing control socket: %w", err), ul.Close())
	}
	return &socket{ul, final}, nil
}

type peerKey struct{}

type peer struct {
	uid uint32
	err error
}

// withPeer notes who is at the other end of a connection (SO_PEERCRED).
func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, peerCredentials(c))
}

func peerCredentials(c net.Conn) peer {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return peer{err: fmt.Errorf("a %T has no credentials", c)}
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var cred *syscall.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err := errors.Join(err, credErr); err != nil {
		return peer{err: err}
	}
	return peer{uid: cred.Uid}
}

// peerOf admits processes of our own user and of root.
func peerOf(r *http.Request) (string, error) {
	p, ok := r.Context().Value(peerKey{}).(peer)
	switch {
	case !ok || p.err != nil:
		return "", &Error{Status: http.StatusForbidden, Code: "forbidden", Message: "who is calling cannot be told"}
	case p.uid != 0 && int(p.uid) != os.Geteuid():
		return "", &Error{Status: http.StatusForbidden, Code: "forbidden", Message: fmt.Sprintf("user %d may not use this socket", p.uid)}
	}
	uid := strconv.FormatUint(uint64(p.uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return localPrefix + u.Username, nil
	}
	return localPrefix + uid, nil
}

// localPrefix marks users of the machine, so that none is taken for one who
// signed in.
const localPrefix = "local:"
