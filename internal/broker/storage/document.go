package storage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Documents are the small files that are replaced as a whole: a line that
// names kind, version and CRC, then JSON. They are written aside, synced and
// renamed, so that a crash leaves the old one or the new one. The kind is the
// file's name without .json.
const (
	documentVersion = 1 // of every kind
	maxDocument     = 256 << 20
)

var errDocument = errors.New("document does not match its checksum")

func kindOf(path string) string { return strings.TrimSuffix(filepath.Base(path), ".json") }

func writeDocument(fsys FS, path string, v any) error {
	body, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	head := fmt.Sprintf("decoder %s %d %08x\n", kindOf(path), documentVersion, crc32.Checksum(body, castagnoli))
	if err := writeAside(fsys, path, bytes.NewReader(append([]byte(head), body...))); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// writeAside gives the file of the path new content, and it is durable.
func writeAside(fsys FS, path string, content io.Reader) error {
	aside := path + ".new"
	f, err := fsys.OpenFile(aside, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(f, 0), content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return renameDurably(fsys, aside, path)
}

// renameDurably is for names whose folder is the same, or whose old one may
// come back: only the new one's is synced.
func renameDurably(fsys FS, from, to string) error {
	if err := fsys.Rename(from, to); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(to))
}

// readDocument fills v. The error is fs.ErrNotExist when there is none,
// ErrFormat when it is newer than this program.
func readDocument(fsys FS, path string, v any) error {
	b, err := readFile(fsys, path)
	if err != nil {
		return err
	}
	if err := decodeDocument(b, kindOf(path), v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

func decodeDocument(b []byte, kind string, v any) error {
	head, body, ok := bytes.Cut(b, []byte("\n"))
	var gotKind string
	var gotVersion int
	var sum uint32
	if !ok || len(head) > 100 {
		return errDocument
	}
	if _, err := fmt.Sscanf(string(head), "decoder %s %d %x", &gotKind, &gotVersion, &sum); err != nil || gotKind != kind {
		return errDocument
	}
	if gotVersion > documentVersion {
		return fmt.Errorf("%w: %s version %d, this program knows %d", ErrFormat, kind, gotVersion, documentVersion)
	}
	if crc32.Checksum(body, castagnoli) != sum {
		return errDocument
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("%w: %w", errDocument, err)
	}
	return nil
}

func readFile(fsys FS, path string) ([]byte, error) {
	f, size, err := openRead(fsys, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > maxDocument {
		return nil, fmt.Errorf("%s: %w: %d bytes", path, errDocument, size)
	}
	return readUpTo(f, make([]byte, size), 0, size)
}

// openRead opens a file and says how long it is.
func openRead(fsys FS, path string) (f File, size int64, err error) {
	if f, err = fsys.OpenFile(path, os.O_RDONLY, 0); err != nil {
		return nil, 0, err
	}
	if size, err = f.Size(); err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, size, nil
}

func notExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }
