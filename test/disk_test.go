package test

import (
	"bufio"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
)

// The small disk of the test below, and how it is shared out: the budget is the
// least there may be, two fifths of it the log's.
const (
	smallDisk   = 640 << 20
	diskBudget  = 256 << 20
	diskFree    = 40 << 20
	logShare    = diskBudget / 5 * 2
	storeShare  = diskBudget / 5 * 3
	perBucket   = 500
	diskBuckets = 340 // of lines of about 4.7 KiB: three times the budget
)

// mountSmall mounts a file system of its own, or skips the test.
func mountSmall(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("decoder-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallDisk)); err != nil {
		t.Skipf("SKIPPED: needs the right to mount a small file system (run as root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", dir, err)
		}
	})
	return dir
}

// diskLine is a line of an EVE file. Its filler is one of a few: short enough
// apart for the store to compress, too far apart for a producer.
type diskLine struct{ fillers []string }

func newDiskLine() diskLine {
	var l diskLine
	random := rand.New(rand.NewPCG(1, 2))
	for range 24 {
		b := make([]byte, 2048)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		l.fillers = append(l.fillers, hex.EncodeToString(b))
	}
	return l
}

func (l diskLine) at(n int) string {
	line := strings.Replace(fresh(dnsLine), "needle.example", fmt.Sprintf("n%d.b%d.example", n, n/perBucket), 1)
	return strings.Replace(line, `"dns":{`, `"dns":{"filler":"`+l.fillers[n%len(l.fillers)]+`",`, 1)
}

// saslClient is a Kafka client of the instance's log.
func saslClient(t *testing.T, data string, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(data, "client.properties"))
	if err != nil {
		t.Fatal(err)
	}
	p := map[string]string{}
	for line := range strings.Lines(string(text)) {
		k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
		p[k] = v
	}
	auth := scram.Auth{User: p["sasl.username"], Pass: p["sasl.password"]}
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(p["bootstrap.servers"]), kgo.SASL(auth.AsSha256Mechanism()),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RequiredAcks(kgo.AllISRAcks()),
	}, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// usage is the most that folders took.
type usage struct{ log, store, all atomic.Int64 }

func (u *usage) measure(data string) {
	sizes := map[string]int64{}
	_ = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it is gone meanwhile
		}
		if info, err := d.Info(); err == nil {
			rel, _ := filepath.Rel(data, path)
			top, _, _ := strings.Cut(rel, string(filepath.Separator))
			n := info.Sys().(*syscall.Stat_t).Blocks * 512
			sizes[top] += n
			sizes[""] += n
		}
		return nil
	})
	for name, most := range map[string]*atomic.Int64{"log": &u.log, "store": &u.store, "": &u.all} {
		if sizes[name] > most.Load() {
			most.Store(sizes[name])
		}
	}
}

// every calls fn again and again until the test ends or stop is called.
func every(t *testing.T, d time.Duration, fn func()) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(d)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				fn()
			}
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// TestSmallBudgetAndFullDiskLoseNothing takes in three times the disk budget,
// by a tailed file and from a Kafka producer, and has another program fill the
// disk in between. Nothing acknowledged may be lost or be there twice, the
// budget holds, who sends is told, the worker lives, and search answers.
func TestSmallBudgetAndFullDiskLoseNothing(t *testing.T) {
	need(t, "kcat")
	disk := mountSmall(t)
	data, outside := filepath.Join(disk, "data"), t.TempDir()
	eve := filepath.Join(outside, "eve.json")
	conf := writeFile(t, outside, "decoder.yml", fmt.Sprintf(
		"sensor:\n  capture: false\n  eve: [%s]\ndisk:\n  budget: %dMiB\n  free: %dMiB\n", eve, diskBudget>>20, diskFree>>20))
	i := up(t, data, "--config", conf)
	ask, err := control.Dial(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	defer ask.Close()
	before, err := ask.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	var most usage
	every(t, 200*time.Millisecond, func() { most.measure(data) })
	var searched, last atomic.Uint64
	endSearch := every(t, 300*time.Millisecond, func() {
		n, err := ask.Count(context.Background(), api.Question{Q: "event.module:suricata"})
		if err != nil || n < last.Load() {
			t.Errorf("search finds %d after %d: %v", n, last.Load(), err)
		}
		last.Store(n)
		searched.Add(1)
	})

	// The even lines come by the file, the odd ones from the producer.
	const lines = perBucket * diskBuckets
	l := newDiskLine()
	began := time.Now()
	wrote := make(chan error, 1)
	go func() { wrote <- writeEve(eve, l, lines) }()
	producer := saslClient(t, data, kgo.MaxBufferedBytes(16<<20))
	var acked, failed atomic.Int64
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		for n := 1; n < lines; n += 2 {
			producer.Produce(context.Background(), &kgo.Record{Topic: "suricata_ingest", Value: []byte(l.at(n))}, func(_ *kgo.Record, err error) {
				if err != nil {
					failed.Add(1)
					return
				}
				acked.Add(1)
			})
		}
		_ = producer.Flush(context.Background())
	}()

	await(t, "a third to be searchable", func() bool { return last.Load() > lines/3 })
	t.Logf("%s: %d of %d lines are searchable", time.Since(began).Round(time.Second), last.Load(), lines)
	clearDisk := fillDisk(t, disk)
	full := time.Now()
	await(t, "the refusal in the log of decoder up", func() bool { return strings.Contains(i.written(), `reason="free disk space is below the limit`) })
	once := saslClient(t, data, kgo.RecordRetries(0), kgo.DisableIdempotentWrite())
	err = once.ProduceSync(t.Context(), &kgo.Record{Topic: "suricata_ingest", Value: []byte("{}")}).FirstErr()
	if !errors.Is(err, kerr.KafkaStorageError) {
		t.Errorf("a producer on a full disk is told %v", err)
	}
	patient := exec.CommandContext(t.Context(), "kcat", "-F", filepath.Join(data, "client.properties"), "-P", "-t", "suricata_ingest")
	patient.Stdin = strings.NewReader(strings.Replace(fresh(dnsLine), "needle", "patient", 1) + "\n")
	if err := patient.Start(); err != nil {
		t.Fatal(err)
	}
	health, err := ask.Health(t.Context())
	if err != nil || !strings.Contains(fmt.Sprint(health.Components), "MiB are wanted") {
		t.Errorf("health says %v, %v", health.Components, err)
	}
	if r := decoder(t, data, "groups"); !strings.Contains(r.stderr, "intake is refused") {
		t.Errorf("decoder groups says %s%s", r.out, r.stderr)
	}
	await(t, "the alert", func() bool { return strings.Contains(must(t, data, "alerts", "--json"), "The disk is full") })
	t.Logf("%s after the disk was full: alert; %s", time.Since(full).Round(time.Second), must(t, data, "search", "--count", "event.module:suricata"))
	clearDisk()

	if err := <-wrote; err != nil {
		t.Fatal(err)
	}
	<-sent
	if err := patient.Wait(); err != nil {
		t.Errorf("kcat did not wait for room: %v", err)
	}
	if failed.Load() > 0 || acked.Load() != lines/2 {
		t.Errorf("%d records were acknowledged, %d failed, of %d", acked.Load(), failed.Load(), lines/2)
	}
	await(t, "every line", func() bool { return last.Load() > lines })
	t.Logf("%s: all %d lines are searchable; the most of log %d MiB, store %d MiB, all %d MiB; searched %d times", time.Since(began).Round(time.Second),
		lines, most.log.Load()>>20, most.store.Load()>>20, most.all.Load()>>20, searched.Load())
	endSearch()
	found, err := ask.Facet(t.Context(), api.FacetQuestion{Field: "dns.question.registered_domain", Limit: 1000, Question: api.Question{Q: "dns.question.name:*.example"}})
	if err != nil {
		t.Fatal(err)
	}
	buckets := map[string]uint64{}
	for _, b := range found {
		buckets[b.Value] = b.Count
	}
	for n := range diskBuckets {
		if name := fmt.Sprintf("b%d.example", n); buckets[name] != perBucket {
			t.Errorf("of the %d lines of %s, %d are found", perBucket, name, buckets[name])
		}
	}
	if n := count(t, data, "dns.question.name:patient.example"); n != 1 {
		t.Errorf("the line that waited is there %d times", n)
	}
	if letters := must(t, data, "dead", "list", "--json"); letters != "" {
		t.Errorf("there are dead letters: %.1000s", letters)
	}
	if after, err := ask.Version(t.Context()); err != nil || after.PID != before.PID {
		t.Errorf("the worker died: process %d, then %d, %v", before.PID, after.PID, err)
	}
	// Beside the topics lie the journal, and segments not yet read to their end;
	// the store's merges write anew before they remove.
	if n := most.log.Load(); n > logShare*3/2 {
		t.Errorf("the log took %d MiB of its %d", n>>20, logShare>>20)
	}
	if n := most.store.Load(); n > storeShare*3/2 {
		t.Errorf("the store took %d MiB of its %d", n>>20, storeShare>>20)
	}
	i.terminate(t)
}

// writeEve writes the even lines.
func writeEve(path string, l diskLine, lines int) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for n := 0; n < lines; n += 2 {
		if _, err := io.WriteString(w, l.at(n)+"\n"); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return errors.Join(w.Flush(), f.Close())
}

// fillDisk writes a file until nothing more fits, about as fast against this
// small disk's limits as a disk of the day is against the default ones; clear
// removes it.
func fillDisk(t *testing.T, disk string) (clear func()) {
	t.Helper()
	path := filepath.Join(disk, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(block)
		<-time.After(5 * time.Millisecond)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}
