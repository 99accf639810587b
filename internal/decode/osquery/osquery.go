// Package osquery decodes the results that osquery logs, differential,
// snapshot and batch, and its status lines, to ECS. A snapshot or a batch gives
// one event a row, as if each row had been logged alone. What has no field in
// ECS stays as it was under osquery, and rows stay whole there.
package osquery

import (
	"errors"
	"fmt"
	"sync"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// maxRows is how many rows a record may have.
const maxRows = 16384

// Options are what a decoder is made with.
type Options struct {
	Home decode.Home // nil is the private networks
}

// Decoder decodes osquery's log lines. It may be used concurrently.
type Decoder struct {
	base   *mapping.Base
	states sync.Pool

	snapshot, added, removed, action, message, severity  event.Path
	kind, category, typ, dataset                         event.Field
	result, status, isEvent, isState, host, change, info mapping.Constant
}

// rules returns the table. All columns stay too: a row is read as a whole.
func rules() []mapping.Rule {
	rules := []mapping.Rule{
		{From: "unixTime", To: "@timestamp", As: mapping.Epoch},
		{From: "name", To: "rule.name"},
		{From: "action", To: "event.action"},
		{From: "hostIdentifier", To: "host.name", Related: mapping.Hosts},
		{From: "hostname", To: "host.hostname", Related: mapping.Hosts},
		{From: "decorations.hostname", To: "host.hostname", Related: mapping.Hosts},
		{From: "decorations.host_uuid", To: "host.id"},
		{From: "decorations.username", To: "user.name", Related: mapping.Users},
		{From: "message", To: "message"},
		{From: "filename", To: "log.origin.file.name"},
		{From: "line", To: "log.origin.file.line", As: mapping.Count},
		{From: "severity", As: mapping.Nothing},
		{From: "snapshot", As: mapping.Nothing},
		{From: "diffResults.added", As: mapping.Nothing},
		{From: "diffResults.removed", As: mapping.Nothing},
	}
	for _, c := range []mapping.Rule{
		{From: "pid", To: "process.pid", As: mapping.Count},
		{From: "parent", To: "process.parent.pid", As: mapping.Count},
		{From: "cmdline", To: "process.command_line"},
		{From: "cwd", To: "process.working_directory"},
		{From: "md5", To: "file.hash.md5", Related: mapping.Hashes},
		{From: "sha1", To: "file.hash.sha1", Related: mapping.Hashes},
		{From: "sha256", To: "file.hash.sha256", Related: mapping.Hashes},
		{From: "target_path", To: "file.path"},
		{From: "username", As: mapping.Nothing, Related: mapping.Users},
		{From: "local_address", To: "source.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "local_port", To: "source.port", As: mapping.Count},
		{From: "remote_address", To: "destination.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "remote_port", To: "destination.port", As: mapping.Count},
	} {
		c.From = "columns." + c.From
		c.Keep = true
		rules = append(rules, c)
	}
	return rules
}

// New returns a decoder.
func New(o Options) (*Decoder, error) {
	t, err := mapping.Compile(rules(), append(mapping.BaseFields(), "event.kind", "event.category", "event.type", "event.dataset", "host.name"))
	if err != nil {
		return nil, fmt.Errorf("making the osquery decoder: %w", err)
	}
	d := &Decoder{
		base:     mapping.NewBase(t, mapping.BaseOptions{Home: o.Home, Module: "osquery", Nest: "osquery", Key: "host.name"}),
		snapshot: t.Path("snapshot"), added: t.Path("diffResults.added"), removed: t.Path("diffResults.removed"),
		action: t.Path("action"), message: t.Path("message"), severity: t.Path("severity"),
		kind: t.Field("event.kind"), category: t.Field("event.category"), typ: t.Field("event.type"), dataset: t.Field("event.dataset"),
		result: t.Constant(`"osquery.result"`), status: t.Constant(`"osquery.status"`),
		isEvent: t.Constant(`"event"`), isState: t.Constant(`"state"`), host: t.Constant(`["host"]`),
		change: t.Constant(`["change"]`), info: t.Constant(`["info"]`),
	}
	d.states.New = func() any { return &state{State: t.NewState(), d: d} }
	return d, nil
}

// state is the working memory of one decoding.
type state struct {
	*mapping.State
	d    *Decoder
	rows event.Elements
	row  []byte // a row as if it had been logged alone
}

// DecodeAll decodes one line and calls emit for each event, whose bytes are in
// dst and valid until emit returns. It returns the buffer for the next call.
// An error is permanent; what was emitted before it is to be dropped.
func (d *Decoder) DecodeAll(line []byte, meta decode.Meta, dst []byte, emit func(decode.Event)) ([]byte, error) {
	if err := decode.CheckLength("osquery", line); err != nil {
		return dst, err
	}
	outer, inner := d.states.Get().(*state), d.states.Get().(*state)
	defer d.put(outer)
	defer d.put(inner)
	if err := outer.Parse(line); err != nil {
		return dst, decode.ParseFault("osquery", err)
	}
	rows, err := outer.lists(line)
	if err != nil {
		return dst, err
	}
	if len(rows) == 0 {
		ev, err := outer.decode(meta, dst)
		if err == nil {
			emit(ev)
			dst = ev.Buf[:0]
		}
		return dst, err
	}
	for _, list := range rows {
		head := outer.appendHead(outer.row[:0], list.action)
		outer.rows.Reset(line, int(list.leaf.Start))
		for row, ok := outer.rows.Next(); ok; row, ok = outer.rows.Next() {
			outer.row = append(append(head, row.Bytes(line)...), '}')
			head = outer.row[:len(head)]
			if err := inner.Parse(outer.row); err != nil {
				return dst, decode.ParseFault("osquery", err)
			}
			ev, err := inner.decode(meta, dst)
			if err != nil {
				return dst, err
			}
			emit(ev)
			dst = ev.Buf[:0]
			meta.Index++
		}
	}
	return dst, nil
}

func (d *Decoder) put(s *state) {
	s.Release()
	s.rows.Reset(nil, 0)
	if cap(s.row) > 1<<20 {
		s.row = nil
	}
	d.states.Put(s)
}

// list is rows that were logged together.
type list struct {
	leaf   event.Leaf
	action string
}

// lists returns the lists of rows of a snapshot or batch that are not empty.
func (s *state) lists(line []byte) (lists []list, err error) {
	count := 0
	for _, l := range []struct {
		path   event.Path
		action string
	}{{s.d.snapshot, "snapshot"}, {s.d.removed, "removed"}, {s.d.added, "added"}} {
		leaf, ok := s.Find(l.path)
		if !ok || leaf.Kind != event.Array {
			continue
		}
		n := 0
		s.rows.Reset(line, int(leaf.Start))
		for row, ok := s.rows.Next(); ok; row, ok = s.rows.Next() {
			if n++; row.Kind != event.Object {
				return nil, nil // no rows: it stays as it is
			}
		}
		if n > 0 {
			lists = append(lists, list{leaf, l.action})
		}
		count += n
	}
	if count > maxRows {
		return nil, decode.Fault(decode.CodeTooManyFields, fmt.Errorf("decoding osquery: %d rows", count))
	}
	return lists, nil
}

// appendHead appends the line as it would be for one row alone, up to the row:
// without the lists, and what was done to the row as action.
func (s *state) appendHead(dst []byte, action string) []byte {
	dst = s.AppendLeaves(append(dst, '{'), func(l event.Leaf) bool {
		return l.Path != s.d.snapshot && l.Path != s.d.added && l.Path != s.d.removed && l.Path != s.d.action
	})
	if len(dst) > 1 {
		dst = append(dst, ',')
	}
	return append(append(append(dst, `"action":"`...), action...), `","columns":`...)
}

func (s *state) decode(meta decode.Meta, dst []byte) (decode.Event, error) {
	d := s.d
	s.Apply(nil)
	if !d.base.HasTime(s.State) {
		return decode.Event{}, decode.Fault(decode.CodeNoTimestamp, errors.New("decoding osquery: no unixTime"))
	}
	_, hasMessage := s.Find(d.message)
	_, hasSeverity := s.Find(d.severity)
	action, _ := s.Find(d.action)
	s.PutConstant(d.kind, d.isEvent)
	s.PutConstant(d.dataset, d.result)
	s.PutConstant(d.typ, d.change)
	switch {
	case hasMessage && hasSeverity:
		s.PutConstant(d.dataset, d.status)
		s.PutConstant(d.typ, d.info)
	case string(action.Bytes(s.Line)) == "snapshot":
		s.PutConstant(d.kind, d.isState)
		s.PutConstant(d.typ, d.info)
	}
	s.PutConstant(d.category, d.host)
	d.base.Finish(s.State, meta, false)
	return d.base.Event(s.State, dst), nil
}
