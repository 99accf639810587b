package vlogs

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
)

// childDir names, to a copy of the test binary, the folder it is to write
// documents to until it is killed.
const childDir = "DECODER_STORE_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeUntilKilled(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killDoc is the document at an offset of a partition. Odd partitions are a
// replay of captures that lie years back and overlap.
func killDoc(partition, offset int) store.Doc {
	id := fmt.Sprintf("p%d-%d", partition, offset)
	base := killStart
	if partition%2 == 1 {
		base = time.Date(2017, 6, 1, 23, 59, 0, 0, time.UTC)
	}
	at := base.Add(time.Duration(offset)*3*time.Millisecond + time.Duration(offset%7)*time.Second)
	return store.Doc{ID: id, Time: at, Capture: partition%2 == 1, JSON: fmt.Appendf(nil,
		`{"@timestamp":"%s","event":{"id":"%s","module":"m","dataset":"d%d"},"n":%d,"text":"some words to fill a document %d"}`,
		at.Format(time.RFC3339Nano), id, offset%5, offset, offset*offset)}
}

var killStart = time.Now().UTC().Add(-5 * time.Hour).Truncate(24 * time.Hour).Add(23 * time.Hour).Add(-24 * time.Hour)

const killPartitions = 4

// writeUntilKilled is a sink in short: it reads the committed offsets, writes
// from there on, and commits after each barrier.
func writeUntilKilled(dir string) error {
	ctx := context.Background()
	s, err := New(Config{Dir: dir, MinFreeBytes: -1}, obs.Scope{})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() { failed <- s.Run(ctx) }()
	written := committedOffsets(dir)
	var mu sync.Mutex
	for p := range killPartitions {
		go func() {
			for {
				mu.Lock()
				from := written[p]
				mu.Unlock()
				docs := make([]store.Doc, 100+rand.IntN(400))
				for i := range docs {
					docs[i] = killDoc(p, from+i)
				}
				if err := s.Write(ctx, docs); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				written[p] = from + len(docs)
				mu.Unlock()
			}
		}()
	}
	tick := time.NewTicker(30 * time.Millisecond)
	for {
		select {
		case err := <-failed:
			return err
		case <-tick.C:
		}
		mu.Lock()
		commit := written
		mu.Unlock()
		if err := s.Flush(ctx); err != nil {
			return err
		}
		if err := atomicfile.WriteJSON(filepath.Join(dir, "committed"), commit); err != nil {
			return err
		}
		s.Committed()
	}
}

func committedOffsets(dir string) (offsets [killPartitions]int) {
	b, err := os.ReadFile(filepath.Join(dir, "committed"))
	if err == nil {
		err = json.Unmarshal(b, &offsets)
	}
	if err != nil && !os.IsNotExist(err) {
		panic(err)
	}
	return offsets
}

// TestKilledAtAnyMomentNothingIsLostNorTwice holds the barrier, which leans on
// what the library happens to do, and the reading back of ids.
func TestKilledAtAnyMomentNothingIsLostNorTwice(t *testing.T) {
	kills := 20
	if os.Getenv("DECODER_LONG") != "" {
		kills = 200
	}
	if testing.Short() {
		kills = 4
	}
	dir := t.TempDir()
	for range kills {
		before := committedOffsets(dir)
		child := startChild(t, dir)
		waitForCommit(t, dir, before, child)
		time.Sleep(time.Duration(rand.IntN(int(150 * time.Millisecond)))) // a kill at a random moment is the point
		if err := child.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := child.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := openStore(t, Config{Dir: dir, MinFreeBytes: -1})
	committed := committedOffsets(dir)
	if committed[0] == 0 || committed[1] == 0 {
		t.Fatalf("little was committed: %v", committed)
	}
	t.Logf("committed after %d kills: %v", kills, committed)
	verifyOnce(t, s, committed)
	// What was written and not committed comes again.
	for p := range killPartitions {
		var docs []store.Doc
		for o := committed[p]; o < committed[p]+2000; o++ {
			docs = append(docs, killDoc(p, o))
		}
		if err := s.Write(t.Context(), docs); err != nil {
			t.Fatal(err)
		}
		committed[p] += 2000
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	verifyOnce(t, s, committed)
}

func startChild(t *testing.T, dir string) *os.Process {
	t.Helper()
	p, err := os.StartProcess(os.Args[0], []string{os.Args[0]}, &os.ProcAttr{
		Env:   append(os.Environ(), childDir+"="+dir),
		Files: []*os.File{nil, os.Stderr, os.Stderr},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func waitForCommit(t *testing.T, dir string, before [killPartitions]int, child *os.Process) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for committedOffsets(dir) == before {
		select {
		case <-deadline:
			_ = child.Kill()
			t.Fatal("nothing was committed in 30 s")
		case <-tick.C:
		}
	}
}

// verifyOnce checks that each document up to the offsets is stored, and each
// stored one once.
func verifyOnce(t *testing.T, s *Store, upTo [killPartitions]int) {
	t.Helper()
	times := map[uint64]int{}
	for _, f := range s.folders() {
		stored, err := s.storedIDs(t.Context(), f, 0, math.MaxInt64-1, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range stored {
			times[h]++
		}
	}
	lost, twice := 0, 0
	for p, end := range upTo {
		for o := range end {
			switch n := times[s.ids.hash(killDoc(p, o).ID)]; {
			case n == 0:
				lost++
			case n > 1:
				twice++
			}
		}
	}
	for _, n := range times {
		if n > 1 {
			twice++
		}
	}
	if lost > 0 || twice > 0 {
		t.Errorf("%d documents lost, %d stored more than once, of %v", lost, twice, upTo)
	}
}
