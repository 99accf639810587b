package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/suricata"
)

// fakeLog keeps what is appended. With fail set it refuses first.
type fakeLog struct {
	mu      sync.Mutex
	fail    int
	origins map[string]int
	records []record
	onBatch func(n int)
}

type record struct{ origin, capture, value string }

func (l *fakeLog) Append(ctx context.Context, rs ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail > 0 {
		l.fail--
		return errors.New("the log is away")
	}
	if l.origins == nil {
		l.origins = map[string]int{}
	}
	for _, r := range rs {
		o := bus.Value(r, event.HeaderOrigin)
		r.Offset = int64(len(l.records))
		l.origins[o]++
		l.records = append(l.records, record{o, bus.Value(r, event.HeaderCapture), string(r.Value)})
	}
	if l.onBatch != nil {
		l.onBatch(len(l.records))
	}
	return ctx.Err()
}

func needEngine(t *testing.T) {
	t.Helper()
	if _, err := suricata.Find(t.Context()); err != nil {
		t.Skipf("SKIPPED: needs Suricata 7 (apt-get install suricata): %v", err)
	}
}

func corpora(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DECODER_CORPORA")
	if dir == "" {
		t.Skip("SKIPPED: needs the corpora; set DECODER_CORPORA to the folder they are unpacked in")
	}
	return dir
}

func newReplayer(t *testing.T, dir string, log bus.Appender) *Replayer {
	t.Helper()
	classification, reference := suricata.DefaultFiles()
	r, err := New(
		Options{Dir: dir, Topic: "suricata_ingest"},
		Deps{Log: log, Rules: func() (suricata.RuleSet, error) {
			return suricata.RuleSet{Classification: classification, Reference: reference}, nil
		}},
	)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs the replayer until the test or stop ends it.
func start(t *testing.T, r *Replayer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func submit(t *testing.T, r *Replayer, q Request) string {
	t.Helper()
	id, err := r.Submit(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wait(t *testing.T, r *Replayer, id string) Job {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	j, err := r.Wait(ctx, id, nil)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

type expectation struct{ events, alerts string }

func expected(t *testing.T, path string) map[string]expectation {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]expectation{}
	for s := bufio.NewScanner(f); s.Scan(); {
		c := strings.Split(s.Text(), "\t")
		if len(c) >= 4 && c[0] != "pcap" {
			out[c[0]] = expectation{c[1], c[3]}
		}
	}
	return out
}

func list(counts map[string]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, fmt.Sprintf("%s=%d", k, counts[k]))
	}
	return strings.Join(out, ";")
}

func TestCapturesGiveTheExpectedEventsAndAlerts(t *testing.T) {
	needEngine(t)
	dir := corpora(t)
	want := expected(t, filepath.Join(dir, "pcap", "EXPECTED-suricata-7.0.10.tsv"))
	if len(want) != 45 {
		t.Fatalf("%d captures are expected, want 45", len(want))
	}
	var paths []string
	for name := range want {
		paths = append(paths, filepath.Join(dir, "pcap", name)) // in any order
	}
	log := &fakeLog{fail: 1}
	r := newReplayer(t, t.TempDir(), log)
	start(t, r)
	id := submit(t, r, Request{
		Paths: paths,
		Rules: []string{filepath.Join(dir, "rules", "et-open-composite-2025-08.rules.gz")},
	})
	j := wait(t, r, id)
	if j.Error != "" || j.Failed() != 0 {
		t.Errorf("job: %s, %d failed", j.Error, j.Failed())
	}
	if j.Rules.Loaded < 36000 || j.Rules.Failed != 0 {
		t.Errorf("rules: %+v", j.Rules)
	}
	lines := 0
	for _, c := range j.Captures {
		if got := (expectation{list(c.Events), list(c.Alerts)}); got != want[c.Name] {
			t.Errorf("%s:\n got %v\nwant %v", c.Name, got, want[c.Name])
		}
		if c.Packets == 0 {
			t.Errorf("%s: no packets", c.Name)
		}
		for _, n := range c.Events {
			lines += n
		}
	}
	if len(log.records) != lines || len(log.origins) != lines {
		t.Errorf("%d records with %d origins, want %d", len(log.records), len(log.origins), lines)
	}
	if j.Ends[0] != int64(lines) {
		t.Errorf("job ends at offset %d, want %d", j.Ends[0], lines)
	}
	left, err := filepath.Glob(filepath.Join(r.jobDir(id), "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("left in the job's folder: %v, %v", left, err)
	}
}

// rulesFile writes a rule that alerts on every DNS request.
func rulesFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "own.rules")
	rule := `alert udp any any -> any any (msg:"UDP seen"; sid:1000900; rev:1;)` + "\n"
	if err := os.WriteFile(path, []byte(rule), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestUnreadableCapturesAreNamedAndTheRestGoesOn(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	whole := writePcap(t, filepath.Join(dir, "whole.pcap"), 1, 5)
	write(t, filepath.Join(dir, "truncated.pcap"), whole[:len(whole)-7])
	write(t, filepath.Join(dir, "text.pcap"), []byte("this is no capture"))
	write(t, filepath.Join(dir, "empty.pcap"), nil)
	writePcap(t, filepath.Join(dir, "radio.pcap"), 127, 5)
	writePcap(t, filepath.Join(dir, "silent.pcap"), 1, 0)
	write(t, filepath.Join(dir, "notes.txt"), []byte("not meant"))
	write(t, filepath.Join(dir, "packed.pcap.gz"), packed(t, whole))
	write(t, filepath.Join(dir, "sub", "unnamed"), whole)
	write(t, filepath.Join(dir, "whole.pcapng"), pcapng(5))
	write(t, filepath.Join(dir, "cooked.pcap"), cooked(5))
	write(t, filepath.Join(dir, "cooked.pcap.gz"), packed(t, cooked(6)))

	log := &fakeLog{}
	r := newReplayer(t, t.TempDir(), log)
	start(t, r)
	j := wait(t, r, submit(t, r, Request{Paths: []string{dir, filepath.Join(dir, "missing.pcap")}, Rules: []string{rulesFile(t)}}))

	type result struct {
		packets int64
		alerts  int
		err     string
	}
	want := map[string]result{
		"whole.pcap":     {5, 5, ""},
		"whole.pcapng":   {5, 5, ""},
		"packed.pcap.gz": {5, 5, ""},
		"cooked.pcap":    {5, 5, ""},
		"cooked.pcap.gz": {6, 6, ""},
		"sub/unnamed":    {5, 5, ""},
		"silent.pcap":    {0, 0, ""},
		"truncated.pcap": {4, 4, "truncated after 4 packets"},
		"text.pcap":      {0, 0, "not a capture: neither pcap nor pcapng"},
		"empty.pcap":     {0, 0, "the file is empty"},
		"radio.pcap":     {0, 0, "Suricata does not read link type 127 (IEEE 802.11 with radiotap)"},
		"missing.pcap":   {0, 0, "no such file or directory"},
	}
	if len(j.Captures) != len(want) {
		t.Errorf("%d captures, want %d", len(j.Captures), len(want))
	}
	for _, c := range j.Captures {
		if got := (result{c.Packets, c.Alerts["1000900"], c.Error}); got != want[c.Name] {
			t.Errorf("%s: got %+v, want %+v", c.Name, got, want[c.Name])
		}
	}
	if j.Failed() != 5 {
		t.Errorf("%d failed, want 5", j.Failed())
	}
}

func TestACrashOfTheEngineCostsOneCaptureOnly(t *testing.T) {
	dir := t.TempDir()
	writePcap(t, filepath.Join(dir, "a.pcap"), 1, 3)
	writePcap(t, filepath.Join(dir, "crash.pcap"), 1, 4)
	writePcap(t, filepath.Join(dir, "z.pcap"), 1, 5)

	r := newReplayer(t, t.TempDir(), &fakeLog{})
	r.workers.find = fakeEngine(t)
	start(t, r)
	j := wait(t, r, submit(t, r, Request{Paths: []string{dir}, Rules: []string{rulesFile(t)}}))
	for _, c := range j.Captures {
		crashed := c.Error == "suricata ended while reading the capture: ended by signal 9 (killed)"
		if crashed != (c.Name == "crash.pcap") || crashed == (c.Alerts["1000900"] > 0) {
			t.Errorf("%s: %+v", c.Name, c)
		}
	}
}

func TestAJobSurvivesTheEndOfTheProgram(t *testing.T) {
	needEngine(t)
	captures, data := t.TempDir(), t.TempDir()
	for i := range 6 {
		writePcap(t, filepath.Join(captures, fmt.Sprintf("%d.pcap", i)), 1, 20+i)
	}
	log := &fakeLog{}
	r := newReplayer(t, data, log)
	halfway := make(chan struct{})
	var once sync.Once
	log.onBatch = func(n int) {
		if n > 60 {
			once.Do(func() { close(halfway) })
		}
	}
	stop := start(t, r)
	id := submit(t, r, Request{Paths: []string{captures}, Rules: []string{rulesFile(t)}})
	<-halfway
	stop()

	again := newReplayer(t, data, log)
	before, err := again.Get(id)
	if err != nil || before.State == Done {
		t.Fatalf("the job is not there to be finished: %+v, %v", before.State, err)
	}
	start(t, again)
	j := wait(t, again, id)
	want := 0
	for i, c := range j.Captures {
		if c.Alerts["1000900"] != 20+i || c.Error != "" {
			t.Errorf("%s: %+v", c.Name, c)
		}
		for _, n := range c.Events {
			want += n
		}
	}
	if len(log.origins) != want {
		t.Errorf("%d distinct origins, want %d", len(log.origins), want)
	}
}

// The engine orders and marks its lines differently each time: fed again, a
// line would come under the id of another one.
func TestReplayingTwiceAppendsOnce(t *testing.T) {
	needEngine(t)
	path := filepath.Join(t.TempDir(), "x.pcap")
	writePcap(t, path, 1, 9)
	log := &fakeLog{}
	r := newReplayer(t, t.TempDir(), log)
	start(t, r)
	q := Request{Paths: []string{path}, Rules: []string{rulesFile(t)}}
	first := wait(t, r, submit(t, r, q))
	once := len(log.records)
	second := wait(t, r, submit(t, r, q))
	if len(log.records) != once || len(log.origins) != once || once == 0 {
		t.Errorf("%d records, then %d, with %d origins", once, len(log.records), len(log.origins))
	}
	if d := cmp.Diff(first.Captures, second.Captures); d != "" {
		t.Error(d)
	}
	for _, rec := range log.records {
		if rec.capture != "x.pcap" || !strings.HasPrefix(rec.origin, "suricata:capture-") {
			t.Fatalf("record: %+v", rec)
		}
	}
}

func TestACancelledJobEndsAndTheNextIsDone(t *testing.T) {
	dir := t.TempDir()
	writePcap(t, filepath.Join(dir, "a.pcap"), 1, 3)
	writePcap(t, filepath.Join(dir, "b.pcap"), 1, 4)
	log := &fakeLog{fail: 1 << 30}
	r := newReplayer(t, t.TempDir(), log)
	r.workers.find = fakeEngine(t)
	first := submit(t, r, Request{Paths: []string{dir}, Rules: []string{rulesFile(t)}})
	waiting := submit(t, r, Request{Paths: []string{dir}, Rules: []string{rulesFile(t)}})
	last := submit(t, r, Request{Paths: []string{dir}, Rules: []string{rulesFile(t)}})
	start(t, r)
	if _, err := r.Wait(t.Context(), first, func(j Job) {
		if j.State == Running && j.Captures[1].State == Running { // held up by the log
			if err := errors.Join(r.Cancel(first), r.Cancel(waiting)); err != nil {
				t.Error(err)
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	log.mu.Lock()
	log.fail = 0
	log.mu.Unlock()
	for _, id := range []string{first, waiting} {
		if j := wait(t, r, id); j.Error != errCancelled.Error() || j.Captures[1].Error != "not replayed" {
			t.Errorf("cancelled: %+v", j)
		}
	}
	if j := wait(t, r, last); j.Error != "" || j.Failed() != 0 || len(log.origins) != 7 {
		t.Errorf("the next job: %+v, %d records", j, len(log.origins))
	}
	if err := r.Cancel("none"); !errors.Is(err, ErrUnknownJob) {
		t.Errorf("cancelling none: %v", err)
	}
}

func TestCaptureWhoseEventsAreGoneIsReplayedUnderNewOrigins(t *testing.T) {
	needEngine(t)
	path := filepath.Join(t.TempDir(), "x.pcap")
	writePcap(t, path, 1, 9)
	log := &fakeLog{}
	r := newReplayer(t, t.TempDir(), log)
	r.deps.Kept = func(context.Context, string) (bool, error) { return false, nil }
	start(t, r)
	q := Request{Paths: []string{path}, Rules: []string{rulesFile(t)}}
	wait(t, r, submit(t, r, q))
	once := len(log.records)
	wait(t, r, submit(t, r, q))
	if len(log.records) != 2*once || len(log.origins) != 2*once || once == 0 {
		t.Errorf("%d records, then %d, with %d origins", once, len(log.records), len(log.origins))
	}
}

func TestACaptureCancelledHalfwayIsFedAnewUnderOtherOrigins(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcap")
	writePcap(t, path, 1, 5000) // more than one batch
	log := &fakeLog{}
	begun := make(chan struct{})
	log.onBatch = func(int) {
		log.fail, log.onBatch = 1<<30, nil
		close(begun)
	}
	r := newReplayer(t, t.TempDir(), log)
	r.workers.find = fakeEngine(t)
	start(t, r)
	q := Request{Paths: []string{path}, Rules: []string{rulesFile(t)}}
	id := submit(t, r, q)
	<-begun
	if err := r.Cancel(id); err != nil {
		t.Fatal(err)
	}
	wait(t, r, id)
	log.mu.Lock()
	part := len(log.origins)
	log.fail = 0
	log.mu.Unlock()
	if j := wait(t, r, submit(t, r, q)); j.Failed() != 0 || part == 0 || len(log.origins) != part+5000 {
		t.Errorf("%d origins, then %d: %+v", part, len(log.origins), j)
	}
}

func TestAFullDiskIsSaidAndNothingIsFed(t *testing.T) {
	dir := t.TempDir()
	writePcap(t, filepath.Join(dir, "a.pcap"), 1, 3)
	write(t, filepath.Join(dir, "b.pcap.gz"), packed(t, pcap(1, 3)))
	log := &fakeLog{}
	r := newReplayer(t, t.TempDir(), log)
	r.opts.MinFree = 1 << 60
	r.workers.find = fakeEngine(t)
	start(t, r)
	j := wait(t, r, submit(t, r, Request{Paths: []string{dir}, Rules: []string{rulesFile(t)}}))
	for i, want := range []string{"disk is full", errTooLarge.Error()} {
		if !strings.Contains(j.Captures[i].Error, want) {
			t.Errorf("%s: %q", j.Captures[i].Name, j.Captures[i].Error)
		}
	}
	if len(log.origins) != 0 {
		t.Errorf("%d records were fed", len(log.origins))
	}
}

func TestANewerJobIsRefusedWithASentence(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "jobs", "x", "job.json"), []byte(`{"version":99,"id":"x"}`))
	_, err := newReplayer(t, dir, &fakeLog{}).List()
	if err == nil || !strings.Contains(err.Error(), "written by a newer program") {
		t.Errorf("got %v", err)
	}
}

func TestATornJobFileOfASubmitLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "jobs", "x.new", "job.json"), []byte(`{"vers`))
	jobs, err := newReplayer(t, dir, &fakeLog{}).List()
	if err != nil || len(jobs) != 0 {
		t.Errorf("got %v, %v", jobs, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "jobs", "x.new")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the torn job is still there: %v", err)
	}
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestRulesThatDoNotLoadEndTheJob(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	rules, capture := filepath.Join(dir, "own.rules"), filepath.Join(dir, "a.pcap")
	write(t, rules, []byte("alert http any any -> ((\n"))
	writePcap(t, capture, 1, 5)
	r := newReplayer(t, t.TempDir(), &fakeLog{})
	start(t, r)
	for range 2 { // the second finds the worker warm
		j := wait(t, r, submit(t, r, Request{Paths: []string{capture}, Rules: []string{rules}}))
		if !strings.Contains(j.Error, "none of the 1") {
			t.Errorf("job: %q, rules %+v", j.Error, j.Rules)
		}
	}
}

func TestRefusedRulesAreCountedAndNamed(t *testing.T) {
	needEngine(t)
	dir := t.TempDir()
	capture, rules := filepath.Join(dir, "a.pcap"), filepath.Join(dir, "own.rules")
	writePcap(t, capture, 1, 5)
	write(t, rules, []byte(`alert udp any any -> any any (msg:"UDP seen"; sid:1000900; rev:1;)
alert tls any any -> any any (msg:"misspelt"; contents:"x"; sid:1000901;)
alert http any any -> ((
`))
	r := newReplayer(t, t.TempDir(), &fakeLog{})
	start(t, r)
	want := Loading{Loaded: 1, Failed: 2, Reasons: []string{
		"own.rules:2: unknown rule keyword 'contents'", "own.rules:3: no rule options",
	}}
	for range 2 { // the second time no engine is asked
		j := wait(t, r, submit(t, r, Request{Paths: []string{capture}, Rules: []string{rules}}))
		if d := cmp.Diff(want, j.Rules.Loading); d != "" || !j.Rules.Own || j.Captures[0].Alerts["1000900"] != 5 {
			t.Errorf("%+v\n%s", j.Captures[0], d)
		}
	}
}

func TestADamagedFolderOfAReadCaptureIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.pcap")
	writePcap(t, path, 1, 3)
	log := &fakeLog{}
	r := newReplayer(t, t.TempDir(), log)
	r.workers.find = fakeEngine(t)
	id := submit(t, r, Request{Paths: []string{path}, Rules: []string{rulesFile(t)}})
	write(t, filepath.Join(r.captureDir(id, 0, "done"), "meta.json"), nil) // a disk that lied about a sync
	start(t, r)
	if j := wait(t, r, id); j.Error != "" || j.Failed() != 0 || len(log.origins) != 3 {
		t.Errorf("%d records, %+v", len(log.origins), j)
	}
}
