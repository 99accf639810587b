package broker_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/broker/storage"
	"github.com/decodersring/decoder/internal/obs"
)

// to is a client of a broker in a process of its own.
func (p *process) to(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(p.addr))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func TestAutoCreatedTopicSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, loopback)
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = true
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new("json_ingest")
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), p.to(t))
	p.kill() // as soon as it was answered
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%v, %v", err, kerr.ErrorForCode(resp.Topics[0].ErrorCode))
	}
	p = startProcess(t, dir, loopback)
	defer p.kill()
	got, err := kadm.NewClient(p.to(t)).ListTopics(t.Context(), "json_ingest")
	if err != nil || got.Error() != nil || got["json_ingest"].ID != resp.Topics[0].TopicID || len(got["json_ingest"].Partitions) != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func commit(t *testing.T, cl *kgo.Client, group, topic string, at int64) {
	t.Helper()
	o := kadm.Offsets{}
	o.AddOffset(topic, 0, at, -1)
	if r, err := kadm.NewClient(cl).CommitOffsets(t.Context(), group, o); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
}

func TestWhatWasDeletedStaysDeletedAfterAKill(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, loopback)
	cl := p.to(t)
	adm := kadm.NewClient(cl)
	createTopic(t, cl, "events", 1, nil)
	produce(t, cl, "events", 0, 20)
	commit(t, cl, "gone", "events", 5)
	commit(t, cl, "stays", "events", 6)
	before := kadm.Offsets{}
	before.AddOffset("events", 0, 7, -1)
	if r, err := adm.DeleteRecords(t.Context(), before); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	if r, err := adm.DeleteGroups(t.Context(), "gone"); err != nil || r.Error() != nil {
		t.Fatal(err, r.Error())
	}
	p.kill()
	p = startProcess(t, dir, loopback)
	defer p.kill()
	adm = kadm.NewClient(p.to(t))
	if g, err := adm.ListGroups(t.Context()); err != nil || len(g) != 1 || g["stays"].Group != "stays" {
		t.Errorf("groups %+v, %v", g, err)
	}
	if o, err := adm.FetchOffsets(t.Context(), "gone"); err != nil || len(o) != 0 {
		t.Errorf("offsets of the deleted group: %+v, %v", o, err)
	}
	if o, err := adm.ListStartOffsets(t.Context(), "events"); err != nil || o["events"][0].Offset != 7 {
		t.Errorf("first offset %+v, %v", o, err)
	}
}

// The group's log ends in the middle of an entry, as a crash leaves it; what
// is committed behind that must be there after the next crash.
func TestCommitBehindATornEndSurvivesTheNextKill(t *testing.T) {
	dir := t.TempDir()
	p := startProcess(t, dir, loopback)
	cl := p.to(t)
	createTopic(t, cl, "events", 1, nil)
	commit(t, cl, "g", "events", 1)
	p.kill()
	logs, err := filepath.Glob(filepath.Join(dir, "topics/__consumer_offsets/0/*.log"))
	if err != nil || len(logs) == 0 {
		t.Fatalf("%v, %v", logs, err)
	}
	path := logs[len(logs)-1]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(b, b[:max(70, len(b)/2)]...), 0o600); err != nil {
		t.Fatal(err)
	}
	for at := int64(2); at < 5; at++ {
		p = startProcess(t, dir, loopback)
		commit(t, p.to(t), "g", "events", at)
		p.kill()
	}
	if err := os.Remove(filepath.Join(dir, "checkpoint.json")); err != nil { // all of it is read
		t.Fatal(err)
	}
	p = startProcess(t, dir, loopback)
	defer p.kill()
	got, err := kadm.NewClient(p.to(t)).FetchOffsets(t.Context(), "g")
	if o, ok := got.Lookup("events", 0); err != nil || !ok || o.At != 4 {
		t.Errorf("%+v, %v", got, err)
	}
}

// flakyDisk fails to sync what has the part in its name.
type flakyDisk struct {
	storage.OS
	part string
	ill  *atomic.Bool
}

type flakyFile struct {
	storage.File
	ill *atomic.Bool
}

func (f flakyFile) Sync() error {
	if f.ill.Load() {
		return syscall.EIO
	}
	return f.File.Sync()
}

func (d flakyDisk) OpenFile(name string, flag int, perm os.FileMode) (storage.File, error) {
	f, err := d.OS.OpenFile(name, flag, perm)
	if err == nil && strings.Contains(name, d.part) {
		f = flakyFile{f, d.ill}
	}
	return f, err
}

func (r *running) awaitHealth(t *testing.T, want obs.Level, text string) {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		all := r.health.All()
		if len(all) == 1 && all[0].Level == want && strings.Contains(all[0].Message, text) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("health is %+v, not %v", all, want)
		case <-time.After(time.Millisecond):
		}
	}
}

func TestHealthTellsOfADiskThatFailsAndThatItIsWell(t *testing.T) {
	for part, want := range map[string]struct {
		level obs.Level
		text  string
	}{
		"/journal/": {obs.Degraded, "journal"},
		"/topics/":  {obs.Failed, "offline"},
	} {
		disk := flakyDisk{part: part, ill: &atomic.Bool{}}
		r := start(t, broker.Config{Storage: storage.Options{FS: disk, Reopen: 10 * time.Millisecond, JournalMaxBatch: 1000}})
		cl := r.client(t, kgo.ProducerBatchCompression(kgo.NoCompression()))
		createTopic(t, cl, "events", 1, nil)
		disk.ill.Store(true)
		done := make(chan error, 1)
		go func() { // a large one for the segment, a small one for the journal
			done <- cl.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: make([]byte, 5000)}).FirstErr()
			done <- cl.ProduceSync(t.Context(), &kgo.Record{Topic: "events", Value: []byte("v")}).FirstErr()
		}()
		r.awaitHealth(t, want.level, want.text)
		if want.level == obs.Failed && len(done) > 0 {
			t.Errorf("%s: acknowledged though its sync failed, %v", part, <-done)
			done <- nil
		}
		disk.ill.Store(false)
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", part, err)
			}
		}
		r.awaitHealth(t, obs.OK, "")
		if n := len(consume(t, r.client(t, kgo.ConsumeTopics("events")), 2)); n != 2 {
			t.Errorf("%s: %d records", part, n)
		}
	}
}
