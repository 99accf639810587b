package tail

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/proc"
)

const victimVariable = "DECODER_TEST_TAIL_VICTIM"

// TestMain lets the test binary be the program that its test kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(victimVariable); dir != "" {
		runVictim(dir)
	}
	os.Exit(m.Run())
}

// fileLog is a log that a killed process leaves behind: a line a record, its
// origin and its value.
type fileLog struct {
	mu   sync.Mutex
	path string
}

func (l *fileLog) Append(_ context.Context, rs ...*bus.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, r := range rs { // one write a record, so that a kill falls between
		if _, err := fmt.Fprintf(f, "%s %s\n", bus.Value(r, event.HeaderOrigin), r.Value); err != nil {
			return err
		}
	}
	return nil
}

func (l *fileLog) records() (out [][2]string, err error) {
	f, err := os.Open(l.path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		origin, value, _ := strings.Cut(s.Text(), " ")
		out = append(out, [2]string{origin, value})
	}
	return out, nil
}

func (l *fileLog) LastOrigin(_ context.Context, _, _, prefix string) (string, error) {
	all, err := l.records()
	for _, a := range slices.Backward(all) {
		if strings.HasPrefix(a[0], prefix) {
			return a[0], err
		}
	}
	return "", err
}

func runVictim(dir string) {
	log := &fileLog{path: filepath.Join(dir, "log")}
	t, err := New(Options{
		Component: "victim", Path: filepath.Join(dir, "logs", "eve.json"), Bookmark: filepath.Join(dir, "bookmark"),
		Prefix: "suricata:eve", Topic: "t", Key: "k", Owned: true,
	}, Deps{Log: log, Origins: log})
	if err == nil {
		err = t.Run(context.Background())
	}
	fmt.Println(err)
	os.Exit(1)
}

func TestKillsWhileAFileGrowsAndRotatesLoseNothingAndDoubleNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "logs", "eve.json")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	stop, written := make(chan struct{}), make(chan int)
	go write(path, stop, written)
	log := &fileLog{path: filepath.Join(dir, "log")}
	start := func() *proc.Process {
		p, err := proc.Start(proc.Command{Path: self, Env: []string{victimVariable + "=" + dir}, Line: func(s string) { t.Log(s) }})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	const kills = 20
	for range kills {
		p := start()
		select {
		case <-p.Done():
			t.Fatal("the reader ended by itself")
		case <-time.After(30*time.Millisecond + rand.N(150*time.Millisecond)):
			p.Kill()
		}
	}
	close(stop)
	n := <-written
	p := start()
	defer p.Kill()
	origins, values := map[string]string{}, map[string]string{}
	for limit := time.Now().Add(20 * time.Second); len(values) < n && time.Now().Before(limit); <-time.After(20 * time.Millisecond) {
		all, err := log.records()
		if err != nil {
			t.Fatal(err)
		}
		clear(origins)
		clear(values)
		for _, r := range all {
			if !strings.HasPrefix(r[1], "{") || !strings.HasSuffix(r[1], "}") {
				continue // the kill tore it
			}
			if before, seen := origins[r[0]]; seen && before != r[1] {
				t.Fatalf("%s stands for two lines", r[0])
			}
			if before, seen := values[r[1]]; seen && before != r[0] {
				t.Fatalf("%s has two origins: %s, %s", r[1], before, r[0])
			}
			origins[r[0]], values[r[1]] = r[1], r[0]
		}
	}
	if len(values) != n || n < 1000 {
		t.Errorf("%d of %d lines are on the log", len(values), n)
	}
}

// write appends lines as an engine does, and rotates as the source does: a
// rename, then a new file.
func write(path string, stop <-chan struct{}, written chan<- int) {
	n, files := 0, 0
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	for err == nil {
		select {
		case <-stop:
			f.Close()
			written <- n
			return
		default:
		}
		if _, err = f.WriteString(numbered(n, n+7)); err != nil {
			break
		}
		if n += 7; n%700 == 0 {
			files++
			if err = os.Rename(path, fmt.Sprintf("%s.%06d", path, files)); err != nil {
				break
			}
			f.Close()
			f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		}
		<-time.After(time.Millisecond)
	}
	written <- -1
}
