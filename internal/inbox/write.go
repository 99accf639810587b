package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/state"
)

const (
	codeInvalid  = "invalid"              // a record that is no alert or no change
	codeDatabase = "database_unavailable" // nothing can be written at present
	databaseRest = 2 * time.Second
)

// Write implements client.Sink: records and the place behind them become
// durable in one transaction, so that each record counts exactly once.
func (v *Inbox) Write(ctx context.Context, batch []*client.Record) error {
	if len(batch) == 0 {
		return nil
	}
	var bad client.RecordErrors
	began := v.now()
	err := v.db.Write(ctx, func(tx *sql.Tx) error {
		b := newApplying(tx)
		defer b.close()
		bad = nil
		for i, r := range batch {
			err := b.apply(ctx, r)
			if err != nil && fault.Of(err).Class == fault.Permanent {
				if bad == nil {
					bad = client.RecordErrors{}
				}
				bad[i] = err
				continue
			}
			if err != nil {
				return err
			}
		}
		return b.settle(ctx)
	})
	if state.Unavailable(err) {
		// A full disk is nothing that a record could be blamed for.
		return fault.NewThrottled(codeDatabase, databaseRest, err)
	}
	if err != nil {
		return err
	}
	v.metrics.written.Observe(v.now().Sub(began).Seconds())
	v.metrics.records.Add(float64(len(batch)))
	v.news.tell()
	if bad != nil {
		return bad
	}
	return nil
}

// applying is one transaction that applies records.
type applying struct {
	queries
	groups map[string]*row
	byID   map[int64]*row
	docs   map[docKey]docValue
	next   map[bus.Partition]int64 // the places as they will be
	last   int64                   // highest number of a group
}

type docKey struct {
	g, rev int64
	topic  string
	part   int32
}

type docValue struct {
	off  int64
	json []byte
}

func newApplying(tx *sql.Tx) *applying {
	return &applying{
		queries: queries{db: tx}, groups: map[string]*row{}, byID: map[int64]*row{},
		docs: map[docKey]docValue{}, next: map[bus.Partition]int64{},
	}
}

// apply applies one record. A record that was resent brings its first position
// with it: that is where it counts, as if it had been right from the start.
func (b *applying) apply(ctx context.Context, r *client.Record) error {
	p := bus.Partition{Topic: r.Topic, Partition: r.Partition}
	if !r.Resent {
		next, err := b.place(ctx, p)
		if err != nil {
			return err
		}
		if r.Offset < next {
			return nil // written before
		}
		b.next[p] = r.Offset + 1
	}
	at := Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	switch r.Topic {
	case bus.TopicTriage:
		c, err := parseChange(r.Record)
		if err != nil {
			return fault.NewPermanent(codeInvalid, err)
		}
		return b.change(ctx, at, c, r.Value)
	default:
		a, err := alertOf(r.Record)
		if a == nil || err != nil {
			return err
		}
		return b.alert(ctx, at, a)
	}
}

// Try implements client.Tryer.
func (v *Inbox) Try(_ context.Context, r *client.Record) (err error) {
	if r.Topic != bus.TopicTriage {
		_, err = alertOf(r.Record)
		return err
	}
	if _, err = parseChange(r.Record); err != nil {
		return fault.NewPermanent(codeInvalid, err)
	}
	return nil
}

// alertOf reads the alert that a record holds, live or of a rerun; nil is a
// record of a rerun that holds none.
func alertOf(r *bus.Record) (a *alert, err error) {
	switch r.Topic {
	case bus.TopicAlerts, bus.TopicEmailAlert:
		a, err = parseAlert(r)
	case bus.TopicReruns:
		a, err = parseAgain(r)
	default:
		err = fmt.Errorf("the inbox is not made of topic %s", r.Topic)
	}
	if err != nil {
		return nil, fault.NewPermanent(codeInvalid, err)
	}
	return a, nil
}

// place returns the offset behind the last record applied of a partition.
func (b *applying) place(ctx context.Context, p bus.Partition) (int64, error) {
	if next, ok := b.next[p]; ok {
		return next, nil
	}
	next, err := b.stored(ctx, p)
	b.next[p] = next
	return next, err
}

func (q *queries) stored(ctx context.Context, p bus.Partition) (next int64, err error) {
	err = q.one(ctx, "SELECT next FROM place WHERE topic = ? AND part = ?", p.Topic, p.Partition).Scan(&next)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading place: %w", err)
	}
	return next, nil
}

func (b *applying) alert(ctx context.Context, at Position, a *alert) error {
	g, err := b.group(ctx, a.group)
	if err != nil {
		return err
	}
	g.rerun = a.rerun
	dup, err := b.duplicate(ctx, at, a.id)
	if err != nil {
		return err
	}
	s, err := b.prepare(ctx, `INSERT INTO alert(topic, part, off, id, g, dup, time, severity, score, rev)
		VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`)
	if err != nil {
		return err
	}
	res, err := s.ExecContext(ctx, at.Topic, at.Partition, at.Offset, a.id, g.g, dup, a.time.UnixNano(), a.severity, a.score, a.rev)
	if err != nil {
		return fmt.Errorf("writing alert: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err // resent, and already there
	}
	key := docKey{g.g, int64(a.rev), at.Topic, at.Partition}
	if d, ok := b.docs[key]; !ok || d.off < at.Offset {
		b.docs[key] = docValue{at.Offset, a.json}
	}
	if rank := (docRank{int64(a.rev), at.Offset, at.Topic, at.Partition}); g.doc.below(rank) {
		g.doc = rank
		a.doc.shown(g)
	}
	g.reach(at)
	if !dup {
		g.add(a, at)
	}
	return nil
}

// duplicate says whether the record at the position is not the first with the
// id. When it takes the place of another as the first, that one steps back.
func (b *applying) duplicate(ctx context.Context, at Position, id string) (bool, error) {
	var first Position
	var g int64
	err := b.one(ctx, "SELECT topic, part, off, g FROM alert WHERE id = ? AND dup = 0", id).
		Scan(&first.Topic, &first.Partition, &first.Offset, &g)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("looking for alert: %w", err)
	case !before(at, first):
		return true, nil
	}
	other, err := b.groupByID(ctx, g)
	if err != nil {
		return false, err
	}
	other.again = true
	return false, b.exec(ctx, "UPDATE alert SET dup = 1 WHERE topic = ? AND part = ? AND off = ?", first.Topic, first.Partition, first.Offset)
}

// before orders positions: any order will do that is always the same.
func before(a, b Position) bool {
	if a.Topic != b.Topic {
		return a.Topic < b.Topic
	}
	if a.Partition != b.Partition {
		return a.Partition < b.Partition
	}
	return a.Offset < b.Offset
}

func (b *applying) change(ctx context.Context, at Position, c Change, json []byte) error {
	g, err := b.group(ctx, c.Group)
	if err != nil {
		return err
	}
	g.triage = true
	return b.exec(ctx, "INSERT INTO change(topic, part, off, id, g, json) VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		at.Topic, at.Partition, at.Offset, c.ID, g.g, json)
}

// group returns the row of a group, made when there is none.
func (b *applying) group(ctx context.Context, key string) (*row, error) {
	if r := b.groups[key]; r != nil {
		return r, nil
	}
	r := &row{key: key, state: StateNew}
	err := scan(b.one(ctx, "SELECT "+columns+" FROM grp WHERE key = ?", key), r)
	if errors.Is(err, sql.ErrNoRows) {
		r.fresh = true
		r.g, err = b.number(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading group: %w", err)
	}
	b.groups[key], b.byID[r.g] = r, r
	return r, nil
}

// number returns one that no group has. That of a group which is gone may come
// again: nothing of it is left.
func (b *applying) number(ctx context.Context) (int64, error) {
	if b.last == 0 {
		if err := b.one(ctx, "SELECT coalesce(max(g), 0) FROM grp").Scan(&b.last); err != nil {
			return 0, err
		}
	}
	b.last++
	return b.last, nil
}

func (b *applying) groupByID(ctx context.Context, g int64) (*row, error) {
	if r := b.byID[g]; r != nil {
		return r, nil
	}
	r := &row{}
	if err := scan(b.one(ctx, "SELECT "+columns+" FROM grp WHERE g = ?", g), r); err != nil {
		return nil, fmt.Errorf("reading group: %w", err)
	}
	b.groups[r.key], b.byID[g] = r, r
	return r, nil
}

// settle writes what the records changed: documents, groups, places.
func (b *applying) settle(ctx context.Context) error {
	for k, d := range b.docs {
		err := b.exec(ctx, `INSERT INTO doc(g, rev, topic, part, off, json) VALUES(?, ?, ?, ?, ?, ?)
			ON CONFLICT(g, rev, topic, part) DO UPDATE SET off = excluded.off, json = excluded.json WHERE excluded.off > off`,
			k.g, k.rev, k.topic, k.part, d.off, d.json)
		if err != nil {
			return err
		}
	}
	for _, g := range b.groups {
		if err := g.settle(ctx, &b.queries); err != nil {
			return err
		}
	}
	for p, next := range b.next {
		err := b.exec(ctx, "INSERT INTO place(topic, part, next) VALUES(?, ?, ?) ON CONFLICT(topic, part) DO UPDATE SET next = excluded.next",
			p.Topic, p.Partition, next)
		if err != nil {
			return err
		}
	}
	return nil
}
