package broker_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
)

// TestPowerLossOnARealFileSystemLosesNothing keeps the log on an ext4 in a
// file, copies that file while the log is being written, which is what the
// disk holds when the power fails, and starts on the copy.
func TestPowerLossOnARealFileSystemLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: mounting a loop image needs root")
	}
	dir := t.TempDir()
	image := filepath.Join(dir, "disk.img")
	command(t, "truncate", "-s", "192M", image)
	command(t, "mkfs.ext4", "-q", image)
	live := mount(t, image, filepath.Join(dir, "live"))
	p := startProcess(t, filepath.Join(live, "data"), "127.0.0.1:0")
	defer func() { p.kill() }()
	admin, err := kgo.NewClient(kgo.SeedBrokers(p.addr))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	limit, segment := "8000000", "1048576" // the image is small
	createTopic(t, admin, "killed", killPartitions, map[string]*string{"segment.bytes": &segment, "retention.bytes": &limit})

	w := &world{t: t, acked: map[string]bool{}, committed: map[int32]int64{}}
	at := &acked{offsets: map[string]place{}}
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 3 {
		clients.Go(func() { at.produce(ctx, t, p.addr, i) })
	}
	clients.Go(func() { w.consume(ctx, p.addr) })
	defer clients.Wait()
	defer cancel()
	for i := range kills(5, 20) {
		time.Sleep(400 * time.Millisecond) // somewhere in the middle of its work
		want := at.snapshot()
		w.mu.Lock()
		commits := maps.Clone(w.committed)
		w.mu.Unlock()
		copied := filepath.Join(dir, "copy.img")
		pause(t, p, func() { copyFile(t, image, copied) })
		checkCopy(t, copied, filepath.Join(dir, fmt.Sprint("copy", i)), want, commits)
	}
}

// place is where a record was acknowledged.
type place struct {
	partition int32
	offset    int64
}

type acked struct {
	mu      sync.Mutex
	offsets map[string]place
}

func (a *acked) snapshot() map[string]place {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.offsets)
}

func (a *acked) produce(ctx context.Context, t *testing.T, addr string, id int) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.DefaultProduceTopic("killed"), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.NoCompression())) // what is large is to be large on the disk
	if err != nil {
		t.Error(err)
		return
	}
	defer cl.Close()
	for i := 0; ctx.Err() == nil; i++ {
		size := 500
		if i%10 == 0 {
			size = 200_000
		}
		name := fmt.Sprintf("%d-%d", id, i)
		r := &kgo.Record{Key: []byte(name), Value: make([]byte, size)}
		if cl.ProduceSync(ctx, r).FirstErr() == nil {
			a.mu.Lock()
			a.offsets[name] = place{r.Partition, r.Offset}
			a.mu.Unlock()
		}
	}
}

// pause stops the broker while fn runs: what fn sees of its disk is a moment.
func pause(t *testing.T, p *process, fn func()) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }()
	fn()
}

func checkCopy(t *testing.T, image, dir string, want map[string]place, commits map[int32]int64) {
	t.Helper()
	mounted := mount(t, image, dir)
	defer unmount(mounted)
	r := start(t, broker.Config{DataDir: filepath.Join(mounted, "data")})
	defer r.stop()
	cl := r.client(t)
	adm := kadm.NewClient(cl)
	starts, err := adm.ListStartOffsets(t.Context(), "killed")
	if err != nil {
		t.Fatal(err)
	}
	ends, err := adm.ListEndOffsets(t.Context(), "killed")
	if err != nil {
		t.Fatal(err)
	}
	from := map[string]map[int32]kgo.Offset{"killed": {}}
	total := 0
	starts.Each(func(o kadm.ListedOffset) {
		from["killed"][o.Partition] = kgo.NewOffset().At(o.Offset)
		total += int(ends["killed"][o.Partition].Offset - o.Offset)
	})
	there := map[string]place{}
	for _, rec := range consume(t, r.client(t, kgo.ConsumePartitions(from)), total) {
		there[string(rec.Key)] = place{rec.Partition, rec.Offset}
	}
	lost := 0
	for name, at := range want {
		if at.offset >= starts["killed"][at.partition].Offset && there[name] != at {
			lost++
			t.Errorf("%s was acknowledged at %v, is at %v", name, at, there[name])
		}
		if lost > 5 {
			break
		}
	}
	got, err := adm.FetchOffsets(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	for partition, o := range commits {
		if have, ok := got.Lookup("killed", partition); !ok || have.At < o {
			t.Errorf("partition %d: %d was committed, %d is there", partition, o, have.At)
		}
	}
	t.Logf("%d acknowledged, %d read, commits %v", len(want), total, commits)
}

func command(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIPPED: %s is not there", name)
	}
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func mount(t *testing.T, image, dir string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: no loop mount here: %v\n%s", err, out)
	}
	t.Cleanup(func() { unmount(dir) })
	return dir
}

func unmount(dir string) { _ = exec.Command("umount", "-l", dir).Run() }

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
}
