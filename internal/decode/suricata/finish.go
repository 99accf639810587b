package suricata

import (
	"bytes"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// finish fills what is computed from more than one value, and what comes from
// beside the line.
func (s *state) finish(meta decode.Meta) {
	s.finishFlow()
	s.finishDNS()
	s.finishOwn()
	f := &s.d.fields
	if s.typ.eventType.protocol != "" && !s.Doc.Has(f.protocol) {
		s.PutConstant(f.protocol, s.typ.protocol)
	}
	if s.d.options.Sensor != "" && !s.Doc.Has(f.observerName) {
		s.PutString(f.observerName, s.d.options.Sensor)
	}
	if s.Doc.Has(f.tactic) || s.Doc.Has(f.technique) {
		s.PutConstant(f.framework, f.attack)
	}
	s.d.base.Finish(s.State, meta, s.d.options.Original || s.typ.kind == kindAlert)
}

// finishFlow gives the counters to the two sides and adds them up, and says
// how long the flow was.
func (s *state) finishFlow() {
	f := &s.d.fields
	if s.flow != (counters{}) {
		s.putCounters()
	}
	s.PutSum(f.networkBytes, f.sourceBytes, f.destinationBytes)
	s.PutSum(f.networkPackets, f.sourcePackets, f.destinationPackets)
	if !s.typ.span {
		return
	}
	from, ok := mapping.ParseTime(s.Doc.Value(f.start))
	to, ok2 := mapping.ParseTime(s.Doc.Value(f.end))
	if d := to.Sub(from); ok && ok2 && d >= 0 {
		s.PutInt(f.duration, int64(d))
	}
}

func (s *state) putCounters() {
	f := &s.d.fields
	source, destination := s.flow.toServer, s.flow.toClient
	sourcePackets, destinationPackets := s.flow.packetsToServer, s.flow.packetsToClient
	if s.fromServer() {
		source, destination = destination, source
		sourcePackets, destinationPackets = destinationPackets, sourcePackets
	}
	s.putCounter(f.sourceBytes, source)
	s.putCounter(f.destinationBytes, destination)
	s.putCounter(f.sourcePackets, sourcePackets)
	s.putCounter(f.destinationPackets, destinationPackets)
}

// fromServer says whether an alert's packet was sent by the server: the flow
// names another source than the packet has.
func (s *state) fromServer() bool {
	ip, ok := s.Find(s.d.paths.flowSourceIP)
	if !ok || !s.Source.IsValid() {
		return false
	}
	client, ok := mapping.ParseAddr(ip.Bytes(s.Line))
	if !ok {
		return false
	}
	if client != s.Source {
		return true
	}
	port, ok := s.Find(s.d.paths.flowSourcePort)
	own := s.Doc.Value(s.d.fields.sourcePort)
	return client == s.Destination && ok && own != nil && !bytes.Equal(port.Bytes(s.Line), own)
}

func (s *state) putCounter(f event.Field, l event.Leaf) {
	if l.Kind == event.Number {
		s.Doc.PutLeaf(f, l)
	}
}
