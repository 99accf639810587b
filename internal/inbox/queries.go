package inbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// querier is a transaction, or the connections that read.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// queries asks a database, each text prepared once in a transaction.
type queries struct {
	db       querier
	prepared map[string]*sql.Stmt
}

func (q *queries) prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	if s := q.prepared[text]; s != nil {
		return s, nil
	}
	s, err := q.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("preparing query: %w", err)
	}
	if q.prepared == nil {
		q.prepared = map[string]*sql.Stmt{}
	}
	q.prepared[text] = s
	return s, nil
}

// close releases the prepared statements.
func (q *queries) close() {
	for _, s := range q.prepared {
		_ = s.Close() // of a statement; nothing depends on it
	}
}

type failed struct{ err error }

func (f failed) Scan(...any) error { return f.err }

func (q *queries) one(ctx context.Context, text string, args ...any) scanner {
	s, err := q.prepare(ctx, text)
	if err != nil {
		return failed{err}
	}
	return s.QueryRowContext(ctx, args...)
}

func (q *queries) exec(ctx context.Context, text string, args ...any) error {
	s, err := q.prepare(ctx, text)
	if err != nil {
		return err
	}
	if _, err := s.ExecContext(ctx, args...); err != nil {
		return fmt.Errorf("writing inbox: %w", err)
	}
	return nil
}

// each calls take for each row of an answer.
func each(ctx context.Context, db querier, take func(*sql.Rows) error, text string, args ...any) (err error) {
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return fmt.Errorf("reading inbox: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := take(rows); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading inbox: %w", err)
	}
	return nil
}

// changes returns a group's changes in their order, each once: a change that
// was appended twice counts at its first place.
func (q *queries) changes(ctx context.Context, g int64) ([]Change, error) {
	var out []Change
	seen := map[string]bool{}
	err := each(ctx, q.db, func(rows *sql.Rows) error {
		var b []byte
		if err := rows.Scan(&b); err != nil {
			return err
		}
		var c Change
		if err := json.Unmarshal(b, &c); err != nil {
			return fmt.Errorf("reading change: %w", err)
		}
		if !seen[c.ID] {
			seen[c.ID] = true
			out = append(out, c)
		}
		return nil
	}, "SELECT json FROM change WHERE g = ? ORDER BY off, part, topic", g)
	return out, err
}

// last returns the position of the last alert of a group in each partition
// that has one.
func (q *queries) last(ctx context.Context, g int64) ([]Position, error) {
	var out []Position
	err := each(ctx, q.db, func(rows *sql.Rows) error {
		var p Position
		if err := rows.Scan(&p.Topic, &p.Partition, &p.Offset); err != nil {
			return err
		}
		out = append(out, p)
		return nil
	}, "SELECT topic, part, max(off) FROM doc WHERE g = ? GROUP BY topic, part ORDER BY topic, part", g)
	return out, err
}

// unseen says whether the group has an alert that seen does not cover.
func (q *queries) unseen(ctx context.Context, g int64, seen []Position) (bool, error) {
	last, err := q.last(ctx, g)
	if err != nil {
		return false, err
	}
	for _, p := range last {
		from := int64(-1)
		for _, s := range seen {
			if s.Topic == p.Topic && s.Partition == p.Partition {
				from = max(from, s.Offset)
			}
		}
		var found bool
		err := q.one(ctx, "SELECT EXISTS(SELECT 1 FROM alert WHERE g = ? AND topic = ? AND part = ? AND off > ? AND dup = 0)",
			g, p.Topic, p.Partition, from).Scan(&found)
		if err != nil || found {
			return found, err
		}
	}
	return false, nil
}
