package proc

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	maxOutput   = 1 << 20 // a detached child's output file is cut when it passes this
	followEvery = 100 * time.Millisecond
)

// follow calls line for each line appended to the file until the process has
// ended and all it wrote is read.
func follow(path string, line func(string), ended <-chan struct{}) {
	followFrom(path, 0, line, ended)
}

// followFrom starts at the offset; a negative one is the file's end.
func followFrom(path string, offset int64, line func(string), ended <-chan struct{}) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		<-ended
		return
	}
	defer f.Close()
	if offset < 0 {
		offset, _ = f.Seek(0, io.SeekEnd)
	}
	var rest []byte
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for last := false; ; {
		rest, offset = readLines(f, offset, rest, line)
		if offset > maxOutput {
			// The child appends, so it goes on at the new end.
			if f.Truncate(0) == nil {
				offset = 0
			}
		}
		if last {
			if line != nil && len(rest) > 0 {
				line(trimEOL(rest))
			}
			return
		}
		select {
		case <-ended:
			last = true
		case <-tick.C:
		}
	}
}

// readLines reads what is new and returns the partial last line and the new
// offset.
func readLines(f *os.File, offset int64, rest []byte, line func(string)) ([]byte, int64) {
	buf := make([]byte, maxLine)
	for {
		n, err := f.ReadAt(buf, offset)
		offset += int64(n)
		rest = append(rest, buf[:n]...)
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if line != nil {
				line(trimEOL(rest[:i]))
			}
			rest = rest[i+1:]
		}
		if len(rest) > maxLine {
			rest = rest[:0]
		}
		if err != nil || n == 0 {
			return rest, offset
		}
	}
}

// recent keeps the last lines a child wrote, for an error message. It may be
// used concurrently.
type recent struct {
	mu    sync.Mutex
	lines []string
}

const recentLines = 8

func (r *recent) add(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.lines) == recentLines {
		copy(r.lines, r.lines[1:])
		r.lines = r.lines[:recentLines-1]
	}
	r.lines = append(r.lines, line)
}

func (r *recent) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "; ")
}
