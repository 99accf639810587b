// Package syslog decodes lines of syslog: RFC 5424 with its header, and
// anything else, RFC 3164 included, as a message with the priority it begins
// with, if it begins with one. Structured data stays in the message.
package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// Decoder decodes lines of syslog. It may be used concurrently.
type Decoder struct{ table *mapping.Table }

// New returns a decoder.
func New() (*Decoder, error) {
	t, err := mapping.Compile(nil, []string{"event.id", "event.kind", "event.module", "event.dataset", "ecs.version", "message",
		"log.syslog.priority", "log.syslog.facility.code", "log.syslog.severity.code", "log.syslog.hostname", "log.syslog.appname",
		"log.syslog.procid", "log.syslog.msgid", "log.syslog.version", "host.name", "process.name", "event.original",
		"decoder.raw.topic", "decoder.raw.partition", "decoder.raw.offset", "decoder.capture.name"})
	if err != nil {
		return nil, fmt.Errorf("making the syslog decoder: %w", err)
	}
	return &Decoder{table: t}, nil
}

// header is what a line says before its message. Empty fields are absent.
type header struct {
	priority                         int // less than 0 without
	time                             []byte
	hostname, app, process, id, rest []byte
}

// Decode decodes one line into dst[len(dst):]. Its time is that of an RFC 5424
// header, else the record's. An error is permanent.
func (d *Decoder) Decode(line []byte, meta decode.Meta, dst []byte) (decode.Event, error) {
	if err := decode.CheckLength("syslog", line); err != nil {
		return decode.Event{}, err
	}
	line = bytes.TrimRight(line, "\r\n")
	h := parse(line)
	at, ok := mapping.ParseTime(h.time)
	if !ok {
		at = meta.Time
	}
	if at.IsZero() {
		return decode.Event{}, decode.Fault(decode.CodeNoTimestamp, errors.New("decoding syslog: neither the line nor its record has a time"))
	}
	doc := document{event.NewDoc(d.table.Layout, nil), d.table}
	doc.identity(at, meta)
	doc.header(h)
	doc.text("message", h.rest)
	if len(h.rest) != len(line) {
		doc.text("event.original", line)
	}
	if !utf8.Valid(line) {
		doc.json("tags", `["invalid_utf8"]`)
	}
	key := h.hostname
	if len(key) == 0 {
		key = []byte("syslog")
	}
	nothing := func(b []byte) []byte { return b }
	return decode.Assemble(dst, doc.Doc, decode.Nest{}, nothing, decode.Parts{
		ID: d.table.Field("event.id"), Time: d.table.Field("@timestamp"), Key: key,
	}), nil
}

// document is an event being made.
type document struct {
	*event.Doc
	table *mapping.Table
}

// text gives the field a string, unless it is empty.
func (d document) text(name string, text []byte) {
	if len(text) > 0 {
		start := len(d.Side)
		d.Side = event.AppendEscaped(d.Side, text)
		d.Put(d.table.Field(name), start, true)
	}
}

func (d document) json(name, json string) {
	start := len(d.Side)
	d.Side = append(d.Side, json...)
	d.Put(d.table.Field(name), start, false)
}

func (d document) number(name string, n int64) { d.json(name, strconv.FormatInt(n, 10)) }

func (d document) identity(at time.Time, meta decode.Meta) {
	d.text("@timestamp", at.UTC().AppendFormat(nil, time.RFC3339Nano))
	d.text("event.id", event.AppendID(nil, meta.Origin, event.KindEvent, 0))
	d.text("event.kind", []byte("event"))
	d.text("event.module", []byte("syslog"))
	d.text("event.dataset", []byte("syslog.log"))
	d.text("ecs.version", []byte(ecs.Version))
	if meta.Topic != "" {
		d.text("decoder.raw.topic", []byte(meta.Topic))
		d.number("decoder.raw.partition", int64(meta.Partition))
		d.number("decoder.raw.offset", meta.Offset)
	}
	d.text("decoder.capture.name", []byte(meta.Capture))
}

func (d document) header(h header) {
	if h.priority >= 0 {
		d.number("log.syslog.priority", int64(h.priority))
		d.number("log.syslog.facility.code", int64(h.priority>>3))
		d.number("log.syslog.severity.code", int64(h.priority&7))
	}
	d.text("log.syslog.hostname", h.hostname)
	d.text("host.name", h.hostname)
	d.text("log.syslog.appname", h.app)
	d.text("process.name", h.app)
	d.text("log.syslog.procid", h.process)
	d.text("log.syslog.msgid", h.id)
}

// parse takes the header off a line (RFC 5424, section 6.2).
func parse(line []byte) header {
	h := header{priority: -1, rest: line}
	n, after, ok := priority(line)
	if !ok {
		return h
	}
	h.priority, h.rest = n, after
	fields, ok := bytes.CutPrefix(after, []byte("1 "))
	if !ok {
		return h
	}
	var parts [5][]byte
	for i := range parts {
		var found bool
		parts[i], fields, found = bytes.Cut(fields, []byte(" "))
		if !found || len(parts[i]) == 0 {
			return h
		}
		if string(parts[i]) == "-" {
			parts[i] = nil
		}
	}
	if _, ok := mapping.ParseTime(parts[0]); !ok && parts[0] != nil {
		return h
	}
	h.time, h.hostname, h.app, h.process, h.id = parts[0], parts[1], parts[2], parts[3], parts[4]
	h.rest = bytes.TrimPrefix(bytes.TrimPrefix(fields, []byte("- ")), []byte("\ufeff"))
	return h
}

// priority reads <0> to <191>.
func priority(line []byte) (n int, rest []byte, ok bool) {
	end := bytes.IndexByte(line, '>')
	if len(line) == 0 || line[0] != '<' || end < 2 || end > 4 {
		return 0, line, false
	}
	for _, c := range line[1:end] {
		if c-'0' > 9 {
			return 0, line, false
		}
		n = n*10 + int(c-'0')
	}
	return n, line[end+1:], n <= 191
}
