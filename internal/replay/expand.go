package replay

import (
	"bufio"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// expand makes a list of captures of what was asked for. What cannot be looked
// at becomes a capture that is done, with the error; the rest goes on.
func expand(paths []string) []Capture {
	var out []Capture
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			out = append(out, failed(filepath.Base(path), path, err))
		case info.IsDir():
			out = append(out, expandFolder(path)...)
		default:
			out = append(out, Capture{Name: filepath.Base(path), Path: path, State: Queued, Size: info.Size()})
		}
	}
	return out
}

func failed(name, path string, err error) Capture {
	return Capture{Name: name, Path: path, State: Done, Error: reason(err)}
}

// errNoCapture is what is wrong with a folder that nothing is found in.
var errNoCapture = errors.New("no capture found; a folder stands for the files in and below it that are named .pcap, .pcapng, .cap or .dmp, with .gz behind it or not, or begin as such files do")

func expandFolder(folder string) []Capture {
	root, err := filepath.EvalSymlinks(folder) // WalkDir does not follow
	if err != nil {
		return []Capture{failed(filepath.Base(folder), folder, err)}
	}
	var out []Capture
	_ = filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		name, relErr := filepath.Rel(root, path)
		if relErr != nil {
			name = path
		}
		if err != nil {
			out = append(out, failed(name, path, err))
			return nil
		}
		info, err := os.Stat(path) // a link to a file is taken, one to a folder is not
		if err != nil || !info.Mode().IsRegular() || !isCapture(path) {
			return nil
		}
		out = append(out, Capture{Name: name, Path: path, State: Queued, Size: info.Size()})
		return nil
	})
	if len(out) == 0 {
		out = append(out, failed(filepath.Base(folder), folder, errNoCapture))
	}
	return out
}

// isCapture says whether a file found in a folder is meant as a capture: by
// its name, or by its first bytes.
func isCapture(path string) bool {
	ext := strings.ToLower(filepath.Ext(strings.TrimSuffix(strings.ToLower(path), ".gz")))
	if slices.Contains([]string{".pcap", ".pcapng", ".cap", ".dmp"}, ext) {
		return true
	}
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head := bufio.NewReader(io.LimitReader(f, 4096))
	if b, _ := head.Peek(2); len(b) == 2 && b[0] == 0x1f && b[1] == 0x8b {
		z, err := gzip.NewReader(head)
		if err != nil {
			return false
		}
		head = bufio.NewReader(z)
	}
	b, _ := head.Peek(4)
	if len(b) < 4 {
		return false
	}
	switch string(b) {
	case "\x0a\x0d\x0d\x0a", "\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4",
		"\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d", "\x34\xcd\xb2\xa1", "\xa1\xb2\xcd\x34":
		return true
	}
	return false
}

// reason drops the path from an error of the file system: the capture is named
// beside it.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
