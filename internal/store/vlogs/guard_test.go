package vlogs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
)

func simpleDoc(id string, at time.Time, capture bool) store.Doc {
	return store.Doc{ID: id, Time: at, Capture: capture, JSON: fmt.Appendf(nil,
		`{"@timestamp":"%s","event":{"id":"%s"}}`, at.UTC().Format(time.RFC3339Nano), id)}
}

func mustWrite(t *testing.T, s *Store, docs ...store.Doc) {
	t.Helper()
	if err := s.Write(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func mustCount(t *testing.T, s *Store, want uint64) {
	t.Helper()
	n, err := s.Count(t.Context(), nil, store.Range{})
	if err != nil || n != want {
		t.Errorf("%d documents %v, want %d", n, err, want)
	}
}

// TestADamagedDayIsMovedAside damages a day's files; the store then ends its
// process twice, and opens without the day the third time.
func TestADamagedDayIsMovedAside(t *testing.T) {
	dir := t.TempDir()
	s, stop := openStore(t, Config{Dir: dir, MinFreeBytes: -1})
	bad := time.Date(2015, 3, 4, 5, 6, 7, 0, time.UTC)
	mustWrite(t, s, simpleDoc("a", bad, true), simpleDoc("b", bad.Add(48*time.Hour), true))
	stop()
	parts, err := filepath.Glob(filepath.Join(dir, "captures", "partitions", "20150304", "datadb", "*", "metadata.json"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("no files of the day: %v", err)
	}
	for _, p := range parts {
		if err := os.WriteFile(p, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		child := startChild(t, dir)
		state, err := child.Wait()
		if err != nil || state.Success() {
			t.Fatalf("the store opened damaged files: %v %v", state, err)
		}
	}
	s, _ = openStore(t, Config{Dir: dir, MinFreeBytes: -1})
	mustCount(t, s, 1)
	st, err := s.Stats(t.Context())
	if err != nil || len(st.Damaged) != 1 || st.Damaged[0].Day != "20150304" {
		t.Fatalf("damaged days: %+v %v", st.Damaged, err)
	}
	if _, err := os.Stat(filepath.Join(st.Damaged[0].Folder, "datadb")); err != nil {
		t.Errorf("the files are not kept: %v", err)
	}
	mustWrite(t, s, simpleDoc("a", bad, true)) // the log refills it
	mustCount(t, s, 2)
}

func TestDeathsThatAreNoDamageAreNotNoted(t *testing.T) {
	g := newGuard("/data", "live")
	g.note = filepath.Join(t.TempDir(), "note")
	for _, text := range []string{
		"FATAL: cannot write 5 bytes to /data/live/partitions/20260101/datadb/x: no space left on device",
		"FATAL: /other/live/partitions/20260101/datadb/x: damaged",
		"BUG: unexpected",
	} {
		g.dying(text)
	}
	if d, err := g.read(); err != nil || d.Times != 0 {
		t.Errorf("noted %+v %v", d, err)
	}
	g.dying("FATAL: cannot unmarshal /data/live/partitions/20260101/datadb/x/metadata.json")
	g.dying("FATAL: cannot unmarshal /data/live/partitions/20260101/datadb/y/metadata.json") // of the same death
	if d, err := g.read(); err != nil || d.Times != 1 || d.Day != "20260101" {
		t.Errorf("noted %+v %v, want one death on 20260101", d, err)
	}
}

func TestASecondStoreOnTheFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	openStore(t, Config{Dir: dir, MinFreeBytes: -1})
	s, err := New(Config{Dir: dir, MinFreeBytes: -1}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("in use by process %d", os.Getpid())) {
		t.Errorf("got %v, want who has the folder", err)
	}
	if _, err := s.Count(t.Context(), nil, store.Range{}); err == nil {
		t.Error("a store that could not open answers")
	}
}

func TestANewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "format"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Dir: dir}, obs.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "format 99") {
		t.Errorf("got %v", err)
	}
}
