package mail_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// need returns the paths of programs, and skips the test where one is missing.
func need(t *testing.T, programs ...string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, p := range programs {
		path, err := exec.LookPath(p)
		if err != nil {
			path = filepath.Join("/usr/sbin", p)
			if _, err := os.Stat(path); err != nil {
				t.Skipf("%s is not installed: apt-get install postfix dovecot-imapd dovecot-lmtpd opendkim opendkim-tools nsd", p)
			}
		}
		found[p] = path
	}
	if os.Getuid() != 0 {
		t.Skip("mail servers change their user, so this test needs root")
	}
	return found
}

// freePort returns a loopback port that nobody listened on a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// folder returns a folder that the servers' own users can reach.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "decoder-mail-") //nolint:usetesting // t.TempDir lies in folders that only its owner enters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// server starts a program in the foreground, waits until it accepts on the
// port, and ends it with the test.
func server(t *testing.T, port int, program string, args ...string) {
	t.Helper()
	// A file, not a pipe: what a server leaves behind would hold a pipe open.
	out, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM)
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-exited
		}
		if t.Failed() {
			said, _ := os.ReadFile(out.Name())
			t.Logf("%s said:\n%s", filepath.Base(program), said)
		}
	})
	awaitPort(t, port, exited)
}

func awaitPort(t *testing.T, port int, exited <-chan struct{}) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-exited:
			t.Fatal("a server ended before it listened")
		case <-deadline:
			t.Fatalf("nothing listens on port %d", port)
		case <-tick.C:
		}
	}
}

// postfix starts a Postfix of its own: mail for example.test goes to the
// mailbox server's LMTP port, a copy of everything to the journal's.
func postfix(t *testing.T, programs map[string]string, o postfixOptions) {
	t.Helper()
	dir := folder(t)
	for _, d := range []string{"queue", "data", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	chown(t, filepath.Join(dir, "data"), "postfix")
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx1.example.test
mydestination =
mynetworks = 127.0.0.0/8
local_recipient_maps =
smtpd_recipient_restrictions = permit_mynetworks, reject
virtual_mailbox_domains = example.test
virtual_transport = lmtp:inet:127.0.0.1:%[2]d
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
lmtp_connect_timeout = 5s
default_process_limit = 20
smtpd_client_connection_rate_limit = 0
notify_classes =
alias_maps =
`, dir, o.mailbox)
	if o.journal > 0 {
		main += fmt.Sprintf("always_bcc = journal@journal.test\ntransport_maps = inline:{journal.test=lmtp:inet:127.0.0.1:%d}\n", o.journal)
	}
	if o.milter != "" {
		main += "smtpd_milters = " + o.milter + "\nmilter_default_action = tempfail\nmilter_connect_timeout = 2s\n"
	}
	write(t, filepath.Join(dir, "etc", "main.cf"), main)
	write(t, filepath.Join(dir, "etc", "master.cf"), fmt.Sprintf(`127.0.0.1:%d inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`, o.smtp))
	if out, err := exec.Command(programs["postfix"], "-c", filepath.Join(dir, "etc"), "check").CombinedOutput(); err != nil {
		t.Fatalf("postfix check: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		if t.Failed() {
			if b, err := os.ReadFile(filepath.Join(dir, "log")); err == nil {
				t.Logf("postfix log:\n%s", b[max(0, len(b)-8000):])
			}
		}
	})
	server(t, o.smtp, programs["postfix"], "-c", filepath.Join(dir, "etc"), "start-fg")
	t.Cleanup(func() { endMaster(t, filepath.Join(dir, "queue", "pid", "master.pid")) })
}

// endMaster ends Postfix's master process, which has a session of its own.
func endMaster(t *testing.T, pidFile string) {
	b, err := os.ReadFile(pidFile)
	if err != nil {
		t.Error(err)
		return
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid <= 1 {
		t.Errorf("pid file holds %q", b)
		return
	}
	syscall.Kill(pid, syscall.SIGTERM)
}

type postfixOptions struct {
	smtp    int    // where it listens
	mailbox int    // LMTP of the mailboxes
	journal int    // LMTP that gets a copy; 0: none
	milter  string // "inet:127.0.0.1:1234 …"
}

func chown(t *testing.T, path, user string) {
	t.Helper()
	if out, err := exec.Command("chown", "-R", user, path).CombinedOutput(); err != nil {
		t.Fatalf("chown: %v\n%s", err, out)
	}
}

// dovecot starts a Dovecot of its own with mailboxes for anyone who has the
// password.
func dovecot(t *testing.T, programs map[string]string, imap, lmtp int) {
	t.Helper()
	dir := folder(t)
	mails := filepath.Join(dir, "mail")
	if err := os.MkdirAll(mails, 0o755); err != nil {
		t.Fatal(err)
	}
	chown(t, mails, "mail")
	write(t, filepath.Join(dir, "dovecot.conf"), fmt.Sprintf(`base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
protocols = imap lmtp
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
first_valid_uid = 1
first_valid_gid = 1
mail_uid = mail
mail_gid = mail
mail_location = maildir:%[1]s/mail/%%u
mail_max_userip_connections = 100
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home=%[1]s/mail/%%u
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[2]d
  }
  inet_listener imaps {
    port = 0
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[3]d
  }
}
service anvil {
  chroot =
}
`, dir, imap, lmtp))
	t.Cleanup(func() {
		if t.Failed() {
			if b, err := os.ReadFile(filepath.Join(dir, "log")); err == nil {
				t.Logf("dovecot log:\n%s", b[max(0, len(b)-4000):])
			}
		}
	})
	server(t, imap, programs["dovecot"], "-F", "-c", filepath.Join(dir, "dovecot.conf"))
}
