package suricata

import (
	"errors"
	"fmt"
	"sync"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
	"github.com/decodersring/decoder/internal/fault"
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
	options Options
	table   *mapping.Table
	fields  fields
	types   map[string]*compiledType
	other   *compiledType
	paths   paths
	nest    decode.Nest
	unnamed []byte // key where nothing else tells events apart
	states  sync.Pool
}

// New returns a decoder.
func New(o Options) (*Decoder, error) {
	if o.Home == nil {
		o.Home = decode.PrivateNetworks()
	}
	table, err := mapping.Compile(rules(), filled())
	if err != nil {
		return nil, fmt.Errorf("making the Suricata decoder: %w", err)
	}
	d := &Decoder{options: o, table: table, fields: newFields(table), types: map[string]*compiledType{},
		nest: decode.NestAt("suricata.eve"), unnamed: []byte("suricata")}
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
	if len(line) > decode.MaxLine {
		return decode.Event{}, fault.NewPermanent(decode.CodeLineTooLong, fmt.Errorf("decoding EVE: a line of %d bytes", len(line)))
	}
	s := d.states.Get().(*state)
	defer d.states.Put(s)
	if err := s.Parse(line); err != nil {
		code := decode.CodeJSONInvalid
		if errors.Is(err, event.ErrTooManyFields) {
			code = decode.CodeTooManyFields
		}
		return decode.Event{}, fault.NewPermanent(code, fmt.Errorf("decoding EVE: %w", err))
	}
	name, ok := s.Find(d.paths.eventType)
	if !ok || !name.Kind.IsString() {
		return decode.Event{}, fault.NewPermanent(decode.CodeNoEventType, errors.New("decoding EVE: no event_type"))
	}
	s.begin(name.Bytes(line))
	s.Apply(s)
	if !s.Doc.Has(d.fields.timestamp) {
		return decode.Event{}, fault.NewPermanent(decode.CodeNoTimestamp, errors.New("decoding EVE: no timestamp in EVE's form"))
	}
	s.finish(meta)
	key := s.key()
	return decode.Assemble(dst, s.Doc, d.nest, s.AppendRest, decode.Parts{ID: d.fields.id, Time: d.fields.timestamp, Key: key}), nil
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

// key returns the event's key, if need be written behind what Side holds.
func (s *state) key() []byte {
	if a := s.d.options.Home.Monitored(s.Source, s.Destination); a.IsValid() {
		start := len(s.Doc.Side)
		s.Doc.Side = a.AppendTo(s.Doc.Side)
		return s.Doc.Side[start:]
	}
	if id := s.Doc.Value(s.d.fields.communityID); len(id) > 0 {
		return id
	}
	if name := s.Doc.Value(s.d.fields.observerName); len(name) > 0 {
		return name
	}
	return s.d.unnamed
}

// compiledType is an eventType as constants of the table.
type compiledType struct {
	eventType
	constants        []constant
	allowed, blocked mapping.Constant // event.type of an alert by its action
	protocol         mapping.Constant // network.protocol, if EVE does not say
	flow             bool             // its start and end are the event's
}

type constant struct {
	field event.Field
	json  mapping.Constant
}

func (d *Decoder) compileType(t eventType) *compiledType {
	c := &compiledType{eventType: t, flow: t.name == "flow" || t.name == "netflow"}
	put := func(f event.Field, json string) {
		c.constants = append(c.constants, constant{f, d.table.Constant(json)})
	}
	f := &d.fields
	put(f.kind, quote(t.kind))
	put(f.module, quote("suricata"))
	put(f.dataset, quote("suricata."+t.name))
	put(f.typ, array(t.typ))
	if t.category != nil {
		put(f.category, array(t.category))
	}
	put(f.ecsVersion, quote(ecs.Version))
	put(f.observerType, quote("ids"))
	put(f.observerVendor, quote("OISF"))
	put(f.observerProduct, quote("Suricata"))
	c.protocol = d.table.Constant(quote(t.protocol))
	c.allowed = d.table.Constant(array(append([]string{"allowed"}, t.typ...)))
	c.blocked = d.table.Constant(array(append([]string{"denied"}, t.typ...)))
	return c
}
