package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/inbox"
	"github.com/decodersring/decoder/internal/obs"
)

// killDir makes this test binary the program that is killed.
const killDir = "DECODER_TEST_INBOX_KILL"

func TestMain(m *testing.M) {
	if dir := os.Getenv(killDir); dir != "" {
		if err := feedUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const killGroups = 40

func killRecord(i int) *bus.Record {
	id := fmt.Sprint("k", i)
	r := alertRecord(spec{id: id, group: fmt.Sprint("g", i%killGroups), second: i, severity: "high"})
	r.Headers = []bus.Header{{Key: event.HeaderOrigin, Value: []byte("test:kill:" + id)}}
	return r
}

func openKill(dir string) (*bus.Bus, *inbox.Inbox, func(), error) {
	ctx := context.Background()
	b, err := bus.Open(ctx, bus.Config{Dir: filepath.Join(dir, "log")}, obs.Scope{})
	if err != nil {
		return nil, nil, nil, err
	}
	if err := b.Ensure(ctx, bus.Catalogue()...); err != nil {
		return nil, nil, nil, err
	}
	v, db, err := inboxOn(dir, b)
	if err != nil {
		return nil, nil, nil, err
	}
	return b, v, func() { _ = db.Close(); b.Close() }, nil
}

func killSpec(v *inbox.Inbox) client.Spec {
	return client.Spec{Name: "inbox", Inputs: inbox.Topics(), Sink: v, BatchRecords: 50}
}

// feedUntilKilled appends alerts, those before a kill again, while the view
// reads them.
func feedUntilKilled(dir string) error {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	b, v, done, err := openKill(dir)
	if err != nil {
		return err
	}
	defer done()
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx, b, killSpec(v), obs.Scope{}) }()
	bounds, err := b.Bounds(ctx, bus.TopicAlerts)
	if err != nil {
		return err
	}
	next := int64(0)
	for _, s := range bounds {
		next += s.To - s.From
	}
	fmt.Println("ready")
	for i := int(next) * 3 / 4; ; i += 30 { // some once more
		var some []*bus.Record
		for n := range 30 {
			some = append(some, killRecord(i+n))
		}
		if err := b.Append(ctx, some...); err != nil {
			return err
		}
		select {
		case err := <-ended:
			return fmt.Errorf("the client has ended: %w", err)
		default:
		}
	}
}

// TestKilledViewLosesAndRepeatsNothing kills the process that appends and
// reads, at random moments, and compares the view with the log in the end.
func TestKilledViewLosesAndRepeatsNothing(t *testing.T) {
	dir := t.TempDir()
	kills := 5
	if os.Getenv("DECODER_LONG") != "" {
		kills = 40
	}
	for range kills {
		killOnce(t, dir)
	}
	b, v, done, err := openKill(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	distinct := map[string]bool{}
	records := 0
	bounds, err := b.Bounds(t.Context(), bus.TopicAlerts)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Scan(t.Context(), bus.TopicAlerts, bounds, func(r *bus.Record) bool {
		records++
		distinct[bus.Value(r, event.HeaderOrigin)] = true
		return true
	}); err != nil {
		t.Fatal(err)
	}
	drain(t, b, v)
	kept := dump(t, v)
	total := uint64(0)
	for _, d := range kept {
		total += d.Count
	}
	t.Logf("%d records, %d alerts, %d kills", records, len(distinct), kills)
	if len(distinct) == 0 || total != uint64(len(distinct)) {
		t.Errorf("the inbox counts %d alerts, the log holds %d", total, len(distinct))
	}
	if err := v.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	drain(t, b, v)
	if diff := cmp.Diff(dump(t, v), kept); diff != "" {
		t.Errorf("the view differs from itself rebuilt (-rebuilt +kept):\n%s", diff)
	}
}

// drain runs the view until it has read all that the log holds.
func drain(t *testing.T, b *bus.Bus, v *inbox.Inbox) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx, b, killSpec(v), obs.Scope{}) }()
	changed, unwatch := v.Watch()
	defer unwatch()
	patience := time.After(time.Minute)
	for !caughtUp(t, b, v) {
		select {
		case <-changed:
		case <-time.After(200 * time.Millisecond): // it may have caught up before Watch
		case err := <-ended:
			t.Fatalf("the client has ended: %v", err)
		case <-patience:
			t.Fatal("the view does not catch up")
		}
	}
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func caughtUp(t *testing.T, b *bus.Bus, v *inbox.Inbox) bool {
	t.Helper()
	bounds, err := b.Bounds(t.Context(), bus.TopicAlerts)
	if err != nil {
		t.Fatal(err)
	}
	for p, s := range bounds {
		next, _, err := v.Resume(t.Context(), bus.Partition{Topic: bus.TopicAlerts, Partition: p})
		if err != nil {
			t.Fatal(err)
		}
		if next < s.To {
			return false
		}
	}
	return true
}

func killOnce(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), killDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var ready [6]byte
	if _, err := io.ReadFull(out, ready[:]); err != nil {
		t.Fatalf("the program did not start: %v, %v", err, cmd.Wait())
	}
	moment := time.NewTimer(time.Duration(20+rand.IntN(350)) * time.Millisecond)
	defer moment.Stop()
	<-moment.C
	_ = cmd.Process.Kill() // it may just have ended
	_ = cmd.Wait()
}
