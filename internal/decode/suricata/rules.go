package suricata

import "github.com/decodersring/decoder/internal/decode/mapping"

// The ways of Suricata's own in which values become fields.
const (
	asProtocol mapping.As = mapping.Own + iota
	asVLAN
	asSpan
	asBytesToServer
	asBytesToClient
	asPacketsToServer
	asPacketsToClient
	asAction
	asURL
	asHTTPVersion
	asFile
	asQuestion
	asDNSType
	asOpcode
	asDNSFlags
	asAnswers
	asQueries
	asTLSVersion
	asDN
	asValidity
	asEmail
	asEmails
	asAttachments
	asCVE
	asFirstText
	asOnlyMAC
	asKerberos
	asStatus
)

// wayNames describes each own way for the reference page.
func wayNames() map[mapping.As]string {
	return map[mapping.As]string{
		asProtocol:        "in lower case, unless unknown or failed",
		asVLAN:            "first id; the second to network.inner.vlan.id",
		asSpan:            "time, in events of type flow, netflow and decoder_gap",
		asBytesToServer:   "bytes of source or destination, whichever is the client",
		asBytesToClient:   "bytes of source or destination, whichever is the server",
		asPacketsToServer: "packets of source or destination, whichever is the client",
		asPacketsToClient: "packets of source or destination, whichever is the server",
		asAction:          "adds allowed or denied to event.type",
		asURL:             "as it is; its parts to url.path, .query, .fragment, .extension, .scheme",
		asHTTPVersion:     "without HTTP/",
		asFile:            "file.name and .extension; file.path where there is a folder",
		asQuestion:        "name; its parts to dns.question.registered_domain, .subdomain, .top_level_domain",
		asDNSType:         "query or answer",
		asOpcode:          "name of the code (RFC 6895)",
		asDNSFlags:        "names of the flags that are set",
		asAnswers:         "answers; addresses in them to dns.resolved_ip",
		asQueries:         "first question",
		asTLSVersion:      "number; tls or ssl to tls.version_protocol",
		asDN:              "distinguished name; its parts to the x509 fields",
		asValidity:        "time, to the certificate and to x509",
		asEmail:           "address, as an array",
		asEmails:          "addresses",
		asAttachments:     "file names of attachments",
		asCVE:             "CVE identifier",
		asFirstText:       "first of an array",
		asOnlyMAC:         "MAC address, if it is the only one",
		asKerberos:        "success, or failure where there is an error",
		asStatus:          "success or failure",
	}
}

// rules returns the table: what becomes of each path of an EVE object. A path
// that is not in it stays under suricata.eve.
func rules() []mapping.Rule {
	return concat(commonRules(), alertRules(), flowRules(), webRules(), dnsRules(), tlsRules(), fileRules(), sessionRules())
}

func concat(lists ...[]mapping.Rule) (all []mapping.Rule) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

func commonRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "timestamp", To: "@timestamp", As: mapping.Time},
		{From: "event_type", As: mapping.Nothing, Keep: true},
		{From: "src_ip", To: "source.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "src_port", To: "source.port", As: mapping.Long},
		{From: "dest_ip", To: "destination.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "dest_port", To: "destination.port", As: mapping.Long},
		{From: "proto", To: "network.transport", As: mapping.Lower},
		{From: "app_proto", To: "network.protocol", As: asProtocol},
		{From: "community_id", To: "network.community_id", As: mapping.Keyword},
		{From: "in_iface", To: "observer.ingress.interface.name", As: mapping.Keyword},
		{From: "host", To: "observer.name", As: mapping.Keyword},
		{From: "vlan", To: "network.vlan.id", As: asVLAN},
		{From: "ether.src_mac", To: "source.mac", As: mapping.MAC},
		{From: "ether.dest_mac", To: "destination.mac", As: mapping.MAC},
		{From: "ether.src_macs", To: "source.mac", As: asOnlyMAC},
		{From: "ether.dest_macs", To: "destination.mac", As: asOnlyMAC},
		{From: "tunnel.src_ip", As: mapping.Nothing, Related: mapping.IPs},
		{From: "tunnel.dest_ip", As: mapping.Nothing, Related: mapping.IPs},
		{From: "engine.message", To: "message", As: mapping.Keyword},
		{From: "decoder_gap.start", To: "event.start", As: asSpan},
		{From: "decoder_gap.end", To: "event.end", As: asSpan},
		{From: "decoder_gap.reason", To: "event.reason", As: mapping.Keyword},
		{From: "decoder_truncated.reason", To: "event.reason", As: mapping.Keyword},
		{From: "decoder_truncated.bytes", As: mapping.Nothing, Keep: true},
		{From: "decoder_truncated.sha256", As: mapping.Nothing, Related: mapping.Hashes},
	}
}

func alertRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "alert.action", As: asAction},
		{From: "alert.signature_id", To: "rule.id", As: mapping.Text},
		{From: "alert.rev", To: "rule.version", As: mapping.Text},
		{From: "alert.signature", To: "rule.name", As: mapping.Keyword},
		{From: "alert.category", To: "rule.category", As: mapping.Keyword},
		{From: "alert.severity", To: "event.severity", As: mapping.Long},
		{From: "alert.references", To: "rule.reference", As: asFirstText, Keep: true},
		{From: "alert.metadata.mitre_tactic_id", To: "threat.tactic.id", As: mapping.Keywords},
		{From: "alert.metadata.mitre_tactic_name", To: "threat.tactic.name", As: mapping.Keywords},
		{From: "alert.metadata.mitre_technique_id", To: "threat.technique.id", As: mapping.Keywords},
		{From: "alert.metadata.mitre_technique_name", To: "threat.technique.name", As: mapping.Keywords},
		{From: "alert.metadata.cve", To: "vulnerability.id", As: asCVE, Keep: true},
		{From: "alert.xff", To: "network.forwarded_ip", As: mapping.Address, Related: mapping.IPs},
		{From: "drop.reason", To: "event.reason", As: mapping.Keyword},
	}
}

func flowRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "flow.src_ip", As: mapping.Nothing},
		{From: "flow.src_port", As: mapping.Nothing},
		{From: "flow.bytes_toserver", As: asBytesToServer},
		{From: "flow.bytes_toclient", As: asBytesToClient},
		{From: "flow.pkts_toserver", As: asPacketsToServer},
		{From: "flow.pkts_toclient", As: asPacketsToClient},
		{From: "flow.start", To: "event.start", As: asSpan},
		{From: "flow.end", To: "event.end", As: asSpan},
		{From: "netflow.start", To: "event.start", As: asSpan},
		{From: "netflow.end", To: "event.end", As: asSpan},
		{From: "netflow.bytes", To: "source.bytes", As: mapping.Long},
		{From: "netflow.pkts", To: "source.packets", As: mapping.Long},
	}
}

func webRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "http.hostname", To: "url.domain", As: mapping.Keyword, Related: mapping.Hosts},
		{From: "http.http_port", To: "url.port", As: mapping.Long},
		{From: "http.url", To: "url.original", As: asURL},
		{From: "http.http_method", To: "http.request.method", As: mapping.Keyword},
		{From: "http.http_refer", To: "http.request.referrer", As: mapping.Keyword},
		{From: "http.http_user_agent", To: "user_agent.original", As: mapping.Keyword},
		{From: "http.http_content_type", To: "http.response.mime_type", As: mapping.Keyword},
		{From: "http.protocol", To: "http.version", As: asHTTPVersion},
		{From: "http.version", To: "http.version", As: mapping.Text},
		{From: "http.status", To: "http.response.status_code", As: mapping.Long},
		{From: "http.length", To: "http.response.body.bytes", As: mapping.Long},
		{From: "http.http_request_body_printable", To: "http.request.body.content", As: mapping.Keyword},
		{From: "http.http_response_body_printable", To: "http.response.body.content", As: mapping.Keyword},
		{From: "http.xff", To: "network.forwarded_ip", As: mapping.Address, Related: mapping.IPs},
		{From: "quic.ua", To: "user_agent.original", As: mapping.Keyword},
		{From: "sip.user_agent", To: "user_agent.original", As: mapping.Keyword},
	}
}

func dnsRules() []mapping.Rule {
	rules := []mapping.Rule{
		{From: "dns.id", To: "dns.id", As: mapping.Text},
		{From: "dns.type", To: "dns.type", As: asDNSType, Keep: true},
		{From: "dns.opcode", To: "dns.op_code", As: asOpcode, Keep: true},
		{From: "dns.rcode", To: "dns.response_code", As: mapping.Keyword},
		{From: "dns.flags", To: "dns.header_flags", As: asDNSFlags, Keep: true},
		{From: "dns.rrname", To: "dns.question.name", As: asQuestion, Related: mapping.Hosts},
		{From: "dns.rrtype", To: "dns.question.type", As: mapping.Keyword},
		{From: "dns.answers", To: "dns.answers", As: asAnswers},
		{From: "dns.rdata", As: mapping.Nothing},
		{From: "dns.ttl", As: mapping.Nothing},
		{From: "dns.query", To: "dns.question.name", As: asQueries},
		{From: "dns.queries", To: "dns.question.name", As: asQueries},
		{From: "dns.answer.id", To: "dns.id", As: mapping.Text},
		{From: "dns.answer.type", To: "dns.type", As: asDNSType, Keep: true},
		{From: "dns.answer.opcode", To: "dns.op_code", As: asOpcode, Keep: true},
		{From: "dns.answer.rcode", To: "dns.response_code", As: mapping.Keyword},
		{From: "dns.answer.flags", To: "dns.header_flags", As: asDNSFlags, Keep: true},
		{From: "dns.answer.rrname", To: "dns.question.name", As: asQuestion, Related: mapping.Hosts},
		{From: "dns.answer.rrtype", To: "dns.question.type", As: mapping.Keyword},
		{From: "dns.answer.answers", To: "dns.answers", As: asAnswers},
	}
	return rules
}

func tlsRules() []mapping.Rule {
	rules := []mapping.Rule{
		{From: "tls.version", To: "tls.version", As: asTLSVersion, Keep: true},
		{From: "tls.sni", To: "tls.client.server_name", As: mapping.Keyword, Related: mapping.Hosts},
		{From: "tls.session_resumed", To: "tls.resumed", As: mapping.Bool},
		{From: "tls.ja3.hash", To: "tls.client.ja3", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "tls.ja3s.hash", To: "tls.server.ja3s", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "tls.server_alpns", To: "tls.next_protocol", As: asFirstText, Keep: true},
		{From: "tls.ja4", As: mapping.Nothing, Related: mapping.Hashes},
		{From: "quic.sni", To: "tls.client.server_name", As: mapping.Keyword, Related: mapping.Hosts},
		{From: "quic.ja3.hash", To: "tls.client.ja3", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "quic.ja3s.hash", To: "tls.server.ja3s", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "quic.ja4", As: mapping.Nothing, Related: mapping.Hashes},
		{From: "ssh.client.hassh.hash", As: mapping.Nothing, Related: mapping.Hashes},
		{From: "ssh.server.hassh.hash", As: mapping.Nothing, Related: mapping.Hashes},
	}
	for _, side := range [][2]string{{"tls.", "tls.server."}, {"tls.client.", "tls.client."}} {
		from, to := side[0], side[1]
		rules = append(rules, []mapping.Rule{
			{From: from + "subject", To: to + "subject", As: asDN},
			{From: from + "issuerdn", To: to + "issuer", As: asDN},
			{From: from + "serial", To: to + "x509.serial_number", As: mapping.Hex},
			{From: from + "fingerprint", To: to + "hash.sha1", As: mapping.Hex, Related: mapping.Hashes},
			{From: from + "notbefore", To: to + "not_before", As: asValidity},
			{From: from + "notafter", To: to + "not_after", As: asValidity},
			{From: from + "subjectaltname", To: to + "x509.alternative_names", As: mapping.Keywords, Related: mapping.Hosts},
			{From: from + "certificate", To: to + "certificate", As: mapping.Keyword},
			{From: from + "chain", To: to + "certificate_chain", As: mapping.Keywords},
		}...)
	}
	return rules
}

func fileRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "fileinfo.filename", To: "file.name", As: asFile},
		{From: "fileinfo.size", To: "file.size", As: mapping.Long},
		{From: "fileinfo.mimetype", To: "file.mime_type", As: mapping.Keyword},
		{From: "fileinfo.md5", To: "file.hash.md5", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "fileinfo.sha1", To: "file.hash.sha1", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "fileinfo.sha256", To: "file.hash.sha256", As: mapping.Keyword, Related: mapping.Hashes},
		{From: "smb.filename", To: "file.name", As: asFile},
		{From: "nfs.filename", To: "file.name", As: asFile},
		{From: "ftp_data.filename", To: "file.name", As: asFile},
		{From: "tftp.file", To: "file.name", As: asFile},
		{From: "email.from", To: "email.from.address", As: asEmail},
		{From: "email.to", To: "email.to.address", As: asEmails},
		{From: "email.cc", To: "email.cc.address", As: asEmails},
		{From: "email.reply_to", To: "email.reply_to.address", As: asEmail},
		{From: "email.subject", To: "email.subject", As: mapping.Keyword},
		{From: "email.message_id", To: "email.message_id", As: mapping.Keyword},
		{From: "email.x_mailer", To: "email.x_mailer", As: mapping.Keyword},
		{From: "email.attachment", To: "email.attachments", As: asAttachments},
	}
}

func sessionRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "dhcp.client_mac", To: "client.mac", As: mapping.MAC},
		{From: "dhcp.assigned_ip", As: mapping.Nothing, Related: mapping.IPs},
		{From: "dhcp.client_ip", As: mapping.Nothing, Related: mapping.IPs},
		{From: "dhcp.hostname", As: mapping.Nothing, Related: mapping.Hosts},
		{From: "krb5.cname", To: "user.name", As: mapping.Keyword, Related: mapping.Users},
		{From: "krb5.realm", To: "user.domain", As: mapping.Keyword},
		{From: "krb5.error_code", To: "event.code", As: mapping.Keyword},
		{From: "krb5.msg_type", To: "event.outcome", As: asKerberos, Keep: true},
		{From: "smb.ntlmssp.user", To: "user.name", As: mapping.Keyword, Related: mapping.Users},
		{From: "smb.ntlmssp.domain", To: "user.domain", As: mapping.Keyword},
		{From: "smb.ntlmssp.host", As: mapping.Nothing, Related: mapping.Hosts},
		{From: "smb.status", To: "event.outcome", As: asStatus, Keep: true},
		{From: "pgsql.request.startup_parameters.user", To: "user.name", As: mapping.Keyword, Related: mapping.Users},
		{From: "mqtt.connect.username", To: "user.name", As: mapping.Keyword, Related: mapping.Users},
	}
}
