package tail

import (
	"cmp"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// candidate is a file that lies at the path or beside it.
type candidate struct {
	path     string
	inode    uint64
	size     int64
	modified time.Time
}

func (c candidate) fingerprint(n int64) string {
	if n == 0 || c.size < n {
		return ""
	}
	f, err := os.Open(c.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	return fingerprint(f, n)
}

// candidates returns the files that may be read, oldest first: the one at the
// path is the youngest.
func (t *Tail) candidates() []candidate {
	dir, name := filepath.Split(t.opts.Path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []candidate
	for _, e := range entries {
		if e.Name() != name && !isOlder(e.Name(), name) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		info, err := os.Stat(path) // the path may be a link
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		sys, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		out = append(out, candidate{path: path, inode: sys.Ino, size: info.Size(), modified: info.ModTime()})
	}
	slices.SortStableFunc(out, func(a, b candidate) int {
		if (a.path == t.opts.Path) != (b.path == t.opts.Path) {
			if a.path == t.opts.Path {
				return 1
			}
			return -1
		}
		return cmp.Or(a.modified.Compare(b.modified), strings.Compare(a.path, b.path))
	})
	return out
}

// isOlder says whether a file's name is that of an older file of the path.
// Compressed ones are not: they were read before they were compressed.
func isOlder(file, name string) bool {
	stem, ext := strings.TrimSuffix(name, filepath.Ext(name)), filepath.Ext(name)
	for _, packed := range []string{".gz", ".bz2", ".xz", ".zst", ".lz4", ".new", ".tmp"} {
		if strings.HasSuffix(file, packed) {
			return false
		}
	}
	if strings.HasPrefix(file, name+".") || strings.HasPrefix(file, name+"-") {
		return true
	}
	// logrotate's "extension" option keeps it last: eve-20260101.json
	return ext != "" && strings.HasPrefix(file, stem+"-") && strings.HasSuffix(file, ext)
}

// scan matches the files that lie there with those that are known. With skip,
// older files that are not known count as read.
func (t *Tail) scan(skip bool) error {
	t.scanned = time.Now()
	found := t.candidates()
	t.match(found)
	before := len(t.marks.Files)
	for _, c := range found {
		t.meet(c, skip && c.path != t.opts.Path)
	}
	t.forget()
	t.current = nil
	for _, e := range t.marks.Files {
		if e.Done { // killed before it was removed
			if err := t.remove(e); err != nil {
				return err
			}
		}
		if e.path == t.opts.Path {
			t.current = e
		}
	}
	if t.dirty || len(t.marks.Files) != before {
		// An identity must be on disk before a line is appended under it.
		if err := t.marks.write(t.opts.Bookmark, true); err != nil {
			return err
		}
		t.dirty, t.saved = false, time.Now()
	}
	return nil
}

// match finds out where each known file lies now: by inode, if its head still
// is the same; else, where it was copied away and truncated, by its head.
func (t *Tail) match(found []candidate) {
	taken := map[string]bool{}
	for _, e := range t.marks.Files {
		e.path = ""
		for _, c := range found {
			switch {
			case c.inode != e.Inode:
			case c.size >= e.Offset && c.fingerprint(e.HeadLen) == e.Head:
				e.path, e.size, e.missed, taken[c.path] = c.path, c.size, 0, true
			default:
				e.missed = mayMiss // truncated, or the inode is another file's now
			}
		}
	}
	for _, e := range t.marks.Files {
		if e.path != "" {
			continue
		}
		for _, c := range found {
			if !taken[c.path] && c.size >= e.Offset && c.fingerprint(e.HeadLen) == e.Head {
				e.close()
				e.path, e.size, e.Inode, e.missed, taken[c.path] = c.path, c.size, c.inode, 0, true
				t.dirty = true
				break
			}
		}
		// An open file can be read to its end even when it has no name left.
		if e.path == "" && e.file != nil {
			if info, err := e.file.Stat(); err != nil || info.Size() < e.Offset || fingerprint(e.file, e.HeadLen) != e.Head {
				t.lost(e)
			}
		}
	}
}

// lost notes that a file was truncated or overwritten before all was read.
func (t *Tail) lost(e *entry) {
	e.close()
	if !e.Done {
		t.deps.Scope.Logger().Warn("file was truncated; what had not been read is lost",
			"path", t.opts.Path, "identity", e.ID, "read", e.Offset, "size_seen", e.size)
	}
	e.Done, t.dirty = true, true
}

// meet makes an entry of a file that is not known.
func (t *Tail) meet(c candidate, read bool) {
	for _, e := range t.marks.Files {
		if e.path == c.path {
			return
		}
	}
	f, err := os.Open(c.path)
	if err != nil {
		return
	}
	defer f.Close()
	first := make([]byte, headMost)
	n, _ := f.ReadAt(first, 0)
	length := headLength(first[:n])
	if length == 0 {
		if c.path == t.opts.Path || c.size == 0 {
			return
		}
		length = int64(n) // it does not grow any more
	}
	head := fingerprint(f, length)
	for _, e := range t.marks.Files {
		// A copy of a file that is being read: copytruncate is about to
		// truncate that, or somebody has made a backup.
		if e.path != "" && c.path != t.opts.Path && beginsLike(f, c.size, e.path) {
			return
		}
	}
	g := t.marks.Generation
	t.marks.Generation++
	e := &entry{
		Inode: c.inode, HeadLen: length, Head: head, Generation: g, path: c.path, size: c.size,
		ID: identity(t.tag, c.inode, head, length, g),
	}
	if read {
		e.Offset, e.Done = c.size, true
	}
	t.marks.Files = append(t.marks.Files, e)
	t.dirty = true
}

// beginsLike says whether the first bytes of a file, 64 KiB at most, are those
// of the file at the path.
func beginsLike(f io.ReaderAt, size int64, path string) bool {
	other, err := os.Open(path)
	if err != nil {
		return false
	}
	defer other.Close()
	n := min(size, 64<<10)
	head := fingerprint(f, n)
	return head != "" && head == fingerprint(other, n)
}

// mayMiss is how many scans in a row may not find a file before it is gone.
const mayMiss = 1

// forget drops entries of files that are gone: not found twice in a row, since
// one that is renamed while the folder is listed is found under neither name.
// One that had not been read to its end is reported.
func (t *Tail) forget() {
	t.marks.Files = slices.DeleteFunc(t.marks.Files, func(e *entry) bool {
		if e.path != "" || e.file != nil {
			return false
		}
		if e.missed++; e.missed <= mayMiss {
			return false
		}
		if !e.Done {
			t.deps.Scope.Logger().Warn("file is gone or overwritten; what had not been read of it is lost", "path", t.opts.Path, "identity", e.ID, "read", e.Offset)
		}
		t.dirty = true
		return true
	})
}
