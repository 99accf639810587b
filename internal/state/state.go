// Package state owns the SQLite databases of the data folder: opening them,
// their durability, their format versions and migrations. It is the only
// importer of the driver. It knows nothing of what the tables hold.
package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	sqlite "modernc.org/sqlite"
)

// Schema describes a database file.
type Schema struct {
	// Name is the file's stem.
	Name string
	// Application marks the file as ours (PRAGMA application_id).
	Application int32
	// Migrations are applied in order; the version of the format is their
	// number. A released one never changes.
	Migrations []string
	// Derived says that all content can be rebuilt from the log: a commit may
	// then be undone by a power failure (never by a kill), since offsets are
	// in the same transaction, and a file that is damaged or of an older format
	// is put aside and begun anew.
	Derived bool
}

// DB is an open database: one connection that writes, and some that read
// beside it without waiting for it. It may be used concurrently.
type DB struct {
	write *sql.DB
	read  *sql.DB
	fresh string
}

// ErrNewer is returned for a file of a newer format than this program knows.
var ErrNewer = errors.New("format is newer than this program")

var errDamaged = errors.New("file is damaged")

// readers is the number of connections that read.
const readers = 4

// Open opens or creates the database in the folder, and brings an older format
// up to date. The folder must be locked by the caller: two programs on one
// data folder are its business.
func Open(ctx context.Context, dir string, s Schema) (*DB, error) {
	path := filepath.Join(dir, s.Name+".db")
	db, err := open(ctx, path, s)
	if !s.Derived || !errors.Is(err, errDamaged) {
		return db, err
	}
	reason := err.Error()
	if err := putAside(path); err != nil {
		return nil, err
	}
	if db, err = open(ctx, path, s); err != nil {
		return nil, err
	}
	db.fresh = reason
	return db, nil
}

// Fresh says why a derived database was begun anew, or "".
func (db *DB) Fresh() string { return db.fresh }

func open(ctx context.Context, path string, s Schema) (*DB, error) {
	if err := create(path); err != nil {
		return nil, err
	}
	write, err := sql.Open("sqlite", dsn(path, s.Derived, false))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	if err := migrate(ctx, write, path, s); err != nil {
		return nil, errors.Join(classify(err), write.Close())
	}
	read, err := sql.Open("sqlite", dsn(path, s.Derived, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	return &DB{write: write, read: read}, nil
}

// create makes the file with a mode of its own, since what SQLite would choose
// depends on the umask, and SQLite gives its side files the mode of the file.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("creating database: %w", err)
	}
	return f.Close()
}

func dsn(path string, derived, readOnly bool) string {
	v := url.Values{}
	v.Add("_pragma", "busy_timeout(5000)")
	v.Add("_pragma", "journal_mode(wal)")
	v.Add("_pragma", "foreign_keys(on)")
	v.Add("_pragma", "cache_size(-8000)")
	v.Add("_pragma", "trusted_schema(off)")
	v.Add("_pragma", "wal_autocheckpoint(4000)") // pages: 16 MiB
	if derived {
		v.Add("_pragma", "synchronous(normal)")
	} else {
		v.Add("_pragma", "synchronous(full)")
	}
	if readOnly {
		v.Add("_pragma", "query_only(on)")
	} else {
		v.Add("_txlock", "immediate")
	}
	return (&url.URL{Scheme: "file", Opaque: url.PathEscape(path), RawQuery: v.Encode()}).String()
}

// Unavailable says whether an error is the database's state, such as a full
// disk, and not what was asked of it: the same may succeed later.
func Unavailable(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff { // result codes, https://sqlite.org/rescode.html
	case 5, 6, 7, 8, 10, 13, 14, 15, 23, corrupt, notADB: // busy, locked, nomem, readonly, ioerr, full, cantopen, protocol, auth
		return true
	}
	return false
}

const corrupt, notADB = 11, 26

// classify turns SQLite's words for a broken file into errDamaged.
func classify(err error) error {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		if code := e.Code() & 0xff; code == corrupt || code == notADB {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	return err
}

// putAside keeps the damaged file for whoever wants to know why.
func putAside(path string) error {
	for _, side := range []string{"-wal", "-shm"} {
		if err := os.Remove(path + side); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("removing beside a damaged database: %w", err)
		}
	}
	if err := os.Rename(path, path+".damaged"); err != nil {
		return fmt.Errorf("putting a damaged database aside: %w", err)
	}
	return nil
}

// Close closes the database.
func (db *DB) Close() error {
	return errors.Join(db.read.Close(), db.write.Close())
}

// Read returns the connections that read. What they see is the state after
// the last committed Write.
func (db *DB) Read() *sql.DB { return db.read }

// Snapshot calls f in a transaction that reads: all f sees is of one moment.
func (db *DB) Snapshot(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning to read: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // there is nothing to undo
	return f(tx)
}

// Write calls f in a transaction that is committed when f returns nil. One
// runs at a time.
func (db *DB) Write(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning transaction: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing transaction: %w", err)
	}
	return nil
}
