package tail

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// entry is a file that is, or was, read.
type entry struct {
	Inode      uint64 `json:"inode"`
	HeadLen    int64  `json:"head_len"` // bytes the fingerprint covers; grows to headMost as they are read
	Head       string `json:"head"`     // SHA-256 of them, hexadecimal
	Generation int    `json:"generation"`
	ID         string `json:"id"`     // stands in origins
	Offset     int64  `json:"offset"` // acknowledged up to here
	Done       bool   `json:"done"`   // it has ended and all of it is acknowledged

	path   string // where it lies now; "" when it is gone
	file   *os.File
	size   int64
	atEnd  bool // the last read found nothing new
	missed int  // scans in a row that did not find it
	final  bool // its writer has gone on to another file
	failed bool // a problem with it has been reported
}

// bookmark is what is kept on disk.
type bookmark struct {
	Version    int      `json:"version"`
	Generation int      `json:"generation"` // of the next file
	Files      []*entry `json:"files"`      // oldest first
}

const bookmarkVersion = 1

func readBookmark(path string) (bookmark, error) {
	b := bookmark{Version: bookmarkVersion}
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return b, fmt.Errorf("reading bookmark: %w", err)
	}
	if err := json.Unmarshal(text, &b); err != nil {
		// It is replaced by rename, so this is damage from outside. The log
		// says where to go on.
		return bookmark{Version: bookmarkVersion}, nil
	}
	if b.Version > bookmarkVersion {
		return b, fmt.Errorf("reading bookmark %s: it is of version %d, written by a newer program; this one knows %d", path, b.Version, bookmarkVersion)
	}
	return b, nil
}

// write replaces the bookmark; durable says that it must survive the end of
// the machine's power too.
func (b *bookmark) write(path string, durable bool) error {
	text, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("writing bookmark: %w", err)
	}
	write := atomicfile.Write
	if durable {
		write = atomicfile.WriteDurable
	}
	return write(path, append(text, '\n'))
}

// headMost is how much of a file its fingerprint covers at most.
const headMost = 1024

// headLength is how much of a file, of which the first bytes are given, its
// fingerprint covers: headMost, or what whole lines there are. 0 means that
// the file is too young to be known.
func headLength(first []byte) int64 {
	if len(first) >= headMost {
		return headMost
	}
	return int64(strings.LastIndexByte(string(first), '\n') + 1)
}

// fingerprint is the SHA-256 of a file's first n bytes, "" when it is shorter.
func fingerprint(f io.ReaderAt, n int64) string {
	buf := make([]byte, n)
	if _, err := f.ReadAt(buf, 0); err != nil {
		return ""
	}
	sum := sha256.Sum256(buf)
	return hex.EncodeToString(sum[:])
}

// learn widens the fingerprint to what has been read, so that files that begin
// alike, as with a header, are told apart. The identity stays.
func (e *entry) learn() {
	n := min(e.Offset, headMost)
	if n <= e.HeadLen || e.file == nil {
		return
	}
	if head := fingerprint(e.file, n); head != "" {
		e.HeadLen, e.Head = n, head
	}
}

// tag begins the identities of all files of one path of one sensor, so that the
// last origin of that path can be asked for.
func tag(key, path string) string {
	sum := sha256.Sum256([]byte(key + "\n" + path))
	return hex.EncodeToString(sum[:4])
}

// identity gives a file the name its lines' origins carry. Generation sets
// apart two files of the same path, head and inode.
func identity(tag string, inode uint64, head string, headLen int64, generation int) string {
	sum := sha256.Sum256([]byte(tag + "\n" + strconv.FormatUint(inode, 10) + "\n" + head + "\n" + strconv.Itoa(generation)))
	return fmt.Sprintf("%s.%s.%d.%d", tag, hex.EncodeToString(sum[:10]), headLen, generation)
}

// parseOrigin takes apart "<prefix>-<id>:<offset>".
func parseOrigin(origin, prefix string) (id string, offset int64, ok bool) {
	rest, ok := strings.CutPrefix(origin, prefix+"-")
	i := strings.LastIndexByte(rest, ':')
	if !ok || i < 0 {
		return "", 0, false
	}
	offset, err := strconv.ParseInt(rest[i+1:], 10, 64)
	return rest[:i], offset, err == nil && offset >= 0
}

// parseIdentity returns what an identity was made with, besides the file.
func parseIdentity(id string) (headLen int64, generation int, ok bool) {
	f := strings.Split(id, ".")
	if len(f) != 4 {
		return 0, 0, false
	}
	headLen, err := strconv.ParseInt(f[2], 10, 64)
	generation, err2 := strconv.Atoi(f[3])
	return headLen, generation, err == nil && err2 == nil && headLen > 0 && headLen <= headMost
}
