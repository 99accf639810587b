package main

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the peer
)

// benchSQLite puts the same events into SQLite as one would for search: columns
// with indexes for what is filtered and sorted by, FTS5 over the whole JSON.
func benchSQLite(ctx context.Context, n int) (f storeFigures, err error) {
	dir, err := os.MkdirTemp("", "decoder-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "events.db")
	db, err := sql.Open("sqlite", path+"?_pragma=journal_mode(wal)&_pragma=synchronous(normal)")
	if err != nil {
		return f, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, q := range []string{
		`create table events (id text primary key, at integer, dataset text, port integer, json text) without rowid`,
		`create index by_dataset on events (dataset, at)`,
		`create index by_time on events (at)`,
		`create virtual table words using fts5(json, content='')`,
	} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return f, err
		}
	}
	start := time.Now()
	events := newStoreEvents(n, 24*time.Hour)
	for left := n; left > 0; left -= 2000 {
		if err := insertSQLite(ctx, db, events, min(left, 2000)); err != nil {
			return f, err
		}
	}
	f.rate = float64(n) / time.Since(start).Seconds()
	if _, err := db.ExecContext(ctx, `pragma wal_checkpoint(truncate)`); err != nil {
		return f, err
	}
	st, err := os.Stat(path)
	if err != nil {
		return f, err
	}
	f.bytes = float64(st.Size()) / float64(n)
	f.queries = map[string]time.Duration{}
	for name, q := range map[string]string{
		"newest 100 alerts":      `select json from events where dataset = 'suricata.alert' order by at desc limit 100`,
		"full text, a rare word": `select rowid from words where words match '` + storeRare + `'`,
		"histogram by minute":    `select at / 60000000000, count(*) from events group by 1`,
		"top 10 of a field":      `select port, count(*) from events group by 1 order by 2 desc limit 10`,
		"count of all":           `select count(*) from events`,
	} {
		if f.queries[name], err = median(func() (int, error) { return countRows(ctx, db, q) }); err != nil {
			return f, fmt.Errorf("%s: %w", name, err)
		}
	}
	return f, nil
}

func insertSQLite(ctx context.Context, db *sql.DB, events *storeEvents, n int) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it is nothing
	row, err := tx.PrepareContext(ctx, `insert or ignore into events select ?1, ?2, json_extract(?3, '$.event.dataset'), json_extract(?3, '$.destination.port'), ?3`)
	if err != nil {
		return err
	}
	words, err := tx.PrepareContext(ctx, `insert into words (json) values (?)`)
	if err != nil {
		return err
	}
	for _, d := range events.batch(n) {
		if _, err := row.ExecContext(ctx, d.ID, d.Time.UnixNano(), string(d.JSON)); err != nil {
			return err
		}
		if _, err := words.ExecContext(ctx, string(d.JSON)); err != nil {
			return err
		}
	}
	return tx.Commit()
}

func countRows(ctx context.Context, db *sql.DB, query string) (n int, err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		n++
	}
	return n, rows.Err()
}
