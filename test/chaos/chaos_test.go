// Package chaos_test kills what can be killed while records flow, and counts
// afterwards.
package chaos_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/test/kafka"
)

// extent is how much of everything there is. DECODER_LONG=1 asks for more.
type extent struct{ chaos, outage time.Duration }

func asked() extent {
	if os.Getenv("DECODER_LONG") != "" {
		return extent{chaos: 4 * time.Minute, outage: time.Minute}
	}
	return extent{chaos: 25 * time.Second, outage: 5 * time.Second}
}

// log is what the chaos runs on.
type log interface {
	brokers() []string
	kill(i int)
	restart(i int)
}

func TestNothingIsLostOnTheEmbeddedLog(t *testing.T) {
	kinds := []string{"16"}
	if os.Getenv("DECODER_LONG") != "" {
		kinds = append(kinds, "0")
	}
	for _, concurrency := range kinds {
		t.Run("concurrency "+concurrency, func(t *testing.T) {
			l := &embedded{t: t, dir: t.TempDir(), address: freeAddress(t)}
			l.restart(0)
			chaos(t, l, concurrency)
		})
	}
}

func TestNothingIsLostOnKafka(t *testing.T) {
	chaos(t, cluster{t, kafka.Start(t, kafka.Options{Brokers: 3, Settings: kafka.LargeMessages()})}, "16")
}

// chaos loads four processes of a stage while it kills them, a broker, and
// the destination at random, and then counts.
func chaos(t *testing.T, l log, concurrency string) {
	extent := asked()
	destination := newDestination(t)
	b := bustest.OpenConfig(t, bus.Config{Brokers: l.brokers()})
	ctx, cancel := context.WithTimeout(t.Context(), extent.chaos)
	defer cancel()
	workers := make([]*process, 4)
	for i := range workers {
		workers[i] = &process{t: t, name: fmt.Sprint("worker-", i), environment: []string{
			roleVariable + "=" + roleWorker, "BROKERS=" + strings.Join(l.brokers(), ","),
			"DESTINATION=" + destination.url(), "CONCURRENCY=" + concurrency,
		}}
		workers[i].start()
	}
	var sent atomic.Int64
	var loading sync.WaitGroup
	loading.Go(func() { load(ctx, t, b, &sent) })
	loading.Go(func() { destination.outage(ctx, extent) })
	kills := disturb(ctx, t, l, workers)
	loading.Wait()
	for _, w := range workers {
		w.start() // those not running
	}
	t.Logf("sent %d records; killed %d processes and brokers", sent.Load(), kills)
	count(t, b, int(sent.Load()))
	for _, w := range workers {
		w.end()
	}
}

// value says what shall become of the n-th record.
func value(n int) string {
	switch {
	case n%50 == 7:
		return fmt.Sprintf("poison:%d", n)
	case n%10 == 3:
		return fmt.Sprintf("flaky:%d", n)
	case n%100 == 9:
		return fmt.Sprintf("throttled:%d", n)
	default:
		return fmt.Sprintf("good:%d", n)
	}
}

// load appends until ctx ends, and counts what the log has acknowledged.
func load(ctx context.Context, t *testing.T, b *bus.Bus, sent *atomic.Int64) {
	for n := 0; ctx.Err() == nil; {
		var records []*bus.Record
		for range 20 {
			records = append(records, &bus.Record{
				Topic: bus.TopicJSON, Key: []byte(fmt.Sprint("key-", n%100)), Value: []byte(value(n)),
				Headers: []bus.Header{{Key: event.HeaderOrigin, Value: []byte(fmt.Sprint("load:chaos:", n))}},
			})
			n++
		}
		for {
			err := b.Append(t.Context(), records...)
			if err == nil {
				break
			}
			t.Logf("append will be tried again: %v", err)
		}
		sent.Store(int64(n))
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// disturb kills and restarts processes and brokers until ctx ends, and leaves
// all brokers running.
func disturb(ctx context.Context, t *testing.T, l log, workers []*process) int {
	kills := 0
	for turn := 0; ; turn++ {
		select {
		case <-ctx.Done():
			return kills
		case <-time.After(time.Duration(500+rand.IntN(2000)) * time.Millisecond):
		}
		kills++
		if turn%5 == 4 {
			i := rand.IntN(len(l.brokers()))
			t.Logf("killing broker %d", i)
			l.kill(i)
			select { // a moment without it
			case <-ctx.Done():
			case <-time.After(time.Duration(rand.IntN(3000)) * time.Millisecond):
			}
			l.restart(i)
			continue
		}
		w := workers[rand.IntN(len(workers))]
		w.kill()
		w.start()
	}
}

// count waits until everything has come out, and looks at what did.
func count(t *testing.T, b *bus.Bus, sent int) {
	t.Helper()
	good, poison := map[string]string{}, map[string]bool{}
	for n := range sent {
		if v := value(n); strings.HasPrefix(v, "poison") {
			poison[v] = true
		} else {
			good[event.ID(fmt.Sprint("load:chaos:", n), event.KindEvent, 0)] = v
		}
	}
	repeated := outputs(t, b, good)
	letters(t, b, poison)
	t.Logf("%d good, %d poison; %d outputs repeated under their id", len(good), len(poison), repeated)
}

// patience is how long what is left may take once nothing is disturbed: in
// order, a minute's outage leaves much.
func patience() time.Duration { return 90*time.Second + 4*asked().outage }

// outputs waits for every good record's output, and returns how many came
// again under their id.
func outputs(t *testing.T, b *bus.Bus, good map[string]string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience())
	defer cancel()
	seen := map[string]bool{}
	repeated := 0
	err := b.Tail(ctx, bus.TopicEvents, 1<<40, true, func(r *bus.Record) bool {
		id := bus.Value(r, event.HeaderID)
		if good[id] != string(r.Value) {
			t.Errorf("output %q has the id of %q", r.Value, good[id])
		}
		if seen[id] {
			repeated++
		}
		seen[id] = true
		return len(seen) < len(good)
	})
	if err != nil {
		t.Fatal(err)
	}
	for id, v := range good {
		if !seen[id] {
			t.Errorf("no output of %s", v)
		}
	}
	return repeated
}

// letters waits until every poison record is dead, and nothing else.
func letters(t *testing.T, b *bus.Bus, poison map[string]bool) {
	t.Helper()
	deadline := time.Now().Add(patience())
	for {
		buried := map[string]int{}
		err := dead.New(b).Each(t.Context(), dead.Filter{Client: name}, func(e dead.Entry) bool {
			v := string(e.Record.Value)
			buried[v]++
			if !poison[v] {
				t.Errorf("healthy record %q is dead: %s %s after %d attempts", v, e.Code, e.Error, e.Attempts)
			} else if e.Code != "rejected" || buried[v] > 1 {
				t.Errorf("letter %q: code %s, %d times", v, e.Code, buried[v])
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
		if len(buried) >= len(poison) || t.Failed() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d poison records are dead", len(buried), len(poison))
		}
		<-time.After(time.Second) // reading them all anew costs
	}
}

// destination is what the stage calls.
type destination struct {
	t       *testing.T
	address string
	mu      sync.Mutex
	server  *http.Server
	tries   map[string]int
}

func newDestination(t *testing.T) *destination {
	d := &destination{t: t, address: freeAddress(t), tries: map[string]int{}}
	d.open()
	t.Cleanup(d.close)
	return d
}

func (d *destination) url() string { return "http://" + d.address + "/" }

func (d *destination) open() {
	l, err := net.Listen("tcp", d.address)
	if err != nil {
		d.t.Error(err)
		return
	}
	server := &http.Server{Handler: d, ReadHeaderTimeout: 5 * time.Second}
	d.mu.Lock()
	d.server = server
	d.mu.Unlock()
	go func() { _ = server.Serve(l) }() // ends with its closing
}

func (d *destination) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.server.Close() // connections are to break
}

// outage stops the destination for the middle of the time.
func (d *destination) outage(ctx context.Context, e extent) {
	select {
	case <-ctx.Done():
		return
	case <-time.After((e.chaos - e.outage) / 3):
	}
	d.t.Log("the destination stops")
	d.close()
	<-time.After(e.outage)
	d.open()
	d.t.Log("the destination is back")
}

func (d *destination) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1000))
	if err != nil {
		return
	}
	kind, _, _ := strings.Cut(string(body), ":")
	d.mu.Lock()
	d.tries[string(body)]++
	tries := d.tries[string(body)]
	d.mu.Unlock()
	switch {
	case kind == "poison":
		w.WriteHeader(http.StatusUnprocessableEntity)
	case kind == "flaky" && tries < 3:
		w.WriteHeader(http.StatusServiceUnavailable)
	case kind == "throttled" && tries < 5:
		w.WriteHeader(http.StatusTooManyRequests)
	}
}

// process is the test binary in one of its roles.
type process struct {
	t           *testing.T
	name        string
	environment []string
	cmd         *exec.Cmd
	ended       chan struct{}
}

func (p *process) start() {
	if p.cmd != nil {
		select {
		case <-p.ended:
		default:
			return
		}
	}
	out, err := os.OpenFile(filepath.Join(p.t.ArtifactDir(), p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), p.environment...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended = cmd, ended
	go func() {
		_ = cmd.Wait() // a killed one ends with an error
		_ = out.Close()
		close(ended)
	}()
	if p.t.Context().Err() == nil {
		p.t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// end asks the process to end, and wants it to do so in order.
func (p *process) end() {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Errorf("%s: %v", p.name, err)
	}
	select {
	case <-p.ended:
		if !p.cmd.ProcessState.Success() {
			p.t.Errorf("%s ended with %s", p.name, p.cmd.ProcessState)
		}
	case <-time.After(30 * time.Second):
		p.t.Errorf("%s does not end", p.name)
	}
}

type embedded struct {
	t       *testing.T
	dir     string
	address string
	process *process
}

func (e *embedded) brokers() []string { return []string{e.address} }
func (e *embedded) kill(int)          { e.process.kill() }
func (e *embedded) restart(int) {
	e.process = &process{t: e.t, name: "broker", environment: []string{roleVariable + "=" + roleBroker, "DIR=" + e.dir, "LISTEN=" + e.address}}
	e.process.start()
}

type cluster struct {
	t *testing.T
	*kafka.Cluster
}

func (c cluster) brokers() []string { return c.Brokers() }
func (c cluster) kill(i int)        { c.Kill(i) }
func (c cluster) restart(i int) {
	if err := c.Restart(c.t.Context(), i); err != nil {
		c.t.Error(err)
	}
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
