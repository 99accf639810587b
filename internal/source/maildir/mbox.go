package maildir

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ReadMbox calls f with each message of an mbox stream and the offset behind
// it. Messages begin with a "From " line at the start or after an empty line;
// a quoted one (">From ") inside a message loses one mark, as in mboxrd. A
// message over max bytes is passed over: f gets nil for it. raw is f's.
func ReadMbox(r io.Reader, max int, f func(raw []byte, end int64) error) error {
	m := mbox{r: bufio.NewReaderSize(r, 64<<10), max: max}
	for {
		line, err := m.line()
		if len(line) > 0 {
			if m.blank && bytes.HasPrefix(line, []byte("From ")) {
				if err := m.flush(f); err != nil {
					return err
				}
				m.open = true
			} else if m.open {
				m.add(line)
			}
			m.blank = len(bytes.TrimRight(line, "\r\n")) == 0
			m.offset += int64(len(line))
		}
		if errors.Is(err, io.EOF) {
			return m.flush(f)
		}
		if err != nil {
			return fmt.Errorf("reading mbox: %w", err)
		}
	}
}

type mbox struct {
	r      *bufio.Reader
	max    int
	raw    []byte
	open   bool
	tooBig bool
	blank  bool
	begun  bool
	offset int64
	long   bool // inside a line longer than the buffer
}

// line returns a line, or a piece of one that is longer than the buffer.
func (m *mbox) line() ([]byte, error) {
	if !m.begun {
		m.begun, m.blank = true, true
	}
	line, err := m.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		m.long = true
		return line, nil
	}
	if m.long {
		m.long, m.blank = false, false // the rest of a long line begins nothing
	}
	return line, err
}

func (m *mbox) add(line []byte) {
	if quoted := bytes.TrimLeft(line, ">"); len(quoted) < len(line) && bytes.HasPrefix(quoted, []byte("From ")) {
		line = line[1:]
	}
	if m.tooBig || len(m.raw)+len(line) > m.max {
		m.tooBig, m.raw = true, nil
		return
	}
	m.raw = append(m.raw, line...)
}

// flush gives the message read so far, without the empty line that the format
// puts behind it.
func (m *mbox) flush(f func([]byte, int64) error) error {
	if !m.open {
		return nil
	}
	raw := m.raw
	if n := len(raw); n > 0 && raw[n-1] == '\n' {
		if c := bytes.TrimSuffix(raw[:n-1], []byte("\r")); len(c) == 0 || c[len(c)-1] == '\n' {
			raw = c
		}
	}
	if m.tooBig {
		raw = nil
	} else if raw == nil {
		raw = []byte{}
	}
	m.raw, m.open, m.tooBig = nil, false, false
	return f(raw, m.offset)
}
