// Package jsonline decodes JSON objects of any shape. What stands at the path
// of an ECS field with a value of its type becomes that field; all else stays
// as it was under json. An object that is ECS already thus passes as it is.
package jsonline

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// Options are what a decoder is made with.
type Options struct {
	Home decode.Home // nil is the private networks
}

// Decoder decodes JSON objects. It may be used concurrently.
type Decoder struct {
	base                     *mapping.Base
	states                   sync.Pool
	timestamp, kind, dataset event.Field
	isEvent, isJSON          mapping.Constant
}

// New returns a decoder.
func New(o Options) (*Decoder, error) {
	t, err := mapping.Compile(rules(), append(mapping.BaseFields(), "event.kind", "event.dataset"))
	if err != nil {
		return nil, fmt.Errorf("making the JSON decoder: %w", err)
	}
	d := &Decoder{
		base:      mapping.NewBase(t, mapping.BaseOptions{Home: o.Home, Module: "json", Nest: "json", Key: "host.name"}),
		timestamp: t.Field("@timestamp"), kind: t.Field("event.kind"), dataset: t.Field("event.dataset"),
		isEvent: t.Constant(`"event"`), isJSON: t.Constant(`"json"`),
	}
	d.states.New = func() any { return t.NewState() }
	return d, nil
}

// rules maps each ECS field to itself, but for those that say what an event
// is: they are the decoder's to give, lest a line pass for another's event.
func rules() (rules []mapping.Rule) {
	related := map[string]mapping.Related{
		"source.ip": mapping.IPs, "destination.ip": mapping.IPs, "client.ip": mapping.IPs, "server.ip": mapping.IPs,
		"host.name": mapping.Hosts, "url.domain": mapping.Hosts, "user.name": mapping.Users, "source.user.name": mapping.Users,
	}
	ways := map[ecs.Type]mapping.As{
		ecs.Keyword: mapping.Keyword, ecs.Text: mapping.Keyword, ecs.Long: mapping.Long,
		ecs.Boolean: mapping.Bool, ecs.Date: mapping.Time, ecs.IP: mapping.Address,
	}
	for _, name := range ecs.Names() {
		f, _ := ecs.Find(name)
		as, ok := ways[f.Type]
		switch {
		case !ok, f.Allowed != nil, f.Array && f.Type != ecs.Keyword,
			strings.HasPrefix(name, "decoder."), strings.HasPrefix(name, "related."),
			strings.HasPrefix(name, "dns.answers."), strings.HasPrefix(name, "email.attachments."),
			name == "tags", name == "event.id", name == "event.module", name == "event.dataset", name == "ecs.version":
			continue
		case f.Array:
			as = mapping.Keywords
		}
		rules = append(rules, mapping.Rule{From: name, To: name, As: as, Related: related[name]})
	}
	return rules
}

// Decode decodes one object into dst[len(dst):]. Its time is @timestamp, or
// where that is missing or no time, the record's. An error is permanent. Decode
// keeps neither line nor dst.
func (d *Decoder) Decode(line []byte, meta decode.Meta, dst []byte) (decode.Event, error) {
	if err := decode.CheckLength("JSON", line); err != nil {
		return decode.Event{}, err
	}
	s := d.states.Get().(*mapping.State)
	defer func() { s.Release(); d.states.Put(s) }()
	if err := s.Parse(line); err != nil {
		return decode.Event{}, decode.ParseFault("JSON", err)
	}
	s.Apply(nil)
	if !d.base.HasTime(s) {
		if meta.Time.IsZero() {
			return decode.Event{}, decode.Fault(decode.CodeNoTimestamp, errors.New("decoding JSON: no @timestamp"))
		}
		s.PutString(d.timestamp, meta.Time.UTC().Format(time.RFC3339Nano))
	}
	s.PutConstant(d.kind, d.isEvent)
	s.PutConstant(d.dataset, d.isJSON)
	d.base.Finish(s, meta, false)
	return d.base.Event(s, dst), nil
}
