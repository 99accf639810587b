package vlogs

import (
	"context"
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"
)

// The library keeps a day's rows together and drops them together. Where a
// single day is more than a folder may hold, its oldest rows are deleted, which
// writes the rest of them anew.

// trimTo is the part of its limit that a folder is cut down to, so that it is
// not cut all the time.
const trimTo = 0.75

// trim begins to delete the oldest documents of the day.
func (s *Store) trim(ctx context.Context, f *folder, day string, limit int64) error {
	if busy, err := f.trimming(ctx); err != nil || busy {
		return err
	}
	at, err := time.Parse(dayFormat, day)
	if err != nil {
		return fmt.Errorf("trimming the day %s: %w", day, err)
	}
	part := 1 - trimTo*float64(limit)/float64(diskBytes(f.stats()))
	text, err := f.oldest(ctx, at, part)
	if err != nil || text == "" {
		return err
	}
	filter, err := logstorage.ParseFilter(text)
	if err != nil {
		return fmt.Errorf("trimming the day %s: %w", day, err)
	}
	now := time.Now().Add(futureLimit + 24*time.Hour).UnixNano() // the library deletes nothing later
	s.scope.Logger().Info("dropping the oldest of a day", "folder", f.name, "day", day, "percent", int(100*part), "limit", "bytes")
	s.metrics.trimmed.WithLabelValues(f.name).Inc()
	return f.storage.DeleteRunTask(ctx, fmt.Sprintf("trim-%s-%d", day, time.Now().UnixNano()), now, []logstorage.TenantID{{}}, filter)
}

// trimming reports whether rows are still being deleted.
func (f *folder) trimming(ctx context.Context) (bool, error) {
	tasks, err := f.storage.DeleteActiveTasks(ctx)
	return len(tasks) > 0, err
}

// oldest returns the filter of about that part of the day's rows, the oldest;
// "" when there are none.
func (f *folder) oldest(ctx context.Context, day time.Time, part float64) (string, error) {
	q, err := translate("* | stats by (_time:1s) count() n", day.UnixNano(), day.UnixNano()+levels[0]-1)
	if err != nil {
		return "", err
	}
	var seconds [24 * 60 * 60]uint64
	total := uint64(0)
	err = f.run(ctx, q, nil, func(db *logstorage.DataBlock) {
		eachCount(db, []string{colTime}, func(values []string, n uint64) {
			at, err := time.Parse(time.RFC3339Nano, values[0])
			if i := at.Unix() - day.Unix(); err == nil && i >= 0 && i < int64(len(seconds)) {
				seconds[i] += n
				total += n
			}
		})
	})
	if err != nil {
		return "", fmt.Errorf("looking for the oldest of a day: %w", err)
	}
	want, before := uint64(math.Ceil(part*float64(total))), uint64(0)
	for i, n := range seconds {
		if before += n; before < want || n == 0 {
			continue
		}
		second := day.Add(time.Duration(i) * time.Second)
		return f.oldestUpTo(ctx, day, second, float64(want-(before-n))/float64(n))
	}
	return "", nil
}

// oldestUpTo is the filter of all before that second, and of about that part of
// it: which, does not matter, so it goes by the ids.
func (f *folder) oldestUpTo(ctx context.Context, day, second time.Time, part float64) (string, error) {
	q, err := translate(`* | fields "event.id"`, second.UnixNano(), second.UnixNano()+int64(time.Second)-1)
	if err != nil {
		return "", err
	}
	var begin [256]uint64 // by the first byte: an id is a hash
	total := uint64(0)
	err = f.run(ctx, q, nil, func(db *logstorage.DataBlock) {
		if c := db.GetColumnByName("event.id"); c != nil {
			for _, id := range c.Values {
				if id != "" {
					begin[id[0]]++
					total++
				}
			}
		}
	})
	if err != nil {
		return "", fmt.Errorf("looking for the oldest of a day: %w", err)
	}
	end, before := 0, uint64(0)
	for end < len(begin) && float64(before) < part*float64(total) {
		before += begin[end]
		end++
	}
	from, at := day.Format(time.RFC3339), second.Format(time.RFC3339)
	next := second.Add(time.Second).Format(time.RFC3339)
	if end >= utf8.RuneSelf { // ids of another's making
		return fmt.Sprintf("_time:[%s, %s)", from, next), nil
	}
	return fmt.Sprintf(`_time:[%s, %s) (_time:[%s, %s) or "event.id":string_range("", %q))`, from, next, from, at, string(rune(end))), nil
}
