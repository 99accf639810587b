// Package atomicfile replaces small files, so that a kill at any moment leaves
// the old content or the new, never a part. It does not know what they hold.
package atomicfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write replaces the file. The end of the machine's power within the next
// seconds may bring the old content back. Two calls for one path must not
// overlap. The file is readable by its owner alone.
func Write(path string, content []byte) error { return write(path, content, false) }

// WriteDurable is Write, and returns only when the content survives the end of
// the machine's power.
func WriteDurable(path string, content []byte) error { return write(path, content, true) }

// WriteJSON is WriteDurable of v as JSON.
func WriteJSON(path string, v any) error {
	content, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return WriteDurable(path, append(content, '\n'))
}

func write(path string, content []byte, durable bool) error {
	aside := path + ".new"
	f, err := os.OpenFile(aside, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(content)
	if durable && err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(aside, path)
	}
	if err == nil && durable {
		err = SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// SyncDir makes what was renamed, made or removed in a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("syncing %s: %w", dir, err)
	}
	return nil
}
