package replay

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/suricata"
)

const victimVariable = "DECODER_TEST_REPLAY_VICTIM"

// fileLog is a log that a killed process leaves behind: a line a record, its
// origin and the hash of its value.
type fileLog struct {
	mu sync.Mutex
	f  *os.File
}

func (l *fileLog) Append(_ context.Context, rs ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rs { // one write a record, so that a kill falls between
		if _, err := fmt.Fprintf(l.f, "%s %x\n", bus.Value(r, event.HeaderOrigin), sha256.Sum256(r.Value)); err != nil {
			return err
		}
	}
	return nil
}

// runVictim works on the jobs in dir until it is killed, or until none is left.
func runVictim(dir string) {
	err := func() error {
		f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		r, err := New(Options{Dir: dir, Topic: "suricata_ingest"}, Deps{
			Log:   &fileLog{f: f},
			Rules: func() (suricata.RuleSet, error) { return suricata.RuleSet{}, nil },
		})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		jobs, err := r.List()
		for _, j := range jobs {
			if err == nil {
				_, err = r.Wait(ctx, j.ID, nil)
			}
		}
		cancel()
		if e := <-ended; err == nil {
			err = e
		}
		return err
	}()
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func TestKillsAtAnyMomentLoseNothingAndChangeNothing(t *testing.T) {
	needEngine(t)
	captures, data := t.TempDir(), t.TempDir()
	const n = 12
	for i := range n {
		writePcap(t, filepath.Join(captures, fmt.Sprintf("%02d.pcap", i)), 1, 100+i)
	}
	for i := range 3 { // copies, the first ones right behind what they are copies of
		whole := pcap(1, 100+i)
		write(t, filepath.Join(captures, fmt.Sprintf("%02d-copy.pcap", i)), whole)
		write(t, filepath.Join(captures, fmt.Sprintf("%02d-packed.pcap.gz", i+n)), packed(t, whole))
	}
	r := newReplayer(t, data, &fakeLog{})
	id := submit(t, r, Request{Paths: []string{captures}, Rules: []string{rulesFile(t)}})

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	kills := 0
	for done := false; !done; {
		p, err := proc.Start(proc.Command{Path: self, Env: []string{victimVariable + "=" + data}, Line: func(s string) { t.Log(s) }})
		if err != nil {
			t.Fatal(err)
		}
		limit := time.Minute
		if kills < 15 {
			limit = 20*time.Millisecond + rand.N(400*time.Millisecond)
		}
		select {
		case <-p.Done():
			if p.Err() != nil {
				t.Fatal(p.Err())
			}
			done = true
		case <-time.After(limit):
			if kills++; kills > 15 {
				t.Fatal("the job does not end")
			}
			p.Kill()
		}
	}
	t.Logf("killed %d times", kills)
	j, err := newReplayer(t, data, &fakeLog{}).Get(id)
	if err != nil || j.State != Done {
		t.Fatalf("job: %v, %v", j.State, err)
	}
	want, seen := 0, map[string]Capture{}
	for _, c := range j.Captures {
		var i int
		if _, err := fmt.Sscanf(c.Name, "%02d", &i); err != nil {
			t.Fatal(err)
		}
		if c.Error != "" || c.Alerts["1000900"] != 100+i%n {
			t.Errorf("%s: %+v", c.Name, c)
		}
		if first, again := seen[c.SHA256]; again {
			if d := cmp.Diff(first.Events, c.Events); d != "" {
				t.Errorf("%s and its copy %s:\n%s", first.Name, c.Name, d)
			}
			continue
		}
		seen[c.SHA256] = c
		for _, n := range c.Events {
			want += n
		}
	}
	if len(seen) != n {
		t.Errorf("%d captures are told apart, want %d", len(seen), n)
	}
	f, err := os.Open(filepath.Join(data, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	values := map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		origin, value, ok := strings.Cut(s.Text(), " ")
		if len(value) != 64 {
			continue // the kill tore it
		}
		if before, seen := values[origin]; seen && before != value || !ok {
			t.Fatalf("%s stands for two different lines", origin)
		}
		values[origin] = value
	}
	if len(values) != want {
		t.Errorf("%d records, want %d", len(values), want)
	}
}
