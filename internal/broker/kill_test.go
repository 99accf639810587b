package broker_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/broker/storage"
	"github.com/decodersring/decoder/internal/obs"
)

// TestMain runs the tests, or a broker that a test can kill.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BROKER_UNDER_TEST"); dir != "" {
		if err := serveForever(dir, os.Getenv("BROKER_LISTEN")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serveForever(dir, listen string) error {
	b, err := broker.New(broker.Config{
		DataDir: dir, Listen: listen, Open: true, MinFree: -1, AutoCreate: ingestTopics,
		// Small files and short rounds: a kill meets rolls, checkpoints,
		// rotations and compaction.
		Storage: storage.Options{JournalBytes: 256 << 10, Checkpoint: 100 * time.Millisecond, Retention: 150 * time.Millisecond},
	}, obs.Scope{})
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		<-b.Ready()
		fmt.Println(b.Addr())
	}()
	return b.Run(ctx)
}

// process is a broker in a process of its own.
type process struct {
	cmd  *exec.Cmd
	addr string
	err  bytes.Buffer
}

func startProcess(t *testing.T, dir, listen string) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), "BROKER_UNDER_TEST="+dir, "BROKER_LISTEN="+listen)
	p.cmd.Stderr = &p.err
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = p.cmd.Wait()
		t.Fatalf("broker did not start: %v\n%s", err, &p.err)
	}
	p.addr = strings.TrimSpace(line)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// kills is how often the kill test kills.
func kills(short, long int) int {
	if os.Getenv("DECODER_LONG") != "" {
		return long
	}
	return short
}

// world is what the kill test's clients know to be true.
type world struct {
	t         *testing.T
	mu        sync.Mutex
	acked     map[string]bool
	sent      int
	committed map[int32]int64
}

const killPartitions = 4

// awaitProgress returns when the clients have gone on after the last kill.
func (w *world) awaitProgress() {
	w.t.Helper()
	count := func() (acked int, committed int64) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, o := range w.committed {
			committed += o
		}
		return len(w.acked), committed
	}
	acked, committed := count()
	for deadline := time.After(30 * time.Second); ; {
		if a, c := count(); a > acked+100 && c > committed {
			return
		}
		select {
		case <-deadline:
			w.t.Fatal("the clients did not go on after the last kill")
		case <-time.After(10 * time.Millisecond): // they tell nobody
		}
	}
}

func TestKillLosesNothingAcknowledgedAndNoCommit(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, "127.0.0.1:0")
	addr := p.addr
	w := &world{t: t, acked: map[string]bool{}, committed: map[int32]int64{}}
	admin, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	segment := "262144"
	createTopic(t, admin, "killed", killPartitions, map[string]*string{"segment.bytes": &segment})

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() { w.produce(ctx, addr, i) })
	}
	for range 2 {
		clients.Go(func() { w.consume(ctx, addr) })
	}
	for range kills(20, 200) {
		time.Sleep(time.Duration(100+rand.IntN(400)) * time.Millisecond) // what is killed is unknown
		p.kill()
		p = startProcess(t, dir, addr)
		w.checkCommits(admin)
	}
	w.awaitProgress()
	cancel()
	clients.Wait()
	defer p.kill()
	w.checkCommits(admin)
	w.checkLog(addr)
}

// produce appends records one after the other, small ones and some large, and
// notes each that is acknowledged.
func (w *world) produce(ctx context.Context, addr string, id int) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("killed"), kgo.ProducerLinger(time.Millisecond),
		kgo.ProducerBatchCompression(kgo.NoCompression())) // what is large is to be large on the disk
	if err != nil {
		w.t.Error(err)
		return
	}
	defer cl.Close()
	var inFlight sync.WaitGroup
	for i := 0; ctx.Err() == nil; i++ {
		size := 10 + rand.IntN(2000)
		if i%50 == 0 {
			size = 200_000
		}
		name := fmt.Sprintf("%d-%d", id, i)
		r := &kgo.Record{Key: []byte(name), Value: make([]byte, size)}
		inFlight.Add(1)
		cl.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			defer inFlight.Done()
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sent++
			if err == nil {
				w.acked[name] = true
			} else {
				w.t.Errorf("record %s: %v", name, err)
			}
		})
		if i%20 == 19 {
			inFlight.Wait()
		}
	}
	inFlight.Wait()
}

// consume reads in a group and notes each commit that is acknowledged.
func (w *world) consume(ctx context.Context, addr string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("killed"), kgo.ConsumerGroup("g"),
		kgo.DisableAutoCommit(), kgo.SessionTimeout(3*time.Second), kgo.HeartbeatInterval(200*time.Millisecond),
		kgo.RebalanceTimeout(5*time.Second))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer cl.Close()
	for ctx.Err() == nil {
		if cl.PollFetches(ctx).NumRecords() == 0 {
			continue
		}
		offsets := cl.UncommittedOffsets()["killed"]
		if cl.CommitUncommittedOffsets(ctx) != nil {
			continue
		}
		w.mu.Lock()
		for partition, o := range offsets {
			if now := cl.CommittedOffsets()["killed"][partition]; now.Offset >= o.Offset {
				w.committed[partition] = max(w.committed[partition], o.Offset)
			}
		}
		w.mu.Unlock()
	}
}

func (w *world) checkCommits(admin *kgo.Client) {
	w.t.Helper()
	w.mu.Lock()
	want := map[int32]int64{}
	maps.Copy(want, w.committed)
	w.mu.Unlock()
	got, err := kadm.NewClient(admin).FetchOffsets(w.t.Context(), "g")
	if err != nil {
		w.t.Fatalf("fetching commits: %v", err)
	}
	for p, o := range want {
		if have, ok := got.Lookup("killed", p); !ok || have.At < o {
			w.t.Fatalf("partition %d: %d was committed, %d is there", p, o, have.At)
		}
	}
}

func (w *world) checkLog(addr string) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics("killed"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(w.t.Context(), "killed")
	if err != nil {
		w.t.Fatal(err)
	}
	total := 0
	ends.Each(func(o kadm.ListedOffset) { total += int(o.Offset) })
	seen := map[string]int{}
	next := map[int32]int64{}
	for _, r := range consume(w.t, cl, total) {
		seen[string(r.Key)]++
		if r.Offset != next[r.Partition] {
			w.t.Fatalf("partition %d: offset %d follows %d", r.Partition, r.Offset, next[r.Partition]-1)
		}
		next[r.Partition]++
	}
	for name := range w.acked {
		if seen[name] == 0 {
			w.t.Errorf("record %s was acknowledged and is lost", name)
		}
	}
	for name, n := range seen {
		if n > 1 {
			w.t.Errorf("record %s is there %d times", name, n)
		}
	}
	w.t.Log(strconv.Itoa(len(w.acked)) + " records acknowledged, " + strconv.Itoa(total) + " in the log, committed " + fmt.Sprint(w.committed))
}
