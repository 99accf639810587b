package zeek

import "github.com/decodersring/decoder/internal/decode/mapping"

// The ways of Zeek's own in which values become fields.
const (
	asURL mapping.As = mapping.Own + iota
	asFile
	asEmails
	asQuestion
	asAnswers
	asClass
	asFlag
	asService
	asTLSVersion
	asFirst
)

// wayNames describes each own way for the reference page.
func wayNames() map[mapping.As]string {
	return map[mapping.As]string{
		asURL:        "as it is; its parts to url.path, .query, .fragment, .extension, .scheme",
		asFile:       "file.name and .extension; file.path where there is a folder",
		asEmails:     "addresses, as an array",
		asQuestion:   "name; its parts to dns.question.registered_domain, .subdomain, .top_level_domain",
		asAnswers:    "data of answers, with TTLs their ttl; addresses to dns.resolved_ip",
		asClass:      "IN for C_INTERNET",
		asFlag:       "adds its name to dns.header_flags when true",
		asService:    "in lower case, unless there are several",
		asTLSVersion: "number; tls or ssl to tls.version_protocol",
		asFirst:      "first of an array",
	}
}

// log is one of Zeek's logs: what its events are in ECS, and its rules beside
// those that all have.
type log struct {
	name     string
	kind     string
	category []string
	typ      []string
	protocol string // network.protocol where the log names none
	rules    []mapping.Rule
}

const (
	kindAlert  = "alert"
	kindEvent  = "event"
	kindMetric = "metric"
)

// commonRules are of all logs.
func commonRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "ts", To: "@timestamp", As: mapping.Epoch},
		{From: "id.orig_h", To: "source.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "id.orig_p", To: "source.port", As: mapping.Long},
		{From: "id.resp_h", To: "destination.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "id.resp_p", To: "destination.port", As: mapping.Long},
		{From: "proto", To: "network.transport", As: mapping.Lower},
		{From: "community_id", To: "network.community_id", As: mapping.Keyword},
		{From: "_system_name", To: "observer.name", As: mapping.Keyword},
	}
}

// logs returns the logs that have a mapping of their own.
func logs() []log {
	network := []string{"network"}
	protocol := []string{"protocol"}
	info := []string{"info"}
	conn := connRules()
	return []log{
		{"conn", kindEvent, network, []string{"connection", "end"}, "", conn},
		{"open_conn", kindEvent, network, []string{"connection", "info"}, "", conn},
		{"dns", kindEvent, network, protocol, "dns", dnsRules()},
		{"http", kindEvent, []string{"network", "web"}, []string{"access", "protocol"}, "http", httpRules()},
		{"ssl", kindEvent, network, protocol, "tls", tlsRules()},
		{"x509", kindEvent, []string{"file"}, info, "", x509Rules()},
		{"files", kindEvent, []string{"network", "file"}, info, "", fileRules()},
		{"smtp", kindEvent, []string{"network", "email"}, []string{"info", "protocol"}, "smtp", smtpRules()},
		{"ssh", kindEvent, network, protocol, "ssh", []mapping.Rule{{From: "auth_success", To: "event.outcome", As: mapping.Outcome}}},
		{"ftp", kindEvent, network, protocol, "ftp", []mapping.Rule{
			{From: "user", To: "user.name", Related: mapping.Users}, {From: "file_size", To: "file.size", As: mapping.Long},
			{From: "mime_type", To: "file.mime_type"}, {From: "data_channel.resp_h", As: mapping.Nothing, Related: mapping.IPs},
		}},
		{"rdp", kindEvent, network, protocol, "rdp", []mapping.Rule{{From: "client_name", As: mapping.Nothing, Related: mapping.Hosts}}},
		{"dhcp", kindEvent, network, protocol, "dhcp", dhcpRules()},
		{"ntlm", kindEvent, []string{"network", "authentication"}, []string{"info", "protocol"}, "ntlm", []mapping.Rule{
			{From: "username", To: "user.name", Related: mapping.Users}, {From: "domainname", To: "user.domain"},
			{From: "hostname", As: mapping.Nothing, Related: mapping.Hosts}, {From: "success", To: "event.outcome", As: mapping.Outcome},
		}},
		{"kerberos", kindEvent, []string{"network", "authentication"}, []string{"info", "protocol"}, "kerberos", []mapping.Rule{
			{From: "client", To: "user.name", Related: mapping.Users}, {From: "success", To: "event.outcome", As: mapping.Outcome},
			{From: "error_msg", To: "event.reason"},
		}},
		{"smb_files", kindEvent, []string{"network", "file"}, info, "smb", []mapping.Rule{
			{From: "name", To: "file.name", As: asFile}, {From: "size", To: "file.size", As: mapping.Long},
		}},
		{"smb_mapping", kindEvent, network, protocol, "smb", nil},
		{"dce_rpc", kindEvent, network, protocol, "dce_rpc", []mapping.Rule{{From: "rtt", To: "event.duration", As: mapping.Seconds}}},
		{"quic", kindEvent, network, protocol, "quic", []mapping.Rule{{From: "server_name", To: "tls.client.server_name", Related: mapping.Hosts}}},
		{"sip", kindEvent, network, protocol, "sip", []mapping.Rule{{From: "user_agent", To: "user_agent.original"}}},
		{"snmp", kindEvent, network, protocol, "snmp", []mapping.Rule{{From: "duration", To: "event.duration", As: mapping.Seconds}}},
		{"mysql", kindEvent, []string{"network", "database"}, []string{"access", "protocol"}, "mysql", []mapping.Rule{{From: "success", To: "event.outcome", As: mapping.Outcome}}},
		{"radius", kindEvent, []string{"network", "authentication"}, []string{"info", "protocol"}, "radius", []mapping.Rule{{From: "username", To: "user.name", Related: mapping.Users}}},
		{"irc", kindEvent, network, protocol, "irc", []mapping.Rule{{From: "user", To: "user.name", Related: mapping.Users}}},
		{"socks", kindEvent, network, protocol, "socks", []mapping.Rule{
			{From: "user", To: "user.name", Related: mapping.Users}, {From: "request.host", As: mapping.Nothing, Related: mapping.IPs},
			{From: "request.name", As: mapping.Nothing, Related: mapping.Hosts},
		}},
		{"rfb", kindEvent, network, protocol, "rfb", []mapping.Rule{{From: "auth", To: "event.outcome", As: mapping.Outcome}}},
		{"syslog", kindEvent, network, protocol, "syslog", []mapping.Rule{
			{From: "message", To: "message"}, {From: "facility", To: "log.syslog.facility.name"}, {From: "severity", To: "log.syslog.severity.name"},
		}},
		{"ldap", kindEvent, network, protocol, "ldap", nil},
		{"ldap_search", kindEvent, network, protocol, "ldap", nil},
		{"modbus", kindEvent, network, protocol, "modbus", nil},
		{"dnp3", kindEvent, network, protocol, "dnp3", nil},
		{"mqtt_connect", kindEvent, network, protocol, "mqtt", nil},
		{"mqtt_publish", kindEvent, network, protocol, "mqtt", nil},
		{"mqtt_subscribe", kindEvent, network, protocol, "mqtt", nil},
		{"ntp", kindEvent, network, protocol, "ntp", nil},
		{"postgresql", kindEvent, []string{"network", "database"}, []string{"access", "protocol"}, "postgresql", []mapping.Rule{
			{From: "user", To: "user.name", Related: mapping.Users}, {From: "success", To: "event.outcome", As: mapping.Outcome},
		}},
		{"redis", kindEvent, []string{"network", "database"}, []string{"access", "protocol"}, "redis", nil},
		{"tunnel", kindEvent, network, []string{"connection"}, "", nil},
		{"weird", kindEvent, network, info, "", nil},
		{"notice", kindAlert, []string{"network", "intrusion_detection"}, info, "", noticeRules()},
		{"intel", "enrichment", []string{"threat"}, []string{"indicator"}, "", []mapping.Rule{
			{From: "seen.indicator", To: "threat.indicator.name"}, {From: "file_mime_type", To: "file.mime_type"},
		}},
		{"known_hosts", kindEvent, network, info, "", hostRules()},
		{"known_services", kindEvent, network, info, "", hostRules()},
		{"known_certs", kindEvent, network, info, "", hostRules()},
		{"software", kindEvent, network, info, "", hostRules()},
		{"pe", kindEvent, []string{"file"}, info, "", nil},
		{"analyzer", kindEvent, network, info, "", nil},
		{"dpd", kindEvent, network, info, "", nil},
		{"capture_loss", kindMetric, nil, info, "", nil},
		{"stats", kindMetric, nil, info, "", nil},
		{"telemetry", kindMetric, nil, info, "", nil},
		{"reporter", kindEvent, nil, info, "", []mapping.Rule{{From: "message", To: "message"}, {From: "level", To: "log.level"}}},
		{"packet_filter", kindEvent, nil, info, "", nil},
		{"loaded_scripts", kindEvent, nil, info, "", nil},
	}
}

// otherLog is what a line of any other log is.
func otherLog() log {
	return log{name: "other", kind: kindEvent, category: []string{"network"}, typ: []string{"info"}}
}

func connRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "service", To: "network.protocol", As: asService},
		{From: "duration", To: "event.duration", As: mapping.Seconds},
		{From: "orig_ip_bytes", To: "source.bytes", As: mapping.Long},
		{From: "orig_pkts", To: "source.packets", As: mapping.Long},
		{From: "resp_ip_bytes", To: "destination.bytes", As: mapping.Long},
		{From: "resp_pkts", To: "destination.packets", As: mapping.Long},
		{From: "orig_l2_addr", To: "source.mac", As: mapping.MAC},
		{From: "resp_l2_addr", To: "destination.mac", As: mapping.MAC},
		{From: "vlan", To: "network.vlan.id", As: mapping.Text},
		{From: "inner_vlan", To: "network.inner.vlan.id", As: mapping.Text},
	}
}

func dnsRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "trans_id", To: "dns.id", As: mapping.Text},
		{From: "rtt", To: "event.duration", As: mapping.Seconds},
		{From: "query", To: "dns.question.name", As: asQuestion, Related: mapping.Hosts},
		{From: "qclass_name", To: "dns.question.class", As: asClass},
		{From: "qtype_name", To: "dns.question.type"},
		{From: "rcode_name", To: "dns.response_code"},
		{From: "opcode_name", To: "dns.op_code"},
		{From: "answers", To: "dns.answers", As: asAnswers},
		{From: "TTLs", As: mapping.Nothing},
		{From: "AA", As: asFlag}, {From: "TC", As: asFlag}, {From: "RD", As: asFlag}, {From: "RA", As: asFlag},
	}
}

func httpRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "method", To: "http.request.method"},
		{From: "host", To: "url.domain", Related: mapping.Hosts},
		{From: "uri", To: "url.original", As: asURL},
		{From: "referrer", To: "http.request.referrer"},
		{From: "version", To: "http.version"},
		{From: "user_agent", To: "user_agent.original"},
		{From: "request_body_len", To: "http.request.body.bytes", As: mapping.Long},
		{From: "response_body_len", To: "http.response.body.bytes", As: mapping.Long},
		{From: "status_code", To: "http.response.status_code", As: mapping.Long},
		{From: "username", To: "url.username", Related: mapping.Users},
		{From: "orig_mime_types", To: "http.request.mime_type", As: asFirst, Keep: true},
		{From: "resp_mime_types", To: "http.response.mime_type", As: asFirst, Keep: true},
	}
}

func tlsRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "version", To: "tls.version", As: asTLSVersion},
		{From: "cipher", To: "tls.cipher"},
		{From: "curve", To: "tls.curve"},
		{From: "server_name", To: "tls.client.server_name", Related: mapping.Hosts},
		{From: "resumed", To: "tls.resumed", As: mapping.Bool},
		{From: "established", To: "tls.established", As: mapping.Bool},
		{From: "next_protocol", To: "tls.next_protocol"},
		{From: "subject", To: "tls.server.subject"},
		{From: "issuer", To: "tls.server.issuer"},
		{From: "client_subject", To: "tls.client.subject"},
		{From: "client_issuer", To: "tls.client.issuer"},
		{From: "ja3", To: "tls.client.ja3", Related: mapping.Hashes},
		{From: "ja3s", To: "tls.server.ja3s", Related: mapping.Hashes},
		{From: "cert_chain_fps", As: mapping.Nothing, Related: mapping.Hashes},
	}
}

func x509Rules() []mapping.Rule {
	return []mapping.Rule{
		{From: "fingerprint", As: mapping.Nothing, Related: mapping.Hashes},
		{From: "certificate.version", To: "file.x509.version_number", As: mapping.Text},
		{From: "certificate.serial", To: "file.x509.serial_number"},
		{From: "certificate.subject", To: "file.x509.subject.distinguished_name"},
		{From: "certificate.issuer", To: "file.x509.issuer.distinguished_name"},
		{From: "certificate.not_valid_before", To: "file.x509.not_before", As: mapping.Epoch},
		{From: "certificate.not_valid_after", To: "file.x509.not_after", As: mapping.Epoch},
		{From: "certificate.key_alg", To: "file.x509.public_key_algorithm"},
		{From: "certificate.sig_alg", To: "file.x509.signature_algorithm"},
		{From: "certificate.key_length", To: "file.x509.public_key_size", As: mapping.Long},
		{From: "certificate.curve", To: "file.x509.public_key_curve"},
		{From: "san.dns", To: "file.x509.alternative_names", As: mapping.Keywords, Related: mapping.Hosts},
	}
}

func fileRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "filename", To: "file.name", As: asFile},
		{From: "mime_type", To: "file.mime_type"},
		{From: "total_bytes", To: "file.size", As: mapping.Long},
		{From: "md5", To: "file.hash.md5", Related: mapping.Hashes},
		{From: "sha1", To: "file.hash.sha1", Related: mapping.Hashes},
		{From: "sha256", To: "file.hash.sha256", Related: mapping.Hashes},
		{From: "duration", To: "event.duration", As: mapping.Seconds},
		{From: "tx_hosts", As: mapping.Nothing, Related: mapping.IPs},
		{From: "rx_hosts", As: mapping.Nothing, Related: mapping.IPs},
	}
}

func smtpRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "from", To: "email.from.address", As: asEmails},
		{From: "to", To: "email.to.address", As: asEmails},
		{From: "cc", To: "email.cc.address", As: asEmails},
		{From: "reply_to", To: "email.reply_to.address", As: asEmails},
		{From: "subject", To: "email.subject"},
		{From: "msg_id", To: "email.message_id"},
		{From: "user_agent", To: "email.x_mailer"},
		{From: "x_originating_ip", As: mapping.Nothing, Related: mapping.IPs},
		{From: "path", As: mapping.Nothing, Related: mapping.IPs},
	}
}

func dhcpRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "client_addr", To: "source.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "server_addr", To: "destination.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "mac", To: "source.mac", As: mapping.MAC},
		{From: "host_name", As: mapping.Nothing, Related: mapping.Hosts},
		{From: "client_fqdn", As: mapping.Nothing, Related: mapping.Hosts},
		{From: "assigned_addr", As: mapping.Nothing, Related: mapping.IPs},
		{From: "requested_addr", As: mapping.Nothing, Related: mapping.IPs},
		{From: "duration", To: "event.duration", As: mapping.Seconds},
	}
}

func noticeRules() []mapping.Rule {
	return []mapping.Rule{
		{From: "note", To: "rule.name"},
		{From: "msg", To: "message"},
		{From: "src", To: "source.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "dst", To: "destination.ip", As: mapping.Address, Related: mapping.IPs},
		{From: "file_mime_type", To: "file.mime_type"},
	}
}

// hostRules are of logs of what was seen on one host.
func hostRules() []mapping.Rule {
	return []mapping.Rule{{From: "host", To: "source.ip", As: mapping.Address, Related: mapping.IPs}}
}
