package zeek

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/event"
)

// Options are what a decoder is made with.
type Options struct {
	Home decode.Home // nil is the private networks
}

// Decoder decodes lines of Zeek's logs. It may be used concurrently.
type Decoder struct {
	logs  map[string]*compiled
	other *compiled
	lines sync.Pool // buffers for the JSON of TSV

	mu      sync.Mutex
	headers map[string]*header // by the text they were read from
}

// knownHeaders is how many headers are remembered; a sensor has as many as it
// has logs.
const knownHeaders = 512

// New returns a decoder.
func New(o Options) (*Decoder, error) {
	d := &Decoder{logs: map[string]*compiled{}, headers: map[string]*header{}}
	d.lines.New = func() any { return new([]byte) }
	for _, l := range logs() {
		c, err := compile(l, o.Home)
		if err != nil {
			return nil, fmt.Errorf("making the Zeek decoder: %s: %w", l.name, err)
		}
		d.logs[l.name] = c
	}
	var err error
	if d.other, err = compile(otherLog(), o.Home); err != nil {
		return nil, fmt.Errorf("making the Zeek decoder: %w", err)
	}
	return d, nil
}

// Decode decodes one line into dst[len(dst):]. A line of a log's header gives
// an event without JSON, that is none. An error is permanent. Decode keeps
// neither line nor dst.
func (d *Decoder) Decode(line []byte, meta decode.Meta, dst []byte) (decode.Event, error) {
	if err := decode.CheckLength("Zeek", line); err != nil {
		return decode.Event{}, err
	}
	if len(line) > 0 && line[0] == '#' {
		return decode.Event{Buf: dst}, nil
	}
	var h *header
	if meta.Format != "" {
		var err error
		if h, err = d.header(meta.Format); err != nil {
			return decode.Event{}, decode.Fault(decode.CodeUnknownFormat, err)
		}
	}
	if len(line) > 0 && line[0] != '{' && line[0] != ' ' {
		return d.decodeTSV(line, h, meta, dst)
	}
	name := ""
	if wrapped, object, ok := event.Unwrap(line); ok {
		name, line = string(wrapped), object
	} else if h != nil {
		name = h.path
	}
	return d.decodeJSON(line, name, meta, dst)
}

func (d *Decoder) decodeTSV(line []byte, h *header, meta decode.Meta, dst []byte) (decode.Event, error) {
	if h == nil || len(h.columns) == 0 {
		return decode.Event{}, decode.Fault(decode.CodeUnknownFormat, errors.New("decoding Zeek: a line that is not JSON, and no header that names its columns"))
	}
	buf := d.lines.Get().(*[]byte)
	defer d.lines.Put(buf)
	json, err := h.appendJSON((*buf)[:0], line)
	if cap(json) <= 1<<20 {
		*buf = json
	}
	if err != nil {
		return decode.Event{}, decode.Fault(decode.CodeUnknownFormat, fmt.Errorf("decoding Zeek: %w", err))
	}
	return d.decodeJSON(json, h.path, meta, dst)
}

func (d *Decoder) decodeJSON(line []byte, name string, meta decode.Meta, dst []byte) (decode.Event, error) {
	c := d.log(name)
	s := c.states.Get().(*state)
	if err := s.Parse(line); err != nil {
		c.put(s)
		return decode.Event{}, decode.ParseFault("Zeek", err)
	}
	if path, ok := s.Find(c.path); ok && path.Kind == event.String && string(path.Bytes(line)) != name {
		if own := d.log(string(path.Bytes(line))); own != c {
			c.put(s)
			c = own
			s = c.states.Get().(*state)
			if err := s.Parse(line); err != nil {
				c.put(s)
				return decode.Event{}, decode.ParseFault("Zeek", err)
			}
		}
	}
	defer c.put(s)
	return s.decode(meta, dst)
}

// log returns the log of that name.
func (d *Decoder) log(name string) *compiled {
	if c, ok := d.logs[name]; ok {
		return c
	}
	return d.other
}

func (d *Decoder) header(format string) (*header, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if h, ok := d.headers[format]; ok {
		return h, nil
	}
	h, err := parseHeader(format)
	if err != nil {
		return nil, err
	}
	if len(d.headers) == knownHeaders {
		clear(d.headers)
	}
	d.headers[strings.Clone(format)] = h
	return h, nil
}
