package tail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/source/batch"
)

// fakeLog keeps what is appended, once per origin, and tells who waits.
type fakeLog struct {
	mu      sync.Mutex
	away    bool
	largest int // values over it are refused for good; 0 is no limit
	order   []string
	values  map[string]string // by origin
	twice   int
	changed chan struct{}
}

func newLog() *fakeLog { return &fakeLog{values: map[string]string{}, changed: make(chan struct{})} }

func (l *fakeLog) Append(ctx context.Context, rs ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.away {
		return errors.New("the log is away")
	}
	for _, r := range rs {
		if l.largest > 0 && len(r.Value) > l.largest {
			return fault.NewPermanent("message_too_large", errors.New("too large"))
		}
	}
	for _, r := range rs {
		o := bus.Value(r, event.HeaderOrigin)
		if before, seen := l.values[o]; seen {
			l.twice++
			if before != string(r.Value) {
				return fmt.Errorf("origin %s stands for two lines", o)
			}
			continue
		}
		l.values[o] = string(r.Value)
		l.order = append(l.order, o)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	return ctx.Err()
}

func (l *fakeLog) LastOrigin(_ context.Context, _, _, prefix string) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, v := range slices.Backward(l.order) {
		if strings.HasPrefix(v, prefix) {
			return v, nil
		}
	}
	return "", nil
}

func (l *fakeLog) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, len(l.order))
	for i, o := range l.order {
		out[i] = l.values[o]
	}
	return out
}

// await waits until the log holds n lines and returns them.
func (l *fakeLog) await(t *testing.T, n int) []string {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		l.mu.Lock()
		have, changed := len(l.order), l.changed
		l.mu.Unlock()
		if have >= n {
			return l.lines()
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%d lines are on the log, want %d: %.200q", have, n, l.lines())
		}
	}
}

func (l *fakeLog) setAway(away bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.away = away
}

type rig struct {
	dir, path string
	log       *fakeLog
	opts      Options
	tail      *Tail
	stop      func()
}

func newRig(t *testing.T) *rig {
	dir := t.TempDir()
	r := &rig{dir: dir, path: filepath.Join(dir, "logs", "eve.json"), log: newLog()}
	if err := os.Mkdir(filepath.Join(dir, "logs"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.opts = Options{
		Component: "test", Path: r.path, Bookmark: filepath.Join(dir, "bookmark.json"),
		Prefix: "suricata:eve", Topic: "suricata_ingest", Key: "sensor", SettleFor: 50 * time.Millisecond,
	}
	return r
}

func (r *rig) start(t *testing.T) {
	t.Helper()
	tail, err := New(r.opts, Deps{Log: r.log, Origins: r.log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- tail.Run(ctx) }()
	r.tail = tail
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(r.stop)
}

func (r *rig) sync(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.tail.Sync(ctx); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func numbered(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, `{"timestamp":"2026-01-01T00:00:00.%06d+0000","n":%d}`+"\n", i, i)
	}
	return b.String()
}

// want checks that the log holds exactly the numbered lines, in order.
func (r *rig) want(t *testing.T, n int) {
	t.Helper()
	got := strings.Join(r.log.await(t, n), "\n") + "\n"
	if want := numbered(0, n); got != want {
		t.Errorf("lines on the log:\n%.3000s\nwant\n%.3000s", got, want)
	}
}

func TestLinesReachTheLogInOrderWhateverTheWritesAre(t *testing.T) {
	r := newRig(t)
	text := numbered(0, 3000)
	r.start(t)
	for len(text) > 0 {
		n := min(len(text), 1+len(text)/7)
		appendTo(t, r.path, text[:n])
		text = text[n:]
	}
	r.want(t, 3000)
}

func TestAPartialLastLineWaitsForItsEnd(t *testing.T) {
	r := newRig(t)
	line := numbered(0, 1)
	appendTo(t, r.path, line[:20])
	r.start(t)
	r.sync(t)
	if got := r.log.lines(); len(got) != 0 {
		t.Fatalf("half a line was appended: %q", got)
	}
	appendTo(t, r.path, line[20:])
	r.want(t, 1)
}

func TestARenamedFileIsReadToItsEnd(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 5))
	r.start(t)
	r.want(t, 5)
	if err := os.Rename(r.path, r.path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path+".1", numbered(5, 8)) // the writer has not noticed yet
	appendTo(t, r.path, numbered(8, 12))
	r.want(t, 12)
	r.stop()
	if r.log.twice != 0 {
		t.Errorf("%d lines were appended twice", r.log.twice)
	}
}

func TestRotationsWhileTheReaderIsAwayLoseNothing(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 5))
	r.start(t)
	r.want(t, 5)
	r.stop()
	appendTo(t, r.path, numbered(5, 8))
	for i, next := range []int{10, 15} {
		for n := i; n > 0; n-- {
			_ = os.Rename(fmt.Sprintf("%s.%d", r.path, n), fmt.Sprintf("%s.%d", r.path, n+1))
		}
		if err := os.Rename(r.path, r.path+".1"); err != nil {
			t.Fatal(err)
		}
		appendTo(t, r.path, numbered([]int{8, 10}[i], next))
	}
	r.start(t)
	r.want(t, 15)
	r.stop()
	if r.log.twice != 0 {
		t.Errorf("%d lines were appended twice", r.log.twice)
	}
}

func TestACopiedAndTruncatedFileIsReadFromItsCopy(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 50))
	r.start(t)
	r.want(t, 50)
	r.stop()
	appendTo(t, r.path, numbered(50, 60))
	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path+".1", string(b))
	if err := os.Truncate(r.path, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, numbered(60, 65))
	r.start(t)
	r.want(t, 65)
}

func TestABackupOfTheFileIsNotReadAgain(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 50))
	r.start(t)
	r.want(t, 50)
	b, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path+".bak", string(b))
	r.sync(t)
	appendTo(t, r.path, numbered(50, 51))
	r.want(t, 51)
}

func TestATruncatedFileIsReadFromItsStart(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 50))
	r.start(t)
	r.want(t, 50)
	if err := os.Truncate(r.path, 0); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, numbered(50, 53))
	r.want(t, 53)
	// And again with the very bytes it had: another file all the same.
	if err := os.Truncate(r.path, 0); err != nil {
		t.Fatal(err)
	}
	r.sync(t)
	appendTo(t, r.path, numbered(50, 53))
	if got := r.log.await(t, 56); len(got) != 56 {
		t.Errorf("%d lines, want 56", len(got))
	}
}

func TestFilesThatBeginAlikeAreToldApart(t *testing.T) {
	r := newRig(t)
	header := "#separator \\x09\n"
	appendTo(t, r.path, header)
	r.start(t)
	r.log.await(t, 1)
	appendTo(t, r.path, "a\nb\n")
	r.log.await(t, 3)
	if err := os.Rename(r.path, r.path+".1"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, header+"c\nd\n")
	r.log.await(t, 6)
	if err := os.Remove(r.path + ".1"); err != nil {
		t.Fatal(err)
	}
	r.sync(t)
	appendTo(t, r.path, "e\n")
	got := strings.Join(r.log.await(t, 7), " ")
	if want := "#separator \\x09 a b #separator \\x09 c d e"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestALostBookmarkIsMadeUpForByTheLog(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 50))
	r.start(t)
	r.want(t, 50)
	r.stop()
	if err := os.Remove(r.opts.Bookmark); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, numbered(50, 60))
	r.start(t)
	r.want(t, 60)
	r.stop()
	if r.log.twice != 0 {
		t.Errorf("%d lines were appended twice", r.log.twice)
	}
}

func TestTheEndBetweenAcknowledgementAndNoteAppendsNothingTwice(t *testing.T) {
	r := newRig(t)
	appendTo(t, r.path, numbered(0, 50))
	r.start(t)
	r.want(t, 50)
	r.stop()
	old, err := os.ReadFile(r.opts.Bookmark)
	if err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, numbered(50, 80))
	r.start(t)
	r.want(t, 80)
	r.stop()
	// As if the program had been killed before it noted the last lines.
	if err := os.WriteFile(r.opts.Bookmark, old, 0o600); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, numbered(80, 90))
	r.start(t)
	r.want(t, 90)
	r.stop()
	if r.log.twice != 0 {
		t.Errorf("%d lines were appended twice", r.log.twice)
	}
}

func TestAnOutageOfTheLogIsWaitedFor(t *testing.T) {
	r := newRig(t)
	r.opts.Owned = true
	r.log.setAway(true)
	appendTo(t, r.path, numbered(0, 5))
	r.start(t)
	if err := os.Rename(r.path, r.path+".000001"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, numbered(5, 9))
	r.log.setAway(false)
	r.want(t, 9)
}

func TestOwnOlderFilesAreRemovedOnlyOnceAcknowledged(t *testing.T) {
	r := newRig(t)
	r.opts.Owned = true
	appendTo(t, r.path+".000001", numbered(0, 5))
	appendTo(t, r.path+".000002", numbered(5, 7)+"{torn")
	later := time.Now().Add(time.Second)
	if err := os.Chtimes(r.path+".000002", later, later); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, "{last}\n")
	r.start(t)
	got := r.log.await(t, 9)
	if got[7] != "{torn" || got[8] != "{last}" {
		t.Errorf("the torn line or what follows is missing: %q", got[7:])
	}
	r.sync(t)
	r.sync(t)
	r.stop()
	for _, n := range []string{".000001", ".000002"} {
		if _, err := os.Stat(r.path + n); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", n, err)
		}
	}
	if _, err := os.Stat(r.path); err != nil {
		t.Errorf("the current file is gone: %v", err)
	}
}

func TestAFileRenamedBetweenScanAndOpeningIsNotTakenForItsSuccessor(t *testing.T) {
	r := newRig(t)
	r.opts.Owned = true
	appendTo(t, r.path, numbered(0, 9))
	tail, err := New(r.opts, Deps{Log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.begin(t.Context()); err != nil { // scans, opens nothing
		t.Fatal(err)
	}
	defer tail.close()
	if err := os.Rename(r.path, r.path+".000001"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path, "") // the engine has nothing to say yet
	for range 4 {
		if _, err := tail.round(t.Context()); err != nil {
			t.Fatal(err)
		}
		tail.scanned = time.Time{}
	}
	r.want(t, 9)
	if _, err := os.Stat(r.path + ".000001"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the older file was not removed: %v", err)
	}
}

func TestAnOwnFileThatWasDoneBeforeAKillIsRemoved(t *testing.T) {
	r := newRig(t)
	r.opts.Owned = true
	appendTo(t, r.path+".000001", numbered(0, 9))
	appendTo(t, r.path, numbered(9, 10))
	if err := os.Link(r.path+".000001", filepath.Join(r.dir, "kept")); err != nil { // keeps the inode
		t.Fatal(err)
	}
	r.start(t)
	r.want(t, 10)
	r.stop()
	if err := os.Link(filepath.Join(r.dir, "kept"), r.path+".000001"); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	r.sync(t)
	r.stop()
	if _, err := os.Stat(r.path + ".000001"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the older file was not removed: %v", err)
	}
	if r.log.twice != 0 || len(r.log.lines()) != 10 {
		t.Errorf("%d lines twice, %d in all", r.log.twice, len(r.log.lines()))
	}
}

func TestAFullDiskIsWaitedForAndLosesNothing(t *testing.T) {
	r := newRig(t)
	r.opts.Owned = true
	// A folder in the bookmark's place cannot be replaced by a file, which fails
	// as a full disk does.
	blocked := r.opts.Bookmark + ".new"
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	appendTo(t, r.path+".000001", numbered(0, 5))
	appendTo(t, r.path, numbered(5, 9))
	r.start(t)
	<-time.After(100 * time.Millisecond)
	if got := r.log.lines(); len(got) != 0 {
		t.Errorf("%d lines were appended under an identity that is not stored", len(got))
	}
	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	r.want(t, 9)
}

func TestHugeAndBrokenLines(t *testing.T) {
	r := newRig(t)
	ten := strings.Repeat("x", 10<<20)
	over := strings.Repeat("y", batch.MaxLine+1)
	bad := "\xff\xfe{\x00}"
	appendTo(t, r.path, "a\n"+ten+"\n"+over+"\n\n"+bad+"\nz\n")
	r.start(t)
	got := r.log.await(t, 5)
	if got[0] != "a" || got[1] != ten || got[3] != bad || got[4] != "z" {
		t.Errorf("lines were changed: %.40q", got)
	}
	if !strings.Contains(got[2], `"event_type":"decoder_truncated"`) || !strings.Contains(got[2], fmt.Sprintf(`"bytes":%d`, len(over))) {
		t.Errorf("a line over the limit gave %.300s", got[2])
	}
}

func TestALineTheLogNeverTakesIsReplacedByOneThatSaysSo(t *testing.T) {
	r := newRig(t)
	r.log.largest = 8 << 10
	appendTo(t, r.path, "a\n"+strings.Repeat("x", 20<<10)+"\nz\n")
	r.start(t)
	got := r.log.await(t, 3)
	found := false
	for _, l := range got {
		found = found || strings.Contains(l, "decoder_truncated")
	}
	if !found {
		t.Errorf("nothing stands for the refused line: %.300q", got)
	}
}

func TestANewerBookmarkIsRefused(t *testing.T) {
	r := newRig(t)
	if err := os.WriteFile(r.opts.Bookmark, []byte(`{"version":9}`), 0o600); err != nil {
		t.Fatal(err)
	}
	tail, err := New(r.opts, Deps{Log: r.log})
	if err != nil {
		t.Fatal(err)
	}
	if err := tail.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "newer program") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkTail(b *testing.B) {
	dir := b.TempDir()
	line := []byte(`{"timestamp":"2026-01-01T00:00:00.000000+0000","event_type":"flow","x":"` + strings.Repeat("v", 820) + `"}` + "\n")
	path := filepath.Join(dir, "eve.json")
	if err := os.WriteFile(path, bytes.Repeat(line, 200_000), 0o600); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(line)) * 200_000)
	for b.Loop() {
		n := 0
		ctx, cancel := context.WithCancel(b.Context())
		log := appendFunc(func(rs []*bus.Record) {
			if n += len(rs); n >= 200_000 {
				cancel()
			}
		})
		_ = os.Remove(filepath.Join(dir, "bookmark"))
		t, err := New(Options{Component: "b", Path: path, Bookmark: filepath.Join(dir, "bookmark"), Prefix: "p", Topic: "t", Key: "k"}, Deps{Log: log})
		if err != nil {
			b.Fatal(err)
		}
		if err := t.Run(ctx); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*200_000/b.Elapsed().Seconds(), "lines/s")
}

type appendFunc func([]*bus.Record)

func (f appendFunc) Append(_ context.Context, rs ...*bus.Record) error {
	f(rs)
	return nil
}
