package suricata

import (
	"strings"

	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event"
)

// fields are the fields that are filled by code, beside the table's targets.
type fields struct {
	timestamp, id, kind, module, dataset, category, typ, original, duration, start, end,
	outcome, ecsVersion, tags,
	observerType, observerVendor, observerProduct, observerName,
	rawTopic, rawPartition, rawOffset, capture,
	transport, protocol, networkType, direction, networkBytes, networkPackets, communityID, innerVLAN,
	sourceBytes, sourcePackets, destinationBytes, destinationPackets,
	urlPath, urlQuery, urlFragment, urlExtension, urlScheme,
	question, questionType, registered, subdomain, suffix, resolved, answers,
	tlsProtocol, fileName, filePath, fileExtension, framework, tactic, technique, sourcePort event.Field

	server, client certificate

	repaired, attack mapping.Constant
	directions       [decode.External + 1]mapping.Constant
	ipv4, ipv6       mapping.Constant
	success, failure mapping.Constant
}

// certificate is the fields of one side's certificate.
type certificate struct {
	subject, issuer, notBefore, notAfter event.Field // as the table names them
	subjectDN, issuerDN                  event.Field
	x509NotBefore, x509NotAfter          event.Field
	subjectParts, issuerParts            []event.Field // as dnKeys
}

// dnKeys are the attributes of a distinguished name that ECS has fields for.
func dnKeys() (keys, names []string) {
	return []string{"CN", "O", "OU", "L", "ST", "C"},
		[]string{"common_name", "organization", "organizational_unit", "locality", "state_or_province", "country"}
}

// filled names the fields that code fills.
func filled() []string {
	names := strings.Fields(`
		@timestamp event.id event.kind event.module event.dataset event.category event.type event.original
		event.duration event.start event.end event.outcome ecs.version tags
		observer.type observer.vendor observer.product observer.name
		decoder.raw.topic decoder.raw.partition decoder.raw.offset decoder.capture.name
		network.transport network.protocol network.type network.direction network.bytes network.packets
		network.community_id network.inner.vlan.id
		source.bytes source.packets destination.bytes destination.packets
		url.path url.query url.fragment url.extension url.scheme
		dns.question.name dns.question.type dns.question.registered_domain dns.question.subdomain dns.question.top_level_domain
		dns.resolved_ip dns.answers tls.version_protocol file.name file.path file.extension threat.framework`)
	_, parts := dnKeys()
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
	f := fields{
		timestamp: t.Field("@timestamp"), id: t.Field("event.id"), kind: t.Field("event.kind"),
		module: t.Field("event.module"), dataset: t.Field("event.dataset"), category: t.Field("event.category"),
		typ: t.Field("event.type"), original: t.Field("event.original"), duration: t.Field("event.duration"),
		start: t.Field("event.start"), end: t.Field("event.end"), outcome: t.Field("event.outcome"),
		ecsVersion: t.Field("ecs.version"), tags: t.Field("tags"),
		observerType: t.Field("observer.type"), observerVendor: t.Field("observer.vendor"),
		observerProduct: t.Field("observer.product"), observerName: t.Field("observer.name"),
		rawTopic: t.Field("decoder.raw.topic"), rawPartition: t.Field("decoder.raw.partition"),
		rawOffset: t.Field("decoder.raw.offset"), capture: t.Field("decoder.capture.name"),
		transport: t.Field("network.transport"), protocol: t.Field("network.protocol"),
		networkType: t.Field("network.type"), direction: t.Field("network.direction"),
		networkBytes: t.Field("network.bytes"), networkPackets: t.Field("network.packets"),
		communityID: t.Field("network.community_id"), innerVLAN: t.Field("network.inner.vlan.id"),
		sourceBytes: t.Field("source.bytes"), sourcePackets: t.Field("source.packets"),
		destinationBytes: t.Field("destination.bytes"), destinationPackets: t.Field("destination.packets"),
		urlPath: t.Field("url.path"), urlQuery: t.Field("url.query"), urlFragment: t.Field("url.fragment"),
		urlExtension: t.Field("url.extension"), urlScheme: t.Field("url.scheme"),
		question: t.Field("dns.question.name"), questionType: t.Field("dns.question.type"),
		registered: t.Field("dns.question.registered_domain"), subdomain: t.Field("dns.question.subdomain"),
		suffix: t.Field("dns.question.top_level_domain"), resolved: t.Field("dns.resolved_ip"), answers: t.Field("dns.answers"),
		tlsProtocol: t.Field("tls.version_protocol"), fileName: t.Field("file.name"), filePath: t.Field("file.path"),
		fileExtension: t.Field("file.extension"), framework: t.Field("threat.framework"),
		tactic: t.Field("threat.tactic.id"), technique: t.Field("threat.technique.id"), sourcePort: t.Field("source.port"),
		server: newCertificate(t, "tls.server."), client: newCertificate(t, "tls.client."),
		repaired: t.Constant(`["invalid_utf8"]`), attack: t.Constant(`"MITRE ATT&CK"`),
		ipv4: t.Constant(`"ipv4"`), ipv6: t.Constant(`"ipv6"`),
		success: t.Constant(`"success"`), failure: t.Constant(`"failure"`),
	}
	for d := decode.Internal; d <= decode.External; d++ {
		f.directions[d] = t.Constant(quote(d.String()))
	}
	return f
}

func newCertificate(t *mapping.Table, side string) certificate {
	c := certificate{
		subject: t.Field(side + "subject"), issuer: t.Field(side + "issuer"),
		notBefore: t.Field(side + "not_before"), notAfter: t.Field(side + "not_after"),
		subjectDN: t.Field(side + "x509.subject.distinguished_name"), issuerDN: t.Field(side + "x509.issuer.distinguished_name"),
		x509NotBefore: t.Field(side + "x509.not_before"), x509NotAfter: t.Field(side + "x509.not_after"),
	}
	_, parts := dnKeys()
	for _, p := range parts {
		c.subjectParts = append(c.subjectParts, t.Field(side+"x509.subject."+p))
		c.issuerParts = append(c.issuerParts, t.Field(side+"x509.issuer."+p))
	}
	return c
}

// paths are the paths that code looks for by itself.
type paths struct {
	eventType, flowSourceIP, flowSourcePort, flowState, rdata, ttl, rrname event.Path
}

func newPaths(t *mapping.Table) paths {
	return paths{
		eventType: t.Path("event_type"), flowSourceIP: t.Path("flow.src_ip"), flowSourcePort: t.Path("flow.src_port"),
		flowState: t.Path("flow.state"), rdata: t.Path("dns.rdata"), ttl: t.Path("dns.ttl"), rrname: t.Path("dns.rrname"),
	}
}

func quote(s string) string { return string(event.AppendString(nil, []byte(s))) }

func array(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return "[" + strings.Join(quoted, ",") + "]"
}
