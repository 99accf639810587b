package inbox

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/decodersring/decoder/internal/bus"
)

// trimStep is how many offsets are removed in one transaction, so that a
// retention that removes much does not hold up what arrives.
const trimStep = 20_000

// Trim removes what has left the log: alerts that retention removed, and the
// groups that have none left.
func (v *Inbox) Trim(ctx context.Context) error {
	for _, topic := range Topics() {
		bounds, err := v.log.Bounds(ctx, topic)
		if err != nil {
			return fmt.Errorf("asking what the log holds: %w", err)
		}
		for part, b := range bounds {
			if err := v.trim(ctx, bus.Partition{Topic: topic, Partition: part}, b.From); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *Inbox) trim(ctx context.Context, p bus.Partition, first int64) error {
	table := "alert"
	if p.Topic == bus.TopicTriage {
		table = "change"
	}
	for {
		var from, last sql.NullInt64
		err := v.db.Read().QueryRowContext(ctx, "SELECT min(off), max(off) FROM "+table+" WHERE topic = ? AND part = ? AND off < ?", p.Topic, p.Partition, first).Scan(&from, &last)
		if err != nil {
			return fmt.Errorf("looking for what has left the log: %w", err)
		}
		if !from.Valid {
			return nil
		}
		to := min(from.Int64+trimStep, first)
		if err := v.db.Write(ctx, func(tx *sql.Tx) error { return v.trimTo(ctx, tx, table, p, to) }); err != nil {
			return err
		}
		v.news.tell()
	}
}

// trimTo removes the records of a partition below an offset.
func (v *Inbox) trimTo(ctx context.Context, tx *sql.Tx, table string, p bus.Partition, to int64) error {
	b := newApplying(tx)
	defer b.close()
	if err := b.touch(ctx, "SELECT DISTINCT g FROM "+table+" WHERE topic = ? AND part = ? AND off < ?", p, to); err != nil {
		return err
	}
	if table == "alert" {
		if err := b.succeed(ctx, p, to); err != nil {
			return err
		}
		if err := b.exec(ctx, "DELETE FROM doc WHERE topic = ? AND part = ? AND off < ?", p.Topic, p.Partition, to); err != nil {
			return err
		}
	}
	s, err := b.prepare(ctx, "DELETE FROM "+table+" WHERE topic = ? AND part = ? AND off < ?")
	if err != nil {
		return err
	}
	res, err := s.ExecContext(ctx, p.Topic, p.Partition, to)
	if err != nil {
		return fmt.Errorf("removing what has left the log: %w", err)
	}
	if n, err := res.RowsAffected(); err == nil {
		v.metrics.trimmed.Add(float64(n))
	}
	return b.settle(ctx)
}

// touch has the groups that a query names taken from their rows again.
func (b *applying) touch(ctx context.Context, query string, p bus.Partition, to int64) error {
	var ids []int64
	err := each(ctx, b.db, func(rows *sql.Rows) error {
		var g int64
		err := rows.Scan(&g)
		ids = append(ids, g)
		return err
	}, query, p.Topic, p.Partition, to)
	if err != nil {
		return err
	}
	for _, g := range ids {
		r, err := b.groupByID(ctx, g)
		if err != nil {
			return err
		}
		r.again = true
	}
	return nil
}

// succeed lets the next record of an id take the place of the first that
// leaves.
func (b *applying) succeed(ctx context.Context, p bus.Partition, to int64) error {
	type heir struct {
		at Position
		g  int64
	}
	var heirs []heir
	err := each(ctx, b.db, func(rows *sql.Rows) error {
		var id string
		var h heir
		err := rows.Scan(&id, &h.at.Topic, &h.at.Partition, &h.at.Offset, &h.g)
		heirs = append(heirs, h)
		return err
	}, `SELECT id, topic, part, off, g FROM (
			SELECT b.id, b.topic, b.part, b.off, b.g, row_number() OVER (PARTITION BY b.id ORDER BY b.topic, b.part, b.off) n
			FROM alert a JOIN alert b ON b.id = a.id AND b.dup = 1
			WHERE a.topic = ?1 AND a.part = ?2 AND a.off < ?3 AND a.dup = 0
			AND NOT (b.topic = ?1 AND b.part = ?2 AND b.off < ?3)
		) WHERE n = 1`, p.Topic, p.Partition, to)
	if err != nil {
		return err
	}
	for _, h := range heirs {
		r, err := b.groupByID(ctx, h.g)
		if err != nil {
			return err
		}
		r.again = true
		err = b.exec(ctx, "UPDATE alert SET dup = 0 WHERE topic = ? AND part = ? AND off = ?", h.at.Topic, h.at.Partition, h.at.Offset)
		if err != nil {
			return err
		}
	}
	return nil
}
