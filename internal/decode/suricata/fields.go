package suricata

import (
	"strings"

	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// fields are the fields that are filled by code, beside the table's targets.
type fields struct {
	kind, dataset, category, typ, duration, start, end,
	observerType, observerVendor, observerProduct, observerName,
	protocol, networkBytes, networkPackets, innerVLAN,
	sourceBytes, sourcePackets, destinationBytes, destinationPackets,
	message, iface,
	question, questionType, resolved, answers, tlsProtocol, framework, tactic, technique, sourcePort event.Field

	server, client certificate

	attack, success, failure mapping.Constant
}

// certificate is the fields of one side's certificate.
type certificate struct {
	subject, issuer, notBefore, notAfter event.Field // as the table names them
	subjectDN, issuerDN                  event.Field
	x509NotBefore, x509NotAfter          event.Field
	subjectParts, issuerParts            []event.Field // as dnAttributes
}

// dnAttributes are the attributes of a distinguished name that ECS has fields
// for: how they begin, and what the fields are called.
func dnAttributes() (prefixes, names [6]string) {
	return [...]string{"CN=", "O=", "OU=", "L=", "ST=", "C="},
		[...]string{"common_name", "organization", "organizational_unit", "locality", "state_or_province", "country"}
}

// filled names the fields that code fills.
func filled() []string {
	names := strings.Fields(`
		event.kind event.dataset event.category event.type event.duration event.start event.end event.outcome
		message observer.type observer.vendor observer.product observer.name observer.ingress.interface.name
		network.transport network.protocol network.bytes network.packets network.inner.vlan.id
		source.bytes source.packets destination.bytes destination.packets
		dns.question.type dns.resolved_ip dns.answers tls.version_protocol threat.framework`)
	for _, shared := range [][]string{mapping.BaseFields(), mapping.URLFields(), mapping.FileFields(), mapping.QuestionFields()} {
		names = append(names, shared...)
	}
	_, parts := dnAttributes()
	for _, side := range []string{"tls.server.", "tls.client."} {
		names = append(names, side+"x509.not_before", side+"x509.not_after",
			side+"x509.subject.distinguished_name", side+"x509.issuer.distinguished_name")
		for _, p := range parts {
			names = append(names, side+"x509.subject."+p, side+"x509.issuer."+p)
		}
	}
	return names
}

func newFields(t *mapping.Table) fields {
	return fields{
		kind: t.Field("event.kind"), dataset: t.Field("event.dataset"), category: t.Field("event.category"),
		typ: t.Field("event.type"), duration: t.Field("event.duration"),
		start: t.Field("event.start"), end: t.Field("event.end"),
		observerType: t.Field("observer.type"), observerVendor: t.Field("observer.vendor"),
		observerProduct: t.Field("observer.product"), observerName: t.Field("observer.name"),
		protocol:     t.Field("network.protocol"),
		networkBytes: t.Field("network.bytes"), networkPackets: t.Field("network.packets"),
		innerVLAN:   t.Field("network.inner.vlan.id"),
		sourceBytes: t.Field("source.bytes"), sourcePackets: t.Field("source.packets"),
		destinationBytes: t.Field("destination.bytes"), destinationPackets: t.Field("destination.packets"),
		message: t.Field("message"), iface: t.Field("observer.ingress.interface.name"),
		question: t.Field("dns.question.name"), questionType: t.Field("dns.question.type"),
		resolved: t.Field("dns.resolved_ip"), answers: t.Field("dns.answers"),
		tlsProtocol: t.Field("tls.version_protocol"), framework: t.Field("threat.framework"),
		tactic: t.Field("threat.tactic.id"), technique: t.Field("threat.technique.id"), sourcePort: t.Field("source.port"),
		server: newCertificate(t, "tls.server."), client: newCertificate(t, "tls.client."),
		attack:  t.Constant(`"MITRE ATT&CK"`),
		success: t.Constant(`"success"`), failure: t.Constant(`"failure"`),
	}
}

func newCertificate(t *mapping.Table, side string) certificate {
	c := certificate{
		subject: t.Field(side + "subject"), issuer: t.Field(side + "issuer"),
		notBefore: t.Field(side + "not_before"), notAfter: t.Field(side + "not_after"),
		subjectDN: t.Field(side + "x509.subject.distinguished_name"), issuerDN: t.Field(side + "x509.issuer.distinguished_name"),
		x509NotBefore: t.Field(side + "x509.not_before"), x509NotAfter: t.Field(side + "x509.not_after"),
	}
	_, parts := dnAttributes()
	for _, p := range parts {
		c.subjectParts = append(c.subjectParts, t.Field(side+"x509.subject."+p))
		c.issuerParts = append(c.issuerParts, t.Field(side+"x509.issuer."+p))
	}
	return c
}

// paths are the paths that code looks for by itself.
type paths struct {
	eventType, flowSourceIP, flowSourcePort, rdata, ttl, truncatedBytes event.Path
}

func newPaths(t *mapping.Table) paths {
	return paths{
		eventType: t.Path("event_type"), flowSourceIP: t.Path("flow.src_ip"), flowSourcePort: t.Path("flow.src_port"),
		rdata: t.Path("dns.rdata"), ttl: t.Path("dns.ttl"), truncatedBytes: t.Path("decoder_truncated.bytes"),
	}
}

func quote(s string) string { return string(event.AppendString(nil, []byte(s))) }
