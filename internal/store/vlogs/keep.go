package vlogs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/obs"
)

const (
	keepEvery = 3 * time.Second
	roomEvery = 100 * time.Millisecond // another program may fill the disk within a second
	// settled is how long an open store must live before the deaths before it
	// are forgotten.
	settled = 5 * time.Minute
)

// keep holds the store within its limits until ctx ends.
func (s *Store) keep(ctx context.Context) {
	tick, look := time.NewTicker(keepEvery), time.NewTicker(roomEvery)
	defer tick.Stop()
	defer look.Stop()
	opened := time.Now()
	var room roomState
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			room = s.watchRoom(ctx, room)
			continue
		case <-tick.C:
		}
		if err := s.limit(ctx, time.Now()); err != nil {
			s.scope.Set(component, obs.Degraded, err.Error())
			s.scope.Logger().Error("keeping the store within its limits", "error", err)
			continue
		}
		s.report()
		if !opened.IsZero() && time.Since(opened) > settled {
			opened = time.Time{}
			for _, f := range s.folders() {
				if err := f.guard.survived(); err != nil {
					s.scope.Logger().Warn("forgetting deaths", "error", err)
				}
			}
		}
	}
}

// report sets the store's health.
func (s *Store) report() {
	if err := s.room(); err != nil {
		s.scope.Set(component, obs.Degraded, err.Error())
		return
	}
	for _, f := range s.folders() {
		if m := f.moved; m != nil {
			s.scope.Set(component, obs.Degraded, fmt.Sprintf("files of the day %s were damaged and have been moved to %s", m.Day, m.Folder))
			return
		}
	}
	s.scope.Set(component, obs.OK, "")
}

// limit drops days until all folders are within their limits. Live days are
// dropped oldest first, the others by when they were last written to. The
// library drops live days by age.
func (s *Store) limit(ctx context.Context, now time.Time) error {
	today := now.UTC().Format(dayFormat)
	return errors.Join(
		s.limitBytes(ctx, s.live, s.cfg.LiveBytes, s.live.days, func(day string) bool { return day < today }),
		s.limitImported(ctx, s.captures, s.cfg.CaptureAge, s.cfg.CaptureBytes, now),
		s.limitImported(ctx, s.reruns, s.cfg.RerunAge, s.cfg.RerunBytes, now),
	)
}

func (s *Store) limitImported(ctx context.Context, f *folder, age time.Duration, bytes int64, now time.Time) (err error) {
	if age > 0 {
		for _, day := range f.imports.before(f.days(), now.Add(-age)) {
			err = errors.Join(err, s.drop(f, day, "age"))
		}
	}
	byImport := func() []string { return f.imports.order(f.days()) }
	return errors.Join(err, s.limitBytes(ctx, f, bytes, byImport, func(string) bool { return true }))
}

// limitBytes drops whole days in that order, as far as they may go, but not the
// last there is: of that the oldest part.
func (s *Store) limitBytes(ctx context.Context, f *folder, limit int64, order func() []string, may func(day string) bool) error {
	for limit > 0 && diskBytes(f.stats()) > uint64(limit) {
		days := order()
		if len(days) == 0 {
			return nil
		}
		if len(days) == 1 || !may(days[0]) {
			return s.trim(ctx, f, days[0], limit)
		}
		if err := s.drop(f, days[0], "bytes"); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) drop(f *folder, day, why string) error {
	s.scope.Logger().Info("dropping a day", "folder", f.name, "day", day, "limit", why)
	s.metrics.dropped.WithLabelValues(f.name).Inc()
	s.writing.Lock() // nothing is on its way into it
	defer s.writing.Unlock()
	at, err := time.Parse(dayFormat, day)
	if err != nil {
		return fmt.Errorf("dropping the day %s: %w", day, err)
	}
	err = f.drop(day)
	s.ids.forget(f, at.UnixNano(), at.UnixNano()+levels[0])
	return err
}

func diskBytes(s *logstorage.StorageStats) uint64 {
	return s.IndexdbSizeBytes + s.CompressedInmemorySize + s.CompressedSmallPartSize + s.CompressedBigPartSize
}

// imports remembers when something was last written to a day of captures or
// reruns.
type imports struct {
	path string
	mu   sync.Mutex
	days map[string]time.Time
}

func readImports(path string) (*imports, error) {
	i := &imports{path: path, days: map[string]time.Time{}}
	b, err := os.ReadFile(i.path)
	if errors.Is(err, os.ErrNotExist) {
		return i, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &i.days)
	}
	if err != nil {
		return nil, fmt.Errorf("reading when captures were imported: %w", err)
	}
	return i, nil
}

// importGrain is how exactly the time of an import is kept: a running import
// does not write the file each time.
const importGrain = time.Hour

// note remembers that the days were written to.
func (i *imports) note(days []string, now time.Time) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	changed := false
	for _, d := range days {
		if now.Sub(i.days[d]) > importGrain {
			i.days[d] = now.UTC().Truncate(time.Second)
			changed = true
		}
	}
	if !changed {
		return nil
	}
	if err := atomicfile.WriteJSON(i.path, i.days); err != nil {
		return fmt.Errorf("noting when captures were imported: %w", err)
	}
	return nil
}

// order returns the days, the one imported longest ago first.
func (i *imports) order(days []string) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	slices.SortStableFunc(days, func(a, b string) int { return i.days[a].Compare(i.days[b]) })
	return days
}

// before returns the days that were last imported before t. Of a day that was
// never noted it is not known.
func (i *imports) before(days []string, t time.Time) []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(days, func(d string) bool { return i.days[d].IsZero() || !i.days[d].Before(t) })
}
