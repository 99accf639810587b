package state

import (
	"context"
	"database/sql"
	"fmt"
)

// migrate brings the file to the schema's version in one transaction, so that
// a kill leaves the old format or the new.
func migrate(ctx context.Context, db *sql.DB, path string, s Schema) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("opening %s: %w", path, err)
	}
	defer func() { _ = tx.Rollback() }() // after Commit it does nothing
	var application, version int
	if err := tx.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("reading format version of %s: %w", path, err)
	}
	switch {
	case version == 0 && application == 0: // new
	case application != int(s.Application):
		return fmt.Errorf("%s is not a database of this program (application id %d, not %d)", path, application, s.Application)
	case version > len(s.Migrations):
		return fmt.Errorf("%s has format %d, this program knows up to %d: run the newer version that wrote it: %w",
			path, version, len(s.Migrations), ErrNewer)
	case version < len(s.Migrations) && s.Derived:
		return fmt.Errorf("%w: %s has the older format %d", errDamaged, path, version)
	}
	for i := version; i < len(s.Migrations); i++ {
		if _, err := tx.ExecContext(ctx, s.Migrations[i]); err != nil {
			return fmt.Errorf("bringing %s to format %d: %w", path, i+1, err)
		}
	}
	// PRAGMA takes no parameters; both are numbers of ours.
	pragmas := fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", s.Application, len(s.Migrations))
	if _, err := tx.ExecContext(ctx, pragmas); err != nil {
		return fmt.Errorf("noting format version of %s: %w", path, err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("creating %s: %w", path, err)
	}
	return nil
}
