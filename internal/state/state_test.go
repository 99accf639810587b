package state_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/state"
)

func schema(migrations ...string) state.Schema {
	return state.Schema{Name: "t", Application: 77, Migrations: migrations}
}

const one, two = "CREATE TABLE a(x INTEGER)", "ALTER TABLE a ADD COLUMN y TEXT DEFAULT 'old'"

func open(t *testing.T, dir string, s state.Schema) *state.DB {
	t.Helper()
	db, err := state.Open(t.Context(), dir, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func insert(t *testing.T, db *state.DB) {
	t.Helper()
	if err := db.Write(t.Context(), func(tx *sql.Tx) error {
		_, err := tx.ExecContext(t.Context(), "INSERT INTO a(x) VALUES(1)")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func count(t *testing.T, db *state.DB) (n int) {
	t.Helper()
	if err := db.Read().QueryRowContext(t.Context(), "SELECT count(*) FROM a").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOlderFormatIsMigratedAndKeepsItsRows(t *testing.T) {
	dir := t.TempDir()
	db, err := state.Open(t.Context(), dir, schema(one))
	if err != nil {
		t.Fatal(err)
	}
	insert(t, db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open(t, dir, schema(one, two))
	var y string
	if err := db.Read().QueryRowContext(t.Context(), "SELECT y FROM a").Scan(&y); err != nil || y != "old" {
		t.Fatalf("y = %q, %v", y, err)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, schema(one, two))
	for _, derived := range []bool{false, true} {
		s := schema(one)
		s.Derived = derived
		_, err := state.Open(t.Context(), dir, s)
		if !errors.Is(err, state.ErrNewer) || !strings.Contains(err.Error(), "has format 2, this program knows up to 1") {
			t.Errorf("derived %v: %v", derived, err)
		}
	}
}

func TestForeignDatabaseIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, dir, schema(one))
	s := schema(one)
	s.Application = 78
	if _, err := state.Open(t.Context(), dir, s); err == nil || !strings.Contains(err.Error(), "is not a database of this program") {
		t.Fatal(err)
	}
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	dir := t.TempDir()
	db, err := state.Open(t.Context(), dir, schema(one))
	if err != nil {
		t.Fatal(err)
	}
	insert(t, db)
	_ = db.Close()
	if _, err := state.Open(t.Context(), dir, schema(one, two, "CREATE NONSENSE")); err == nil {
		t.Fatal("a failing migration was accepted")
	}
	if n := count(t, open(t, dir, schema(one))); n != 1 {
		t.Fatalf("%d rows after a failed migration", n)
	}
}

func TestDamagedFile(t *testing.T) {
	for _, derived := range []bool{false, true} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "t.db"), []byte(strings.Repeat("garbage ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
		s := schema(one)
		s.Derived = derived
		db, err := state.Open(t.Context(), dir, s)
		if !derived {
			if err == nil {
				t.Fatal("a damaged file that cannot be rebuilt was replaced")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if db.Fresh() == "" || count(t, db) != 0 {
			t.Errorf("fresh %q", db.Fresh())
		}
		_ = db.Close()
		if _, err := os.Stat(filepath.Join(dir, "t.db.damaged")); err != nil {
			t.Error(err)
		}
	}
}

func TestFailedWriteLeavesNothing(t *testing.T) {
	db := open(t, t.TempDir(), schema(one))
	want := errors.New("no")
	err := db.Write(t.Context(), func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO a(x) VALUES(1)"); err != nil {
			return err
		}
		return want
	})
	if !errors.Is(err, want) || count(t, db) != 0 {
		t.Fatalf("%v, %d rows", err, count(t, db))
	}
}

func TestReadersCannotWrite(t *testing.T) {
	db := open(t, t.TempDir(), schema(one))
	if _, err := db.Read().ExecContext(t.Context(), "INSERT INTO a(x) VALUES(1)"); err == nil {
		t.Fatal("a reader wrote")
	}
}

func TestFilesAreThePrivateOnes(t *testing.T) {
	dir := t.TempDir()
	insert(t, open(t, dir, schema(one)))
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		t.Fatal(err)
	}
	for _, e := range entries {
		if i, err := e.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", e.Name(), i.Mode(), err)
		}
	}
}

func TestPathWithOddCharacters(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	insert(t, open(t, dir, schema(one)))
	if _, err := os.Stat(filepath.Join(dir, "t.db")); err != nil {
		t.Fatal(err)
	}
}
