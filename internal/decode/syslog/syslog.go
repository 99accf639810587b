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
	doc := event.NewDoc(d.table.Layout, nil)
	put := func(name string, text []byte) {
		if len(text) > 0 {
			start := len(doc.Side)
			doc.Side = event.AppendEscaped(doc.Side, text)
			doc.Put(d.table.Field(name), start, true)
		}
	}
	number := func(name string, n int64) {
		start := len(doc.Side)
		doc.Side = strconv.AppendInt(doc.Side, n, 10)
		doc.Put(d.table.Field(name), start, false)
	}
	at, ok := mapping.ParseTime(h.time)
	if !ok {
		at = meta.Time
	}
	if at.IsZero() {
		return decode.Event{}, decode.Fault(decode.CodeNoTimestamp, errors.New("decoding syslog: neither the line nor its record has a time"))
	}
	put("@timestamp", at.UTC().AppendFormat(nil, time.RFC3339Nano))
	put("event.id", event.AppendID(nil, meta.Origin, event.KindEvent, 0))
	put("event.kind", []byte("event"))
	put("event.module", []byte("syslog"))
	put("event.dataset", []byte("syslog.log"))
	put("ecs.version", []byte(ecs.Version))
	put("message", h.rest)
	if len(h.rest) != len(line) {
		put("event.original", line)
	}
	if h.priority >= 0 {
		number("log.syslog.priority", int64(h.priority))
		number("log.syslog.facility.code", int64(h.priority>>3))
		number("log.syslog.severity.code", int64(h.priority&7))
	}
	put("log.syslog.hostname", h.hostname)
	put("host.name", h.hostname)
	put("log.syslog.appname", h.app)
	put("process.name", h.app)
	put("log.syslog.procid", h.process)
	put("log.syslog.msgid", h.id)
	if meta.Topic != "" {
		put("decoder.raw.topic", []byte(meta.Topic))
		number("decoder.raw.partition", int64(meta.Partition))
		number("decoder.raw.offset", meta.Offset)
	}
	put("decoder.capture.name", []byte(meta.Capture))
	if !utf8.Valid(line) {
		start := len(doc.Side)
		doc.Side = append(doc.Side, `["invalid_utf8"]`...)
		doc.Put(d.table.Field("tags"), start, false)
	}
	key := h.hostname
	if len(key) == 0 {
		key = []byte("syslog")
	}
	nothing := func(b []byte) []byte { return b }
	return decode.Assemble(dst, doc, decode.Nest{}, nothing, decode.Parts{
		ID: d.table.Field("event.id"), Time: d.table.Field("@timestamp"), Key: key,
	}), nil
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
