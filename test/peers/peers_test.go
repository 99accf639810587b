package peers

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
)

const records = 200

// peer is a broker to test clients with, and how they sign in.
type peer struct {
	*broker.Broker
	addr, user, password, properties string
	admin                            *kgo.Client
}

// start runs a broker with one topic until the test ends.
func start(t *testing.T, topic string, open bool) *peer {
	t.Helper()
	p, _ := serve(t, t.TempDir(), open)
	r, err := kadm.NewClient(p.admin).CreateTopic(t.Context(), 3, 1, nil, topic)
	if err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	return p
}

// serve runs a broker on a folder until the test ends, or stop is called.
func serve(t *testing.T, dir string, open bool) (p *peer, stop func()) {
	t.Helper()
	b, err := broker.New(broker.Config{DataDir: dir, Listen: "127.0.0.1:0", Open: open, MinFree: -1}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	select {
	case <-b.Ready():
	case err := <-done:
		t.Fatal(err)
	}
	p = &peer{Broker: b, addr: b.Addr().String(), properties: filepath.Join(dir, "client.properties")}
	if !open {
		file, err := os.ReadFile(p.properties)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(file)) {
			switch name, v, _ := strings.Cut(strings.TrimSpace(line), "="); name {
			case "sasl.username":
				p.user = v
			case "sasl.password":
				p.password = v
			}
		}
	}
	p.admin = p.embedded(t)
	return p, stop
}

func (p *peer) embedded(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(broker.Embedded), kgo.Dialer(p.Dial))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// check reads what a peer has produced: n records of the name, once each.
func (p *peer) check(t *testing.T, topic, name string, n int, header bool) {
	t.Helper()
	cl := p.embedded(t, kgo.ConsumeTopics(topic))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	seen := map[string]int{}
	for found := 0; found < n; {
		fs := cl.PollFetches(ctx)
		if err := fs.Err(); err != nil {
			t.Fatalf("%s: after %d of %d records: %v", name, found, n, err)
		}
		fs.EachRecord(func(r *kgo.Record) {
			if !strings.HasPrefix(string(r.Value), name+"-") {
				return
			}
			found++
			seen[string(r.Value)]++
			if header && (len(r.Headers) != 1 || r.Headers[0].Key != "h" || string(r.Headers[0].Value) != name) {
				t.Errorf("%s: headers %v", name, r.Headers)
			}
		})
	}
	for i := range n {
		if v := fmt.Sprintf("%s-%d", name, i); seen[v] != 1 {
			t.Errorf("%s: %s is there %d times", name, v, seen[v])
		}
	}
}

// committed wants the group to have committed n records of the topic.
func (p *peer) committed(t *testing.T, group, topic string, n int64) {
	t.Helper()
	got, err := kadm.NewClient(p.admin).FetchOffsets(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	sum := int64(0)
	for _, o := range got[topic] {
		sum += max(o.At, 0)
	}
	if sum != n {
		t.Errorf("group %s has committed %d of %d", group, sum, n)
	}
}

// run runs a program, with a time limit, and returns what it prints.
func run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, &out, &errOut)
	}
	return out.String()
}

func need(t *testing.T, program, install string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("SKIPPED: %s is not there; install %s", program, install)
	}
}
