package vlogs

import (
	"context"
	"fmt"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/store"
)

// hidden columns are the library's and this package's own; a query for any
// field must not find what is in them.
func hidden() []string { return []string{"_stream", "_stream_id", colHints, colSource} }

// begin takes a place among the queries that run at a time and bounds the
// query's. end must be called.
func (s *Store) begin(ctx context.Context, kind string) (_ context.Context, end func(), err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, s.cfg.QueryTime, errQueryTime)
	select {
	case s.queries <- struct{}{}:
	case <-ctx.Done():
		cancel()
		leave()
		return nil, nil, stopped(ctx)
	}
	detach := context.AfterFunc(s.base, cancel)
	start := time.Now()
	return ctx, func() {
		s.metrics.query.WithLabelValues(kind).Observe(time.Since(start).Seconds())
		<-s.queries
		detach()
		cancel()
		leave()
	}, nil
}

var errQueryTime = fault.NewRetry("query_time", fmt.Errorf("the query took longer than it may: narrow the time range or the query: %w", context.DeadlineExceeded))

// stopped returns why a query was ended.
func stopped(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}

// translate makes the library's query of text in LogsQL. from and to are both
// within.
func translate(text string, from, to int64) (*logstorage.Query, error) {
	q, err := logstorage.ParseQuery(text)
	if err != nil {
		return nil, fmt.Errorf("translating the query: %w", err)
	}
	q.AddTimeFilter(from, to)
	return q, nil
}

// run asks one folder. block is called for one block at a time, whose strings
// are valid until it returns.
func (f *folder) run(ctx context.Context, q *logstorage.Query, hide []string, block func(*logstorage.DataBlock)) error {
	var mu sync.Mutex
	qctx := logstorage.NewQueryContext(ctx, &logstorage.QueryStats{}, []logstorage.TenantID{{}}, q, false, hide)
	err := f.storage.RunQuery(qctx, func(_ uint, db *logstorage.DataBlock) {
		mu.Lock()
		defer mu.Unlock()
		if ctx.Err() == nil { // blocks come until the library notices
			block(db)
		}
	})
	if stop := stopped(ctx); stop != nil { // the library does not say that it was cancelled
		return stop
	}
	if err != nil && strings.Contains(err.Error(), "MB of memory") {
		return store.ErrTooBroad // what the library says is in its own terms
	}
	return err
}

// runAll asks folders, one after the other.
func (s *Store) runAll(ctx context.Context, in []*folder, text string, from, to int64, block func(folder int, db *logstorage.DataBlock)) error {
	q, err := translate(text, from, to)
	if err != nil {
		return err
	}
	for i, f := range in {
		if err := f.run(ctx, q, hidden(), func(db *logstorage.DataBlock) { block(i, db) }); err != nil {
			return err
		}
	}
	return nil
}

// bounds returns the range in nanoseconds, both ends within; ok is false when
// nothing can be.
func bounds(r store.Range) (from, to int64, ok bool) {
	from, to = 0, math.MaxInt64-1
	if !r.From.IsZero() && r.From.After(time.Unix(0, 0)) {
		if r.From.After(time.Unix(0, to)) {
			return 0, 0, false
		}
		from = r.From.UnixNano()
	}
	if !r.To.IsZero() && r.To.Before(time.Unix(0, to)) {
		if !r.To.After(time.Unix(0, 0)) {
			return 0, 0, false
		}
		to = r.To.UnixNano() - 1
	}
	return from, to, from <= to
}

// storedIDs returns the hashes of ids stored in a span of time, up to limit of
// them; 0 is no limit.
func (s *Store) storedIDs(ctx context.Context, f *folder, from, to int64, limit int) ([]uint64, error) {
	text := `* | fields "event.id"`
	if limit > 0 {
		text += fmt.Sprint(" | limit ", limit)
	}
	q, err := translate(text, from, to)
	if err != nil {
		return nil, err
	}
	var found []uint64
	err = f.run(ctx, q, nil, func(db *logstorage.DataBlock) {
		if c := db.GetColumnByName("event.id"); c != nil {
			for _, id := range c.Values {
				found = append(found, s.ids.hash(id))
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("reading stored ids: %w", err)
	}
	return found, nil
}
