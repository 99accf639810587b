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

	"github.com/decodersring/decoder/internal/atomicfile"
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

// Save makes the value durable, and the folder if it is missing.
func (b *Bookmark) Save(v any) error {
	if err := os.MkdirAll(filepath.Dir(b.path), 0o700); err != nil {
		return fmt.Errorf("creating folder of bookmark: %w", err)
	}
	return atomicfile.WriteJSON(b.path, v)
}
