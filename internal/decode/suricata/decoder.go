package suricata

import (
	"errors"
	"fmt"
	"sync"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// Options are what a decoder is made with. The zero value is of use.
type Options struct {
	// Home is the monitored networks; nil is the private ones.
	Home decode.Home
	// Sensor is observer.name where EVE names no host; "" leaves it out.
	Sensor string
	// Original keeps the line in event.original of all events, not of alerts
	// alone.
	Original bool
}

// Decoder decodes EVE lines. It may be used concurrently.
type Decoder struct {
	options        Options
	table          *mapping.Table
	base           *mapping.Base
	fields         fields
	urlFields      mapping.URL
	fileFields     mapping.File
	questionFields mapping.Question
	types          map[string]*compiledType
	other          *compiledType
	paths          paths
	states         sync.Pool
}

// New returns a decoder.
func New(o Options) (*Decoder, error) {
	table, err := mapping.Compile(rules(), filled())
	if err != nil {
		return nil, fmt.Errorf("making the Suricata decoder: %w", err)
	}
	d := &Decoder{options: o, table: table, fields: newFields(table), urlFields: mapping.NewURL(table), fileFields: mapping.NewFile(table), questionFields: mapping.NewQuestion(table), types: map[string]*compiledType{},
		base: mapping.NewBase(table, mapping.BaseOptions{Home: o.Home, Module: "suricata", Nest: "suricata.eve", Key: "observer.name"})}
	for _, t := range eventTypes() {
		d.types[t.name] = d.compileType(t)
	}
	d.other = d.compileType(otherType())
	d.paths = newPaths(table)
	d.states.New = func() any { return &state{State: d.table.NewState(), d: d, inner: newAnswerParser()} }
	return d, nil
}

// Decode decodes one EVE line, without its newline, into dst[len(dst):]. The
// same arguments always give the same event. An error is permanent, with one
// of the codes of package decode. Decode keeps neither line nor dst.
func (d *Decoder) Decode(line []byte, meta decode.Meta, dst []byte) (decode.Event, error) {
	if err := decode.CheckLength("EVE", line); err != nil {
		return decode.Event{}, err
	}
	s := d.states.Get().(*state)
	defer d.put(s)
	if err := s.Parse(line); err != nil {
		return decode.Event{}, decode.ParseFault("EVE", err)
	}
	name, ok := s.Find(d.paths.eventType)
	if !ok || !name.Kind.IsString() {
		return decode.Event{}, decode.Fault(decode.CodeNoEventType, errors.New("decoding EVE: no event_type"))
	}
	s.begin(name.Bytes(line))
	s.Apply(s)
	if !d.base.HasTime(s.State) {
		return decode.Event{}, decode.Fault(decode.CodeNoTimestamp, errors.New("decoding EVE: no timestamp in EVE's form"))
	}
	s.finish(meta)
	return d.base.Event(s.State, dst), nil
}

func (d *Decoder) put(s *state) {
	s.Release()
	d.states.Put(s)
}

// state is the working memory of one decoding.
type state struct {
	*mapping.State
	d         *Decoder
	typ       *compiledType
	inner     *event.Parser // of the answers of dns
	flow      counters
	addresses mapping.List // of dns.resolved_ip
	domains   decode.Domains
}

// counters are the leaves of a flow's counters, to be given to source and
// destination once it is known which is the client.
type counters struct {
	toServer, toClient, packetsToServer, packetsToClient event.Leaf
}

// begin fills what the type of the event says.
func (s *state) begin(name []byte) {
	t, ok := s.d.types[string(name)]
	if !ok {
		t = s.d.other
	}
	s.typ, s.flow = t, counters{}
	s.addresses.Reset()
	for _, c := range t.constants {
		s.PutConstant(c.field, c.json)
	}
}

// compiledType is an eventType as constants of the table.
type compiledType struct {
	eventType
	constants        []constant
	allowed, blocked mapping.Constant // event.type of an alert by its action
	protocol         mapping.Constant // network.protocol, if EVE does not say
	span             bool             // its start and end are the event's
}

type constant struct {
	field event.Field
	json  mapping.Constant
}

func (d *Decoder) compileType(t eventType) *compiledType {
	c := &compiledType{eventType: t, span: t.name == "flow" || t.name == "netflow" || t.name == typeGap}
	put := func(f event.Field, json string) {
		c.constants = append(c.constants, constant{f, d.table.Constant(json)})
	}
	f := &d.fields
	put(f.kind, quote(t.kind))
	put(f.dataset, quote("suricata."+t.name))
	put(f.typ, mapping.StringArray(t.typ))
	if t.category != nil {
		put(f.category, mapping.StringArray(t.category))
	}
	put(f.observerType, quote("ids"))
	put(f.observerVendor, quote("OISF"))
	put(f.observerProduct, quote("Suricata"))
	c.protocol = d.table.Constant(quote(t.protocol))
	c.allowed = d.table.Constant(mapping.StringArray(append([]string{"allowed"}, t.typ...)))
	c.blocked = d.table.Constant(mapping.StringArray(append([]string{"denied"}, t.typ...)))
	return c
}
