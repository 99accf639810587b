// Package jsonline decodes JSON objects of any shape. What stands at the path
// of an ECS field with a value of its type becomes that field; all else stays
// as it was under json. An object that is ECS already thus passes as it is.
package jsonline

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
	"github.com/decodersring/decoder/internal/fault"
)

// Options are what a decoder is made with.
type Options struct {
	Home decode.Home // nil is the private networks
}

// Decoder decodes JSON objects. It may be used concurrently.
type Decoder struct {
	home   decode.Home
	nest   decode.Nest
	table  *mapping.Table
	states sync.Pool

	timestamp, id, kind, module, dataset, version, tags, communityID, host event.Field
	rawTopic, rawPartition, rawOffset, capture                             event.Field
	isEvent, isJSON, isVersion, repaired                                   mapping.Constant
}

// New returns a decoder.
func New(o Options) (*Decoder, error) {
	if o.Home == nil {
		o.Home = decode.PrivateNetworks()
	}
	t, err := mapping.Compile(rules(), []string{"event.id", "event.kind", "event.module", "event.dataset", "ecs.version",
		"decoder.raw.topic", "decoder.raw.partition", "decoder.raw.offset", "decoder.capture.name"})
	if err != nil {
		return nil, fmt.Errorf("making the JSON decoder: %w", err)
	}
	d := &Decoder{
		home: o.Home, nest: decode.NestAt("json"), table: t,
		timestamp: t.Field("@timestamp"), id: t.Field("event.id"), kind: t.Field("event.kind"), module: t.Field("event.module"),
		dataset: t.Field("event.dataset"), version: t.Field("ecs.version"), tags: t.Field("tags"),
		communityID: t.Field("network.community_id"), host: t.Field("host.name"),
		rawTopic: t.Field("decoder.raw.topic"), rawPartition: t.Field("decoder.raw.partition"),
		rawOffset: t.Field("decoder.raw.offset"), capture: t.Field("decoder.capture.name"),
		isEvent: t.Constant(`"event"`), isJSON: t.Constant(`"json"`), isVersion: t.Constant(`"` + ecs.Version + `"`),
		repaired: t.Constant(`["invalid_utf8"]`),
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
	if len(line) > decode.MaxLine {
		return decode.Event{}, fault.NewPermanent(decode.CodeLineTooLong, fmt.Errorf("decoding JSON: a line of %d bytes", len(line)))
	}
	s := d.states.Get().(*mapping.State)
	defer d.states.Put(s)
	if err := s.Parse(line); err != nil {
		code := decode.CodeJSONInvalid
		if errors.Is(err, event.ErrTooManyFields) {
			code = decode.CodeTooManyFields
		}
		return decode.Event{}, fault.NewPermanent(code, fmt.Errorf("decoding JSON: %w", err))
	}
	s.Apply(nil)
	if !s.Doc.Has(d.timestamp) {
		if meta.Time.IsZero() {
			return decode.Event{}, fault.NewPermanent(decode.CodeNoTimestamp, errors.New("decoding JSON: no @timestamp"))
		}
		s.PutString(d.timestamp, meta.Time.UTC().Format(time.RFC3339Nano))
	}
	d.finish(s, meta)
	return d.event(s, dst), nil
}

func (d *Decoder) finish(s *mapping.State, meta decode.Meta) {
	s.PutConstant(d.kind, d.isEvent)
	s.PutConstant(d.module, d.isJSON)
	s.PutConstant(d.dataset, d.isJSON)
	s.PutConstant(d.version, d.isVersion)
	s.PutString(d.id, event.ID(meta.Origin, event.KindEvent, 0))
	if meta.Topic != "" {
		s.PutString(d.rawTopic, meta.Topic)
		s.PutJSON(d.rawPartition, strconv.Itoa(int(meta.Partition)))
		s.PutJSON(d.rawOffset, strconv.FormatInt(meta.Offset, 10))
	}
	if meta.Capture != "" {
		s.PutString(d.capture, meta.Capture)
	}
	s.Finish(d.tags, d.repaired)
}

func (d *Decoder) event(s *mapping.State, dst []byte) decode.Event {
	key := s.Doc.Value(d.communityID)
	if len(key) == 0 {
		key = s.Doc.Value(d.host)
	}
	if len(key) == 0 {
		key = []byte("json")
	}
	if a := d.home.Monitored(s.Source, s.Destination); a.IsValid() {
		key = []byte(a.String())
	}
	return decode.Assemble(dst, s.Doc, d.nest, s.AppendRest, decode.Parts{ID: d.id, Time: d.timestamp, Key: key})
}
