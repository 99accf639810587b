package storage

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// journalReader reads one journal file.
type journalReader struct {
	f    File
	gen  uint64
	size int64
}

// journaled is a batch as the journal gives it back.
type journaled struct {
	topic       [16]byte
	partition   int32
	incarnation uint32
	batch       []byte
}

// readJournals returns the journals in the folder, oldest first; the caller
// closes their files.
func readJournals(fsys FS, dir string) ([]journalReader, error) {
	entries, err := fsys.ReadDir(dir)
	if notExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []journalReader
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), journalSuffix) {
			continue
		}
		f, err := fsys.OpenFile(filepath.Join(dir, e.Name()), os.O_RDONLY, 0)
		if err != nil {
			return out, err
		}
		r, ok := newJournalReader(f)
		if !ok {
			_ = f.Close() // never used, or torn while it was made
			continue
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b journalReader) int {
		if a.gen < b.gen {
			return -1
		}
		return 1
	})
	return out, nil
}

func newJournalReader(f File) (journalReader, bool) {
	var head [journalHeader]byte
	if _, err := f.ReadAt(head[:], 0); err != nil || string(head[:8]) != journalMagic {
		return journalReader{}, false
	}
	size, err := f.Size()
	return journalReader{f: f, gen: binary.BigEndian.Uint64(head[8:]), size: size}, err == nil
}

// each calls fn for every entry of the file's generation; the first that is
// not ends the file.
func (r journalReader) each(maxBatch int, fn func(journaled) error) error {
	var head [4]byte
	var buf []byte
	for pos := int64(journalHeader); ; {
		if _, err := r.f.ReadAt(head[:], pos); err != nil {
			return notEOF(err)
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		if n < journalEntryHead+headerSize || n > int64(journalEntryHead+maxBatch) || pos+n > r.size {
			return nil
		}
		buf = slices.Grow(buf[:0], int(n))[:n]
		if _, err := r.f.ReadAt(buf, pos); err != nil {
			return notEOF(err)
		}
		if entryCRC(r.gen, buf) != binary.BigEndian.Uint32(buf[4:]) {
			return nil
		}
		e := journaled{
			topic:       [16]byte(buf[8:24]),
			partition:   int32(binary.BigEndian.Uint32(buf[24:])),
			incarnation: binary.BigEndian.Uint32(buf[28:]),
			batch:       buf[journalEntryHead:],
		}
		if err := fn(e); err != nil {
			return err
		}
		pos += n
	}
}

func notEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
