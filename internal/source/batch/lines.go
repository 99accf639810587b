package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"hash"
	"time"
)

// MaxLine is the longest line appended as it is, in bytes: the ingest topics
// take records of 16 MiB, and a record has headers.
const MaxLine = 16<<20 - 64<<10

// Line is one line of a file.
type Line struct {
	Offset int64  // of its first byte
	End    int64  // behind its newline
	Text   []byte // without newline; valid until the callback returns
	// Of a line over MaxLine, Text is what [Cut] makes of it.
	Cut bool
}

// Lines cuts a stream of bytes into lines, whatever the pieces they come in.
// It holds one incomplete line, never more than MaxLine of it. The zero value
// begins at offset 0.
type Lines struct {
	start  int64 // offset of the current line
	length int64 // bytes of the current line seen
	rest   []byte
	sum    hash.Hash // of a line that has become too long
}

// StartAt begins anew at an offset where a line begins.
func (l *Lines) StartAt(offset int64) { *l = Lines{start: offset, rest: l.rest[:0]} }

// Offset is where the incomplete line begins.
func (l *Lines) Offset() int64 { return l.start }

// Pending is the length of the incomplete line.
func (l *Lines) Pending() int64 { return l.length }

// Feed takes the next bytes and calls emit for every line that ends in them,
// empty ones left out. An error of emit ends it and the Lines must be given
// up or started again.
func (l *Lines) Feed(p []byte, emit func(Line) error) error {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.keep(p)
			return nil
		}
		text := p[:i]
		if l.length > 0 {
			l.keep(text)
			text = l.rest
		}
		if err := l.emit(text, int64(i), emit); err != nil {
			return err
		}
		p = p[i+1:]
	}
	return nil
}

func (l *Lines) emit(text []byte, seen int64, emit func(Line) error) error {
	length := max(l.length, seen)
	line := Line{Offset: l.start, End: l.start + length + 1, Text: text}
	if l.sum != nil {
		line.Text, line.Cut = Cut(length, l.sum.Sum(nil), l.rest), true
	} else if n := len(text); n > 0 && text[n-1] == '\r' {
		line.Text = text[:n-1]
	}
	l.start, l.length, l.sum = line.End, 0, nil
	l.rest = l.rest[:0]
	if len(line.Text) == 0 {
		return nil
	}
	return emit(line)
}

// Last emits what is left as a line, for a file that ends without a newline.
func (l *Lines) Last(emit func(Line) error) error {
	if l.length == 0 {
		return nil
	}
	return l.emit(l.rest, 0, emit)
}

// cutHead is how much of a line that is too long stays readable.
const cutHead = 4 << 10

func (l *Lines) keep(p []byte) {
	l.length += int64(len(p))
	if l.sum != nil {
		l.sum.Write(p)
		return
	}
	l.rest = append(l.rest, p...)
	if len(l.rest) > MaxLine {
		l.sum = sha256.New()
		l.sum.Write(l.rest)
		l.rest = append([]byte(nil), l.rest[:cutHead]...)
	}
}

// Cut returns the line that stands for one too long for the log: JSON with
// the event_type "decoder_truncated", the line's length and SHA-256, and its
// head in base64. The origin of its record says where the line lies.
func Cut(length int64, sum, head []byte) []byte {
	type truncated struct {
		Bytes  int64  `json:"bytes"`
		SHA256 string `json:"sha256"`
		Head   string `json:"head"` // base64
		Reason string `json:"reason"`
	}
	b, _ := json.Marshal(struct {
		Timestamp string    `json:"timestamp"`
		Type      string    `json:"event_type"`
		Truncated truncated `json:"decoder_truncated"`
	}{
		time.Now().UTC().Format("2006-01-02T15:04:05.000000-0700"),
		"decoder_truncated",
		truncated{
			length, hex.EncodeToString(sum),
			base64.StdEncoding.EncodeToString(head[:min(len(head), cutHead)]),
			"line is longer than the log takes",
		},
	})
	return b
}

// CutLine is [Cut] of a line that is at hand.
func CutLine(line []byte) []byte {
	sum := sha256.Sum256(line)
	return Cut(int64(len(line)), sum[:], line)
}
