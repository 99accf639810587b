package mail_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
)

// childConfig is the program that is killed.
type childConfig struct {
	Dir    string
	LMTP   int
	Milter int
	IMAP   int // port of the server; 0 none
	Pass   string
	More   string // further settings
}

// config is the program's configuration file.
func (c childConfig) config() string {
	text := fmt.Sprintf(`mail:
  own: [example.test]
  border: {names: [mx1.example.test]}
  receive: [{listen: "lmtp://127.0.0.1:%d"}]
  milter: {listen: "tcp://127.0.0.1:%d", hold: true}
`, c.LMTP, c.Milter)
	if c.IMAP > 0 {
		text += fmt.Sprintf(`  imap: [{name: test, server: "imap://127.0.0.1:%d", insecure: true, user: bob@example.test, password_file: %q, poll: 1s}]
`, c.IMAP, c.Pass)
	}
	return text + c.More
}

// build makes the program once, unless DECODER_BIN names it.
var build = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("DECODER_BIN"); bin != "" {
		return bin, nil
	}
	dir, err := os.MkdirTemp("", "decoder-bin-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "decoder")
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/decoder").CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return bin, nil
})

// child is a running program.
type child struct {
	dir string
	cmd *exec.Cmd
	log bytes.Buffer // read after its end
}

func startChild(t *testing.T, c childConfig) *child {
	t.Helper()
	bin, err := build()
	if err != nil {
		t.Fatalf("building the program: %v", err)
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "decoder.yml"), []byte(c.config()), 0o600); err != nil {
		t.Fatal(err)
	}
	ch := &child{dir: c.Dir, cmd: exec.Command(bin, "up", "--no-capture", "--data", c.Dir, "--listen", "http://127.0.0.1:0", "--kafka", "tcp://127.0.0.1:0")}
	ch.cmd.Stderr = &ch.log
	out, err := ch.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ch.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	started := make(chan bool, 1)
	go func() {
		up := false
		for sc := bufio.NewScanner(out); sc.Scan(); {
			if strings.Contains(sc.Text(), "  log ") && !up {
				up = true
				started <- true
			}
		}
		if !up {
			started <- false
		}
	}()
	t.Cleanup(func() {
		ch.kill()
		if t.Failed() {
			t.Logf("the program wrote:\n%s", ch.log.String())
		}
	})
	select {
	case ok := <-started:
		if !ok {
			ch.kill()
			t.Fatalf("the program ended:\n%s", ch.log.String())
		}
	case <-time.After(time.Minute):
		t.Fatal("the program does not start")
	}
	return ch
}

// kill ends the program at once; a second time it does nothing.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func (c *child) stop(t *testing.T) {
	t.Helper()
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	watch := time.AfterFunc(30*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer watch.Stop()
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

const verdicts = `event.dataset:"mail.verdict"`

// await waits until the store holds n verdicts, or more, and returns how many
// it then holds and of how many messages.
func (c *child) await(t *testing.T, n int, patience time.Duration) (stored, distinct int) {
	t.Helper()
	client, err := control.Dial(t.Context(), c.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	deadline := time.After(patience)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for stored < n {
		select {
		case <-deadline:
			t.Fatalf("the store holds %d verdicts, want %d", stored, n)
		case <-tick.C:
		}
		count, err := client.Count(t.Context(), api.Question{Q: verdicts})
		if err != nil {
			t.Fatal(err)
		}
		stored = int(count)
	}
	messages := map[string]bool{}
	stored = 0
	err = client.SearchStream(t.Context(), api.Search{Q: verdicts}, func(line json.RawMessage) error {
		var v struct{ Mail struct{ Identity string } }
		stored++
		defer func() { messages[v.Mail.Identity] = true }()
		return json.Unmarshal(line, &v)
	})
	if err != nil {
		t.Fatal(err)
	}
	return stored, len(messages)
}
