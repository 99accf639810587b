// Package proc starts, watches and ends other programs. It is the only
// importer of os/exec, so that every child of the program is started under
// the same rules: in a process group or session of its own, its output in the
// log, ended by SIGTERM first. It does not know what the programs do.
//
// There are two kinds of children. An attached one dies with the program,
// whatever ends the program. A detached one outlives it, and the next start
// may adopt it: [Identity] tells a process from a later one of the same pid.
package proc

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Command says what to start and how.
type Command struct {
	Path string   // program, looked up in PATH when it has no slash
	Args []string // without the program's own name
	Dir  string   // working directory; "" is the program's own
	Env  []string // added to the program's own environment

	// Line is called with each line the child writes to standard output and
	// standard error, without its newline, cut at 64 KiB. It is called from
	// one goroutine. Nil discards.
	Line func(line string)

	// Stdin and Stdout are an attached child's own, for a child that is talked
	// to; Line gets its standard error alone then. The caller closes its
	// copies once Start has returned.
	Stdin, Stdout *os.File

	// Capabilities are those of this program that the child gets too, by
	// number (capability.h). A child of root has them anyway.
	Capabilities []uintptr

	// Detached makes a child that outlives the program. Its output goes to
	// the file Output, which is cut when it passes a mebibyte.
	Detached bool
	Output   string
}

// Process is a running or ended child, or an adopted process.
type Process struct {
	id   Identity
	done chan struct{}
	err  error // why it ended; valid after done
}

// LookPath finds a program in PATH, and in the folders system programs live in
// that an unprivileged user's PATH often lacks.
func LookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/local/bin"} {
		if p, e := exec.LookPath(dir + "/" + name); e == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("finding %s: %w", name, err)
}

// Start starts the command. The caller must wait for Done, or call Stop,
// before the program ends in order.
func Start(c Command) (*Process, error) {
	path, err := LookPath(c.Path)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, c.Args...) //nolint:noctx // it is ended by Stop, in order, or outlives this process
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	if c.Detached {
		return startDetached(cmd, c)
	}
	return startAttached(cmd, c)
}

// startAttached runs the child under a thread kept for it: the kernel sends
// the death signal when the thread that forked the child ends, not when the
// process does, so the thread must live as long as the child.
func startAttached(cmd *exec.Cmd, c Command) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, AmbientCaps: c.Capabilities}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("opening a pipe for %s: %w", cmd.Path, err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	if c.Stdin != nil {
		cmd.Stdin = c.Stdin
	}
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}

	type started struct {
		p   *Process
		err error
	}
	ready := make(chan started, 1)
	go func() {
		runtime.LockOSThread()
		err := cmd.Start()
		w.Close()
		if err != nil {
			r.Close()
			ready <- started{err: fmt.Errorf("starting %s: %w", cmd.Path, err)}
			return
		}
		p := &Process{done: make(chan struct{})}
		p.id, _ = Identify(cmd.Process.Pid)
		ready <- started{p: p}
		read := make(chan struct{})
		go func() { defer close(read); copyLines(r, c.Line) }()
		p.err = waitFor(cmd)
		// What the child wrote last is still in the pipe; a grandchild may
		// keep it open, so reading on is given a limit.
		_ = r.SetReadDeadline(time.Now().Add(time.Second))
		<-read
		r.Close()
		close(p.done)
	}()
	s := <-ready
	return s.p, s.err
}

func startDetached(cmd *exec.Cmd, c Command) (*Process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, AmbientCaps: c.Capabilities}
	out, err := os.OpenFile(c.Output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the output of %s: %w", cmd.Path, err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	p := &Process{done: make(chan struct{})}
	p.id, _ = Identify(cmd.Process.Pid)
	ended := make(chan struct{})
	go func() {
		p.err = waitFor(cmd)
		close(ended)
	}()
	go func() {
		follow(c.Output, c.Line, ended)
		close(p.done)
	}()
	return p, nil
}

// waitFor returns nil for a child that ended with status 0.
func waitFor(cmd *exec.Cmd) error {
	err := cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err
	}
	if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
		return &ExitError{Signal: s.Signal()}
	}
	return &ExitError{Status: exit.ExitCode()}
}

// ExitError is how a child ended that did not end well.
type ExitError struct {
	Status int            // exit status, when no signal ended it
	Signal syscall.Signal // 0 when it exited by itself
}

func (e *ExitError) Error() string {
	if e.Signal != 0 {
		return fmt.Sprintf("ended by signal %d (%s)", int(e.Signal), e.Signal)
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// ID returns what tells the process from others.
func (p *Process) ID() Identity { return p.id }

// Done is closed when the process has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err says why the process ended: nil for exit status 0, an [*ExitError], or
// nil for an adopted process, whose status nobody is told. It may be called
// only after Done is closed.
func (p *Process) Err() error { return p.err }

// Stop ends the process: SIGTERM, then after the grace SIGKILL. It returns when
// the process has ended. It may be called more than once.
func (p *Process) Stop(grace time.Duration) {
	_ = p.Signal(syscall.SIGTERM)
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-p.done:
	case <-t.C:
		_ = p.Signal(syscall.SIGKILL)
		<-p.done
	}
}

// Kill ends the process at once and returns when it has ended.
func (p *Process) Kill() {
	_ = p.Signal(syscall.SIGKILL)
	<-p.done
}

// Signal sends a signal, if the process still is the one that was started.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return os.ErrProcessDone
	default:
	}
	if !p.id.Alive() {
		return os.ErrProcessDone
	}
	return syscall.Kill(p.id.PID, sig)
}

const maxLine = 64 << 10

// copyLines calls line for each line of r until r ends.
func copyLines(r io.Reader, line func(string)) {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := b.ReadSlice('\n')
		if line != nil && len(text) > 0 {
			line(trimEOL(text))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func trimEOL(b []byte) string {
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return string(b)
}
