package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/state"
)

// Bounds says what the log holds of a topic; *bus.Bus does.
type Bounds interface {
	Bounds(ctx context.Context, topic string) (map[int32]bus.Span, error)
}

// Inbox is the view. It is a client.Sink and a client.Resumer of Topics, and
// answers questions meanwhile.
type Inbox struct {
	db      *state.DB
	log     Bounds
	scope   obs.Scope
	metrics metrics
	news    news
	now     func() time.Time
	counted atomic.Pointer[counted]

	mu      sync.Mutex
	checked bool
}

type metrics struct {
	written prometheus.Histogram
	records prometheus.Counter
	trimmed prometheus.Counter
}

// Topics are the topics the view is built from.
func Topics() []string {
	return []string{bus.TopicAlerts, bus.TopicEmailAlert, bus.TopicTriage, bus.TopicReruns}
}

// New returns the view kept in a database of Schema.
func New(db *state.DB, log Bounds, scope obs.Scope) *Inbox {
	v := &Inbox{db: db, log: log, scope: scope, now: time.Now, metrics: metrics{
		written: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "decoder_inbox_write_seconds", Help: "Time to apply a batch of records.", Buckets: prometheus.ExponentialBuckets(.001, 4, 8),
		}),
		records: prometheus.NewCounter(prometheus.CounterOpts{Name: "decoder_inbox_records_total", Help: "Records applied."}),
		trimmed: prometheus.NewCounter(prometheus.CounterOpts{Name: "decoder_inbox_trimmed_total", Help: "Records that left the log and so the inbox."}),
	}}
	scope.Register(v.metrics.written, v.metrics.records, v.metrics.trimmed)
	return v
}

// trimEvery is how soon what has left the log leaves the inbox.
const trimEvery = time.Minute

// Run keeps the view in step with the log's retention until ctx ends.
func (v *Inbox) Run(ctx context.Context) error {
	if why := v.db.Fresh(); why != "" {
		v.scope.Logger().Warn("inbox is built anew", "reason", why)
	}
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := v.Trim(ctx); err != nil && ctx.Err() == nil {
				v.scope.Logger().Warn("inbox is not trimmed, will retry", "err", err)
				v.scope.Set("inbox", obs.Degraded, "cannot be trimmed to what the log holds")
			} else if err == nil {
				v.scope.Set("inbox", obs.OK, "")
			}
		}
	}
}

// Resume implements client.Resumer. Reading begins at the place kept with the
// data, else where the log begins: where the consumer group stands says
// nothing of the data.
func (v *Inbox) Resume(ctx context.Context, p bus.Partition) (next int64, known bool, err error) {
	if err := v.check(ctx); err != nil {
		return 0, false, err
	}
	q := queries{db: v.db.Read()}
	defer q.close()
	next, err = q.stored(ctx, p)
	return next, err == nil, err
}

// check compares the view with the log once after start. Places behind the end
// of the log mean that this is another log, or that it has lost records: what
// the view knows is then not what the log holds, and it begins anew.
func (v *Inbox) check(ctx context.Context) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.checked {
		return nil
	}
	stale := ""
	for _, topic := range Topics() {
		bounds, err := v.log.Bounds(ctx, topic)
		if err != nil {
			return fmt.Errorf("comparing inbox and log: %w", err)
		}
		err = each(ctx, v.db.Read(), func(rows *sql.Rows) error {
			var part int32
			var next int64
			if err := rows.Scan(&part, &next); err != nil {
				return err
			}
			if next > bounds[part].To {
				stale = fmt.Sprintf("it has read %s/%d up to %d, the log ends at %d", topic, part, next, bounds[part].To)
			}
			return nil
		}, "SELECT part, next FROM place WHERE topic = ?", topic)
		if err != nil {
			return err
		}
	}
	if stale != "" {
		v.scope.Logger().Warn("inbox is built anew", "reason", stale)
		if err := v.Reset(ctx); err != nil {
			return err
		}
	}
	if err := v.Trim(ctx); err != nil {
		return err
	}
	v.checked = true
	return nil
}

// Reset empties the view. The client that feeds it must not run meanwhile: it
// asks where to begin when it starts.
func (v *Inbox) Reset(ctx context.Context) error {
	err := v.db.Write(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"alert", "doc", "change", "grp", "place"} {
			if _, err := tx.ExecContext(ctx, "DELETE FROM "+table); err != nil { //nolint:gosec // one of those above
				return fmt.Errorf("emptying inbox: %w", err)
			}
		}
		return nil
	})
	v.news.tell()
	return err
}

// Check implements client.Checker: the other side is a file of ours.
func (v *Inbox) Check(ctx context.Context) error {
	return v.db.Write(ctx, func(*sql.Tx) error { return nil })
}

// Await returns when the view has applied the changes of those ids.
func (v *Inbox) Await(ctx context.Context, changes ...string) error {
	c, stop := v.Watch()
	defer stop()
	q := queries{db: v.db.Read()}
	defer q.close()
	for len(changes) > 0 {
		var applied bool
		if err := q.one(ctx, "SELECT EXISTS(SELECT 1 FROM change WHERE id = ?)", changes[0]).Scan(&applied); err != nil {
			return fmt.Errorf("looking for change: %w", err)
		}
		if applied {
			changes = changes[1:]
			continue
		}
		select {
		case <-c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Watch returns a channel that receives after the view has changed, with
// bursts joined, and what ends it.
func (v *Inbox) Watch() (<-chan struct{}, func()) { return v.news.watch() }

// news tells watchers that something has changed.
type news struct {
	version atomic.Uint64 // grows with every change, after it
	mu      sync.Mutex
	all     map[chan struct{}]bool
}

func (n *news) watch() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = map[chan struct{}]bool{}
	}
	n.all[c] = true
	return c, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.all, c)
	}
}

func (n *news) tell() {
	n.version.Add(1)
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.all {
		select {
		case c <- struct{}{}:
		default: // it has not yet heard of the last
		}
	}
}

// ErrCursor is returned for a cursor that no list gave.
var ErrCursor = errors.New("cursor is not one of this list")
