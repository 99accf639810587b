package vlogs

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

func TestCapturesAreDroppedByTheirImport(t *testing.T) {
	s, _ := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: -1, CaptureAge: 24 * time.Hour})
	old := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	mustWrite(t, s, simpleDoc("old", old, true), simpleDoc("older", old.AddDate(-1, 0, 0), true), simpleDoc("live", time.Now(), false))
	now := time.Now()
	if err := s.limit(t.Context(), now.Add(23*time.Hour)); err != nil {
		t.Fatal(err)
	}
	mustCount(t, s, 3)
	if err := s.captures.imports.note([]string{"20100101"}, now.Add(24*time.Hour)); err != nil { // imported again
		t.Fatal(err)
	}
	if err := s.limit(t.Context(), now.Add(25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	mustCount(t, s, 2)
	mustWrite(t, s, simpleDoc("older", old.AddDate(-1, 0, 0), true)) // a dropped day can come back
	mustCount(t, s, 3)
}

func TestBytesAreLimited(t *testing.T) {
	s, _ := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: -1, LiveBytes: 1 << 20, CaptureBytes: 1 << 20, RerunBytes: 1 << 20})
	for part := range allFolders {
		base := time.Now().AddDate(0, 0, -5)
		for day := range 5 {
			var docs []store.Doc
			for i := range 300 {
				d := simpleDoc(fmt.Sprintf("%d-%d-%d", part, day, i), base.AddDate(0, 0, day).Add(time.Duration(i)*time.Second), part == captureFolder)
				d.Rerun = part == rerunFolder
				d.JSON = fmt.Appendf(d.JSON[:len(d.JSON)-1], `,"noise":"%x"}`, noise(2000))
				docs = append(docs, d)
			}
			mustWrite(t, s, docs...)
		}
	}
	if err := s.limit(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, f := range s.folders() {
		if n := diskBytes(f.stats()); n > 1<<20 {
			t.Errorf("%s holds %d bytes, more than its limit", f.name, n)
		}
		days := f.days()
		if len(days) == 0 || days[len(days)-1] != time.Now().AddDate(0, 0, -1).UTC().Format(dayFormat) {
			t.Errorf("%s kept the days %v, not the last", f.name, days)
		}
	}
}

// A day that alone is over the limit loses its oldest documents, not all; of
// one moment, some.
func TestTheLastDayIsCutNotDropped(t *testing.T) {
	const limit = 1 << 20
	const documents = 1000 // of 2 KiB
	base := time.Now().UTC().Truncate(24 * time.Hour)
	for _, apart := range []time.Duration{time.Second, 0} {
		s, stop := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: -1, LiveBytes: limit, CaptureBytes: limit})
		id := func(capture bool, n int) string { return event.ID(fmt.Sprint(capture, n), event.KindEvent, 0) }
		for _, capture := range []bool{false, true} {
			for from := 0; from < documents; from += 100 {
				var docs []store.Doc
				for i := from; i < from+100; i++ {
					d := simpleDoc(id(capture, i), base.Add(time.Duration(i)*apart), capture)
					d.JSON = fmt.Appendf(d.JSON[:len(d.JSON)-1], `,"noise":"%x"}`, noise(2000))
					docs = append(docs, d)
				}
				mustWrite(t, s, docs...)
			}
		}
		mustCount(t, s, 2*documents)
		if err := s.limit(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, f := range []*folder{s.live, s.captures} {
			for deadline := time.Now().Add(20 * time.Second); diskBytes(f.stats()) > limit; <-time.After(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s still holds %d bytes", f.name, diskBytes(f.stats()))
				}
			}
			kept, err := s.storedIDs(t.Context(), f, base.UnixNano(), base.UnixNano()+levels[0]-1, 0)
			if err != nil {
				t.Fatal(err)
			}
			newest := slices.Contains(kept, s.ids.hash(id(f == s.captures, documents-1)))
			oldest := slices.Contains(kept, s.ids.hash(id(f == s.captures, 0)))
			if len(kept) < documents/10 || len(kept) == documents || apart > 0 && (!newest || oldest) {
				t.Errorf("%s apart, %s keeps %d documents, the newest among them: %v, the oldest: %v", apart, f.name, len(kept), newest, oldest)
			}
			total += len(kept)
		}
		mustCount(t, s, uint64(total))
		stop()
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(time.Now().UnixNano())
	for i := range b {
		x = x*6364136223846793005 + 1442695040888963407
		b[i] = byte(x >> 56)
	}
	return b
}

func TestAFullDiskIsAnOutage(t *testing.T) {
	s, _ := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: 1 << 60})
	err := s.Write(t.Context(), []store.Doc{simpleDoc("a", time.Now(), false)})
	if err == nil || fault.Of(err).Class != fault.Retry || fault.Of(err).Code != "disk_low" {
		t.Errorf("write: got %v", err)
	}
	if err := s.Check(t.Context()); err == nil {
		t.Error("the check finds room")
	}
	mustCount(t, s, 0) // it still answers
}

// What is in memory is not written where it may not fit: the library would end
// the process.
func TestNothingIsFlushedWhileTheDiskIsBeingFilled(t *testing.T) {
	s, _ := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: -1})
	if err := s.Write(t.Context(), []store.Doc{simpleDoc("a", time.Now(), false)}); err != nil {
		t.Fatal(err)
	}
	s.live.storage.DebugFlush() // into a part in memory
	err := s.fits(1 << 60)
	if err == nil || fault.Of(err).Code != "disk_low" {
		t.Errorf("flushing is allowed: %v", err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	mustCount(t, s, 1)
}

func TestQueriesHaveATimeLimit(t *testing.T) {
	s, _ := openStore(t, Config{Dir: t.TempDir(), MinFreeBytes: -1, QueryTime: time.Nanosecond})
	mustWrite(t, s, simpleDoc("a", time.Now(), false))
	if _, err := s.Count(t.Context(), nil, store.Range{}); !errors.Is(err, errQueryTime) {
		t.Errorf("got %v", err)
	}
}

func TestDaysAreBounded(t *testing.T) {
	f := &folder{name: "captures", age: unlimitedAge, most: maxCaptureDays, taken: map[int64]bool{}}
	base := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	for day := range maxCaptureDays {
		if err := f.check(base.AddDate(0, 0, day), time.Now(), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.check(base.AddDate(0, 0, maxCaptureDays), time.Now(), true); err == nil || fault.Of(err).Code != store.CodeDays {
		t.Errorf("a day more: %v", err)
	}
	if err := f.check(base, time.Now(), true); err != nil {
		t.Errorf("a day there is: %v", err)
	}
}
