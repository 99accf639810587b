package zeek

import (
	"errors"
	"sync"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// compiled is a log with its table.
type compiled struct {
	log
	base      *mapping.Base
	path      event.Path // of _path
	ttls      event.Path
	constants []constant
	protocol  mapping.Constant
	states    sync.Pool

	url      mapping.URL
	file     mapping.File
	question mapping.Question

	networkProtocol, tlsProtocol, flags, resolved, dnsType event.Field
	sourceBytes, destinationBytes, networkBytes            event.Field
	sourcePackets, destinationPackets, networkPackets      event.Field
	flagPaths                                              [4]event.Path
	tls, ssl, query, answer                                mapping.Constant
}

type constant struct {
	field event.Field
	json  mapping.Constant
}

// flagNames are the flags of a DNS header that Zeek has members of their own
// for.
func flagNames() [4]string { return [4]string{"AA", "TC", "RD", "RA"} }

func compile(l log, home decode.Home) (*compiled, error) {
	rules := append([]mapping.Rule{{From: "_path", As: mapping.Nothing}}, commonRules()...)
	rules = append(rules, l.rules...)
	fields := []string{
		"event.kind", "event.category", "event.type", "event.dataset", "event.duration", "network.protocol", "tls.version_protocol",
		"dns.header_flags", "dns.resolved_ip", "dns.type", "observer.vendor", "observer.product", "observer.type", "observer.name",
		"source.bytes", "destination.bytes", "network.bytes", "source.packets", "destination.packets", "network.packets",
	}
	for _, shared := range [][]string{mapping.BaseFields(), mapping.URLFields(), mapping.FileFields(), mapping.QuestionFields()} {
		fields = append(fields, shared...)
	}
	t, err := mapping.CompileFlat(rules, fields)
	if err != nil {
		return nil, err
	}
	c := &compiled{
		log:  l,
		base: mapping.NewBase(t, mapping.BaseOptions{Home: home, Module: "zeek", Nest: "zeek." + l.name, Key: "observer.name"}),
		path: t.Path("_path"), url: mapping.NewURL(t), file: mapping.NewFile(t), question: mapping.NewQuestion(t),
		networkProtocol: t.Field("network.protocol"), tlsProtocol: t.Field("tls.version_protocol"),
		flags: t.Field("dns.header_flags"), resolved: t.Field("dns.resolved_ip"), dnsType: t.Field("dns.type"),
		sourceBytes: t.Field("source.bytes"), destinationBytes: t.Field("destination.bytes"), networkBytes: t.Field("network.bytes"),
		sourcePackets: t.Field("source.packets"), destinationPackets: t.Field("destination.packets"), networkPackets: t.Field("network.packets"),
		tls: t.Constant(`"tls"`), ssl: t.Constant(`"ssl"`), query: t.Constant(`"query"`), answer: t.Constant(`"answer"`),
		protocol: t.Constant(`"` + l.protocol + `"`),
	}
	if l.name == "dns" {
		c.ttls = t.Path("TTLs")
		for i, name := range flagNames() {
			c.flagPaths[i] = t.Path(name)
		}
	}
	put := func(name, json string) { c.constants = append(c.constants, constant{t.Field(name), t.Constant(json)}) }
	put("event.kind", `"`+l.kind+`"`)
	put("event.dataset", `"zeek.`+l.name+`"`)
	put("event.type", mapping.StringArray(l.typ))
	if l.category != nil {
		put("event.category", mapping.StringArray(l.category))
	}
	put("observer.vendor", `"Zeek"`)
	put("observer.product", `"Zeek"`)
	put("observer.type", `"ids"`)
	c.states.New = func() any { return &state{State: t.NewState(), c: c} }
	return c, nil
}

func (c *compiled) put(s *state) {
	s.Release()
	s.numbers.Reset(nil, 0)
	c.states.Put(s)
}

// state is the working memory of one decoding.
type state struct {
	*mapping.State
	c         *compiled
	domains   decode.Domains
	addresses mapping.List
	numbers   event.Elements
}

func (s *state) decode(meta decode.Meta, dst []byte) (decode.Event, error) {
	for _, k := range s.c.constants {
		s.PutConstant(k.field, k.json)
	}
	s.addresses.Reset()
	s.Apply(s)
	if !s.c.base.HasTime(s.State) {
		return decode.Event{}, decode.Fault(decode.CodeNoTimestamp, errors.New("decoding Zeek: no ts in Zeek's form"))
	}
	c := s.c
	if c.log.protocol != "" && !s.Doc.Has(c.networkProtocol) {
		s.PutConstant(c.networkProtocol, c.protocol)
	}
	s.PutSum(c.networkBytes, c.sourceBytes, c.destinationBytes)
	s.PutSum(c.networkPackets, c.sourcePackets, c.destinationPackets)
	if c.name == "dns" {
		s.finishDNS()
	}
	c.base.Finish(s.State, meta, false)
	return c.base.Event(s.State, dst), nil
}

// Map maps a value in one of Zeek's own ways.
func (s *state) Map(as mapping.As, f event.Field, l event.Leaf) bool {
	switch as {
	case asURL:
		return s.PutURL(s.c.url, f, l)
	case asFile:
		return s.PutFile(s.c.file, l)
	case asEmails:
		return s.PutEmails(f, l)
	case asQuestion:
		return s.PutQuestion(s.c.question, &s.domains, l)
	case asAnswers:
		return s.mapAnswers(f, l)
	case asClass:
		if string(l.Bytes(s.Line)) != "C_INTERNET" {
			return false
		}
		s.PutString(f, "IN")
		return true
	case asService:
		return s.mapService(f, l)
	case asTLSVersion:
		return s.mapTLSVersion(f, l)
	case asFirst:
		return s.mapFirst(f, l)
	}
	return false
}
