package vlogs

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

// folder is one storage of the library: the live events, the captures, or what
// reruns made.
type folder struct {
	name  string
	dir   string // the store's
	age   time.Duration
	most  int // days with rows; 0 is as many as the age allows
	guard *guard
	// imports says when something was last written to a day; nil: days go by
	// the time of their events.
	imports *imports

	storage *logstorage.Storage
	moved   *store.Damaged // a day that this start has moved aside

	mu      sync.Mutex
	touched map[string]bool // days with rows since the last barrier
	taken   map[int64]bool  // days that have rows, as days since 1970
}

// maxCaptureDays bounds the days of captures: each costs memory and files, and
// a made-up capture may spread over as many as there are.
const maxCaptureDays = 1000

// futureLimit is how far ahead an event may be. The library's own is a day
// more, so that it never decides.
const futureLimit = 24 * time.Hour

// flushInterval is when the library writes what nobody has had it write: longer
// than a sink's barriers are apart, since only those ask for room on the disk.
const flushInterval = 30 * time.Second

// open opens the storage. It panics, in the library, when files are damaged;
// the guard then knows for the next time.
func (f *folder) open(log *slog.Logger) error {
	f.guard = newGuard(f.dir, f.name)
	var err error
	if f.moved, err = f.guard.moveAside(); err != nil {
		return err
	}
	if m := f.moved; m != nil {
		log.Error("a day's files were damaged and have been moved aside", "folder", f.name, "day", m.Day, "to", m.Folder)
	}
	library.log.watch(f.guard)
	f.touched = map[string]bool{}
	f.storage = logstorage.MustOpenStorage(f.path(), &logstorage.StorageConfig{
		Retention:       f.age + 24*time.Hour,
		FutureRetention: futureLimit + 24*time.Hour,
		FlushInterval:   flushInterval,
	})
	f.recount()
	return nil
}

// recount notes which days have rows.
func (f *folder) recount() {
	taken := map[int64]bool{}
	for _, day := range f.days() {
		if t, err := time.Parse(dayFormat, day); err == nil {
			taken[t.UnixNano()/levels[0]] = true
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken = taken
}

func (f *folder) path() string { return filepath.Join(f.dir, f.name) }

func (f *folder) close() error {
	f.storage.MustClose()
	library.log.unwatch(f.guard)
	return f.guard.survived()
}

// check refuses a time outside what the folder keeps. The day of one that it
// lets pass may have rows from now on, if that is noted.
func (f *folder) check(t, now time.Time, note bool) error {
	switch {
	case t.After(now.Add(futureLimit)):
		return fault.NewPermanent(store.CodeFuture, fmt.Errorf("%s is more than a day ahead", t.UTC().Format(time.RFC3339)))
	case t.Before(now.Add(-f.age)):
		return fault.NewPermanent(store.CodeTooOld, fmt.Errorf("%s is older than the %s that live events are kept", t.UTC().Format(time.RFC3339), f.age))
	case t.Unix() < 0:
		return fault.NewPermanent(store.CodeTooOld, fmt.Errorf("%s is before 1970", t.UTC().Format(time.RFC3339)))
	}
	return f.admit(t.UnixNano()/levels[0], note)
}

// admit refuses a day beyond those that may have rows.
func (f *folder) admit(day int64, note bool) error {
	if f.most == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.taken[day] && len(f.taken) >= f.most {
		return fault.NewPermanent(store.CodeDays, fmt.Errorf("%s has documents of %d days already", f.name, f.most))
	}
	if note {
		f.taken[day] = true
	}
	return nil
}

const dayFormat = "20060102"

func (f *folder) touch(days map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d := range days {
		f.touched[d] = true
	}
}

// barrier returns when all rows are on disk and found by queries. Nothing may
// be written meanwhile.
//
// The library has no such call: its flush makes rows searchable in memory, and
// they reach the disk seconds later. But a snapshot of a partition first writes
// what is in memory. So flush, make and delete a snapshot of each day touched,
// until no row is left in memory. A test with kill -9 holds this.
func (f *folder) barrier(ctx context.Context) (days []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.touched) == 0 {
		return nil, nil
	}
	for d := range f.touched {
		days = append(days, d)
	}
	for f.storage.DebugFlush(); ; f.storage.DebugFlush() {
		for _, d := range days {
			for _, path := range f.storage.PartitionSnapshotMustCreate(d) {
				if err := f.storage.PartitionSnapshotDelete(path); err != nil {
					return nil, fmt.Errorf("writing the day %s to disk: %w", d, err)
				}
			}
		}
		if f.stats().InmemoryRowsCount == 0 {
			clear(f.touched)
			return days, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("writing to disk: %w", err)
		}
	}
}

func (f *folder) stats() *logstorage.StorageStats {
	var s logstorage.StorageStats
	f.storage.UpdateStats(&s)
	return &s
}

// span returns the times of the oldest and newest row; ok is false without any.
func (f *folder) span() (oldest, newest int64, ok bool) {
	s := f.stats()
	if s.RowsCount() == 0 {
		return 0, 0, false
	}
	oldest, newest = s.MinTimestamp, s.MaxTimestamp
	if oldest == math.MinInt64 || newest == math.MaxInt64 || oldest > newest { // the outermost day is empty
		return 0, math.MaxInt64, true
	}
	return oldest, newest, true
}

// drop removes a day's documents.
func (f *folder) drop(day string) error {
	if err := f.storage.PartitionDetach(day); err != nil {
		return fmt.Errorf("dropping the day %s: %w", day, err)
	}
	trash := filepath.Join(f.dir, "trash")
	if err := os.MkdirAll(trash, 0o700); err != nil {
		return fmt.Errorf("dropping the day %s: %w", day, err)
	}
	// In two steps: a half removed day would end the library at the next start.
	gone, err := os.MkdirTemp(trash, f.name+"-"+day+"-")
	if err == nil {
		err = os.Rename(filepath.Join(f.path(), "partitions", day), filepath.Join(gone, day))
	}
	if err == nil {
		err = os.RemoveAll(gone)
	}
	if err != nil {
		return fmt.Errorf("dropping the day %s: %w", day, err)
	}
	f.recount()
	return nil
}

// days lists the days with documents, oldest first.
func (f *folder) days() []string {
	days := f.storage.PartitionList()
	slices.SortFunc(days, strings.Compare)
	return days
}
