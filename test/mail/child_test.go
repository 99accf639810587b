package mail_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode/mail"
	checks "github.com/decodersring/decoder/internal/hygiene"
	"github.com/decodersring/decoder/internal/obs"
	sinkstore "github.com/decodersring/decoder/internal/sink/store"
	"github.com/decodersring/decoder/internal/source/imap"
	"github.com/decodersring/decoder/internal/source/milter"
	"github.com/decodersring/decoder/internal/source/smtp"
	"github.com/decodersring/decoder/internal/stage/hygiene"
	"github.com/decodersring/decoder/internal/stage/jsonify"
	"github.com/decodersring/decoder/internal/store"
	"github.com/decodersring/decoder/internal/store/vlogs"
)

// childConfig is what the process that is killed runs: log, sources, stages
// and store, as the program composes them.
type childConfig struct {
	Dir    string
	LMTP   int
	Milter int
	IMAP   int // port of the server; 0 none
	Pass   string
}

const childEnv = "DECODER_MAIL_CHILD"

func TestMain(m *testing.M) {
	if s := os.Getenv(childEnv); s != "" {
		var c childConfig
		if err := json.Unmarshal([]byte(s), &c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
		if err := runChild(c); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type runner interface{ Run(context.Context) error }

// runChild runs until standard input ends, and answers each line "count" with
// the number of verdicts in the store and of different messages among them.
func runChild(c childConfig) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	scope := obs.Scope{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	b, err := bus.Open(ctx, bus.Config{Dir: c.Dir + "/log"}, scope)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	defer b.Close()
	docs, err := vlogs.New(vlogs.Config{Dir: c.Dir + "/store", LiveAge: 100 * 365 * 24 * time.Hour}, scope)
	if err != nil {
		return err
	}
	parts, err := components(c, b, docs, scope)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() {
			if err := p.Run(ctx); err != nil && ctx.Err() == nil {
				fmt.Fprintln(os.Stderr, "component ended:", err)
				os.Exit(3)
			}
		})
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		stored, err := docs.Count(ctx, mustParse(`event.dataset:"mail.verdict"`), store.Range{})
		if err != nil {
			stored = 0
		}
		distinct, err := docs.Facet(ctx, mustParse(`event.dataset:"mail.verdict"`), store.Range{}, "mail.identity", 100_000)
		if err != nil {
			distinct = nil
		}
		fmt.Println(stored, len(distinct))
	}
	cancel()
	wg.Wait()
	return nil
}

func mustParse(s string) *store.Query {
	q, err := store.Parse(s)
	if err != nil {
		panic(err)
	}
	return q
}

func components(c childConfig, b *bus.Bus, docs *vlogs.Store, scope obs.Scope) ([]runner, error) {
	lists, err := checks.Load("")
	if err != nil {
		return nil, err
	}
	border := mail.Border{Names: []string{"mx1.example.test"}}
	engine := checks.New(checks.Config{Own: []string{"example.test"}}, lists, nil, nil)
	runtime := client.NewRuntime(b, scope)
	parts := []runner{docs}
	for _, spec := range []client.Spec{
		{Name: "jsonify", Inputs: []string{bus.TopicEmail}, Outputs: []string{bus.TopicJsonified}, Stage: jsonify.New(jsonify.Config{Border: border}, scope)},
		{
			Name: "hygiene", Inputs: []string{bus.TopicJsonified}, Outputs: []string{bus.TopicEvents, bus.TopicEmailAlert, bus.TopicRecheck},
			Stage: hygiene.New(engine, checks.Keep{}, scope), Concurrency: hygiene.Concurrency, Window: hygiene.Window,
		},
		{Name: "store", Inputs: []string{bus.TopicEvents, bus.TopicEmailAlert}, Sink: sinkstore.New(docs)},
	} {
		cl, err := runtime.New(spec)
		if err != nil {
			return nil, err
		}
		parts = append(parts, cl)
	}
	lm, err := smtp.New(smtp.Config{Listen: fmt.Sprintf("lmtp://127.0.0.1:%d", c.LMTP), Hostname: "journal.test"}, b, scope)
	if err != nil {
		return nil, err
	}
	mi, err := milter.New(milter.Config{Listen: fmt.Sprintf("tcp://127.0.0.1:%d", c.Milter), Hold: true, Wait: 30 * time.Second}, b, scope)
	if err != nil {
		return nil, err
	}
	parts = append(parts, lm, mi)
	if c.IMAP > 0 {
		im, err := imap.New(imap.Config{
			Name: "test", Server: fmt.Sprintf("imap://127.0.0.1:%d", c.IMAP), Insecure: true, User: "bob@example.test",
			PasswordFile: c.Pass, StateDir: c.Dir + "/imap", Poll: time.Second,
		}, b, scope)
		if err != nil {
			return nil, err
		}
		parts = append(parts, im)
	}
	return parts, nil
}

// child is a running process of runChild.
type child struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func startChild(t *testing.T, c childConfig) *child {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ch := &child{cmd: cmd, in: in, out: bufio.NewReader(out)}
	if line, err := ch.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("child said %q, %v", line, err)
	}
	return ch
}

func (c *child) kill() {
	c.cmd.Process.Signal(syscall.SIGKILL)
	c.cmd.Wait()
}

func (c *child) stop(t *testing.T) {
	t.Helper()
	c.in.Close()
	done := make(chan error, 1)
	go func() { done <- c.cmd.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("child ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		c.cmd.Process.Kill()
		t.Error("child did not stop")
	}
}

// count asks for the verdicts stored and the different messages among them.
func (c *child) count(t *testing.T) (stored, distinct int) {
	t.Helper()
	fmt.Fprintln(c.in, "count")
	line, err := c.out.ReadString('\n')
	if err != nil {
		t.Fatalf("child does not answer: %v", err)
	}
	f := strings.Fields(line)
	stored, _ = strconv.Atoi(f[0])
	distinct, _ = strconv.Atoi(f[1])
	return stored, distinct
}

// await waits until the store holds n messages, or more, and returns what it
// then holds.
func (c *child) await(t *testing.T, n int, patience time.Duration) (stored, distinct int) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		if stored, distinct = c.count(t); distinct >= n {
			return stored, distinct
		}
		select {
		case <-deadline:
			t.Fatalf("the store holds %d messages (%d verdicts), want %d", distinct, stored, n)
		case <-tick.C:
		}
	}
}
