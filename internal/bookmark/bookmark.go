// Package bookmark keeps a component's place in a small file. It does not know
// what the place is in.
package bookmark

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Bookmark is a small JSON value in a file, replaced as a whole: after a crash
// the file holds the old value or the new one. It is not for concurrent use.
type Bookmark struct{ path string }

// New returns the bookmark in the file. It does no I/O.
func New(path string) *Bookmark { return &Bookmark{path} }

// Load reads the value; a file that is not there leaves v as it is.
func (b *Bookmark) Load(v any) error {
	data, err := os.ReadFile(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading bookmark: %w", err)
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading bookmark %s: %w", b.path, err)
	}
	return nil
}

// Save makes the value durable.
func (b *Bookmark) Save(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing bookmark %s: %w", b.path, err)
	}
	dir := filepath.Dir(b.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating folder of bookmark: %w", err)
	}
	next := b.path + ".next"
	if err := writeSynced(next, data); err != nil {
		return fmt.Errorf("writing bookmark: %w", err)
	}
	if err := os.Rename(next, b.path); err != nil {
		return fmt.Errorf("replacing bookmark: %w", err)
	}
	return syncDir(dir)
}

func writeSynced(path string, data []byte) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if e := f.Close(); err == nil {
			err = e
		}
	}()
	if _, err := f.Write(data); err != nil {
		return err
	}
	return f.Sync()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening folder of bookmark: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("syncing folder of bookmark: %w", err)
	}
	return nil
}
