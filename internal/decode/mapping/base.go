package mapping

import (
	"strconv"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// Base fills what every decoder's events have, whatever the source: identity,
// where the raw bytes lie, the network's direction, the key.
type Base struct {
	options BaseOptions
	nest    decode.Nest
	unnamed []byte

	id, timestamp, tags, original                  event.Field
	rawTopic, rawPartition, rawOffset, captureName event.Field
	networkType, direction, communityID, key       event.Field

	repaired, ipv4, ipv6 Constant
	directions           [decode.External + 1]Constant
	constants            []fieldConstant
}

type fieldConstant struct {
	field event.Field
	json  Constant
}

// BaseOptions say what is a source's own in a Base.
type BaseOptions struct {
	Home   decode.Home // nil is the private networks
	Module string      // event.module, and the key of what nothing else tells apart
	Nest   string      // dotted path under which lies what ECS has no field for
	// Key is the field whose value is the key of events that concern no
	// monitored address and have no community id.
	Key string
}

// BaseFields names the fields that a Base fills, to be compiled with a
// source's own.
func BaseFields() []string {
	return []string{
		"@timestamp", "event.id", "event.module", "event.original", "ecs.version", "tags",
		"decoder.raw.topic", "decoder.raw.partition", "decoder.raw.offset", "decoder.capture.name",
		"network.type", "network.direction", "network.community_id",
	}
}

// NewBase returns the base of a table that was compiled with [BaseFields] and
// the field that is the key.
func NewBase(t *Table, o BaseOptions) *Base {
	if o.Home == nil {
		o.Home = decode.PrivateNetworks()
	}
	b := &Base{
		options: o, nest: decode.NestAt(o.Nest), unnamed: []byte(o.Module),
		id: t.Field("event.id"), timestamp: t.Field("@timestamp"), tags: t.Field("tags"), original: t.Field("event.original"),
		rawTopic: t.Field("decoder.raw.topic"), rawPartition: t.Field("decoder.raw.partition"),
		rawOffset: t.Field("decoder.raw.offset"), captureName: t.Field("decoder.capture.name"),
		networkType: t.Field("network.type"), direction: t.Field("network.direction"),
		communityID: t.Field("network.community_id"), key: t.Field(o.Key),
		repaired: t.Constant(`["invalid_utf8"]`), ipv4: t.Constant(`"ipv4"`), ipv6: t.Constant(`"ipv6"`),
	}
	for d := decode.Internal; d <= decode.External; d++ {
		b.directions[d] = t.Constant(`"` + d.String() + `"`)
	}
	b.constants = []fieldConstant{
		{t.Field("event.module"), t.Constant(string(event.AppendString(nil, []byte(o.Module))))},
		{t.Field("ecs.version"), t.Constant(`"` + ecs.Version + `"`)},
	}
	return b
}

// HasTime says whether the document has its @timestamp.
func (b *Base) HasTime(s *State) bool { return s.Doc.Has(b.timestamp) }

// Finish fills the fields of all events, once the line's values are mapped.
// original keeps the line in event.original.
func (b *Base) Finish(s *State, meta decode.Meta, original bool) {
	for _, c := range b.constants {
		s.PutConstant(c.field, c.json)
	}
	start := len(s.Doc.Side)
	s.Doc.Side = event.AppendID(s.Doc.Side, meta.Origin, event.KindEvent, meta.Index)
	s.Doc.Put(b.id, start, true)
	if meta.Topic != "" {
		s.PutString(b.rawTopic, meta.Topic)
		s.PutInt(b.rawPartition, int64(meta.Partition))
		s.PutInt(b.rawOffset, meta.Offset)
	}
	if meta.Capture != "" {
		s.PutString(b.captureName, meta.Capture)
	}
	if original {
		start := len(s.Doc.Side)
		s.Doc.Side = event.AppendEscaped(s.Doc.Side, s.Line)
		s.Doc.Put(b.original, start, true)
	}
	b.finishNetwork(s)
	s.finishRelated()
	if s.repaired {
		s.PutConstant(b.tags, b.repaired)
	}
}

// finishNetwork says what the addresses say, where the line did not.
func (b *Base) finishNetwork(s *State) {
	a := s.Source
	if !a.IsValid() {
		a = s.Destination
	}
	switch {
	case !a.IsValid() || s.Doc.Has(b.networkType):
	case a.Is4():
		s.PutConstant(b.networkType, b.ipv4)
	default:
		s.PutConstant(b.networkType, b.ipv6)
	}
	d := b.options.Home.Direction(s.Source, s.Destination)
	if d != decode.NoDirection && !s.Doc.Has(b.direction) {
		s.PutConstant(b.direction, b.directions[d])
	}
}

// Event writes the finished document into dst[len(dst):].
func (b *Base) Event(s *State, dst []byte) decode.Event {
	key := b.keyOf(s)
	return decode.Assemble(dst, s.Doc, b.nest, s.AppendRest, decode.Parts{ID: b.id, Time: b.timestamp, Key: key})
}

// keyOf returns the event's key, if need be written behind what Side holds.
func (b *Base) keyOf(s *State) []byte {
	if a := b.options.Home.Monitored(s.Source, s.Destination); a.IsValid() {
		start := len(s.Doc.Side)
		s.Doc.Side = a.AppendTo(s.Doc.Side)
		return s.Doc.Side[start:]
	}
	if id := s.Doc.Value(b.communityID); len(id) > 0 {
		return id
	}
	if key := s.Doc.Value(b.key); len(key) > 0 {
		return key
	}
	return b.unnamed
}

// PutInt gives the field a number.
func (s *State) PutInt(f event.Field, n int64) {
	start := len(s.Doc.Side)
	s.Doc.Side = strconv.AppendInt(s.Doc.Side, n, 10)
	s.Doc.Put(f, start, false)
}
