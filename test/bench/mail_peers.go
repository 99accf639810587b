package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

var errPeerMissing = errors.New("not installed")

// rspamdRate sends the messages to a rspamd of its own with two workers, which
// asks nobody.
func rspamdRate(ctx context.Context, msgs [][]byte, short bool) (float64, error) {
	bin, err := exec.LookPath("rspamd")
	if err != nil {
		return 0, errPeerMissing
	}
	dir, err := os.MkdirTemp("", "decoder-bench-rspamd-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.CommandContext(ctx, "cp", "-r", "/etc/rspamd/.", dir).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("copying configuration: %w: %s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	files := map[string]string{
		"worker-normal.inc":     fmt.Sprintf("bind_socket = \"127.0.0.1:%d\";\ncount = 2;\n", port),
		"worker-controller.inc": "enabled = false;\n",
		"worker-proxy.inc":      "enabled = false;\n",
		"worker-fuzzy.inc":      "enabled = false;\n",
		"options.inc":           "dns { nameserver = [\"127.0.0.1:1\"]; timeout = 0.01; retransmits = 1; }\n",
		"logging.inc":           "type = \"file\"; filename = \"" + dir + "/log\"; level = \"error\";\n",
	}
	for _, module := range []string{"rbl", "spf", "dkim", "dmarc", "arc", "asn", "fuzzy_check", "surbl", "mx_check", "dkim_signing", "antivirus", "url_redirector", "p0f", "elastic", "external_services"} {
		files[module+".conf"] = "enabled = false;\n"
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "local.d", name), []byte(text), 0o644); err != nil {
			return 0, err
		}
	}
	cmd := exec.Command(bin, "-f", "-i", "-c", filepath.Join(dir, "rspamd.conf"),
		"--var", "CONFDIR="+dir, "--var", "LOCAL_CONFDIR="+dir, "--var", "DBDIR="+dir, "--var", "RUNDIR="+dir, "--var", "LOGDIR="+dir)
	stop, err := startPeer(cmd, port)
	if err != nil {
		return 0, err
	}
	defer stop()
	n := 1000
	if short {
		n = 200
	}
	c := &http.Client{Timeout: 60 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	return peerRate(cmd, msgs, n, 8, func(m []byte) error {
		resp, err := c.Post(fmt.Sprintf("http://127.0.0.1:%d/checkv2", port), "message/rfc822", bytes.NewReader(m))
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d", resp.StatusCode)
		}
		return nil
	})
}

// spamdRate sends them to a spamd of its own with two children and local tests
// alone.
func spamdRate(_ context.Context, msgs [][]byte, short bool) (float64, error) {
	bin, err := exec.LookPath("spamd")
	if err != nil {
		return 0, errPeerMissing
	}
	port, err := freePort()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(bin, "-L", "-x", "--max-children=2", "--min-children=2", "--syslog=null", "-i", "127.0.0.1", "-p", strconv.Itoa(port))
	stop, err := startPeer(cmd, port)
	if err != nil {
		return 0, err
	}
	defer stop()
	n := 100
	if short {
		n = 30
	}
	return peerRate(cmd, msgs, n, 2, func(m []byte) error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := fmt.Fprintf(conn, "CHECK SPAMC/1.5\r\nContent-length: %d\r\n\r\n", len(m)); err != nil {
			return err
		}
		if _, err := conn.Write(m); err != nil {
			return err
		}
		line, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.Contains(line, "EX_OK") {
			return fmt.Errorf("spamd said %q, %w", line, err)
		}
		return nil
	})
}

// peerRate sends n messages over some connections at once, after a warm-up,
// and returns how many two cores would do in a second of the peer's own time.
func peerRate(peer *exec.Cmd, msgs [][]byte, n, width int, send func([]byte) error) (float64, error) {
	for i := range min(4, len(msgs)) {
		if err := send(msgs[i]); err != nil {
			return 0, fmt.Errorf("first messages: %w", err)
		}
	}
	var next, failed atomic.Int64
	var last atomic.Value
	var wg sync.WaitGroup
	start, err := groupCPU(peer.Process.Pid)
	if err != nil {
		return 0, err
	}
	for range width {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := send(msgs[i%int64(len(msgs))]); err != nil {
					failed.Add(1)
					last.Store(err)
				}
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > int64(n/100) {
		return 0, fmt.Errorf("%d of %d messages failed, the last: %v", f, n, last.Load())
	}
	end, err := groupCPU(peer.Process.Pid)
	if err != nil {
		return 0, err
	}
	return 2 * float64(n) / (end - start).Seconds(), nil
}

// groupCPU is the processor time of all processes of a group (proc(5), stat).
func groupCPU(group int) (time.Duration, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	var ticks int64
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, ok := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if !ok || len(f) < 13 || f[2] != strconv.Itoa(group) {
			continue
		}
		for _, v := range f[11:13] { // user and system time
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return 0, err
			}
			ticks += n
		}
	}
	return time.Duration(ticks) * time.Second / 100, nil
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startPeer starts a server and waits until it listens; stop ends it and all
// it started.
func startPeer(cmd *exec.Cmd, port int) (stop func(), err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	stop = func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-exited
		}
	}
	deadline := time.After(4 * time.Minute) // rspamd compiles its patterns first
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			conn.Close()
			return stop, nil
		}
		select {
		case <-exited:
			return nil, fmt.Errorf("%s ended before it listened", filepath.Base(cmd.Path))
		case <-deadline:
			stop()
			return nil, fmt.Errorf("%s does not listen", filepath.Base(cmd.Path))
		case <-tick.C:
		}
	}
}
