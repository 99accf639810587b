package suricata

// eventType says what events of one EVE event_type are in ECS.
type eventType struct {
	name     string
	kind     string
	category []string
	typ      []string
	protocol string // network.protocol where EVE names none
}

const (
	kindAlert  = "alert"
	kindEvent  = "event"
	kindMetric = "metric"
)

// Types of lines that the source appends beside the engine's own.
const (
	typeGap       = "decoder_gap"       // an interface was not watched
	typeTruncated = "decoder_truncated" // stands for a line too long for the log
)

// eventTypes returns the EVE event types of Suricata 7 and 8, and those of
// the source. Others are
// events of the dataset suricata.eve.
func eventTypes() []eventType {
	network := []string{"network"}
	plain := func(name, protocol string) eventType {
		return eventType{name, kindEvent, network, []string{"protocol"}, protocol}
	}
	return []eventType{
		{"alert", kindAlert, []string{"network", "intrusion_detection"}, []string{"info"}, ""},
		{"anomaly", kindEvent, network, []string{"info"}, ""},
		plain("arp", ""),
		plain("bittorrent_dht", "bittorrent-dht"),
		plain("dcerpc", "dcerpc"),
		{typeGap, kindEvent, network, []string{"info"}, ""},
		{typeTruncated, kindEvent, nil, []string{"error"}, ""},
		plain("dhcp", "dhcp"),
		plain("dnp3", "dnp3"),
		plain("dns", "dns"),
		{"drop", kindEvent, network, []string{"denied"}, ""},
		plain("enip", "enip"),
		{"engine", kindEvent, nil, []string{"info"}, ""},
		{"fileinfo", kindEvent, []string{"network", "file"}, []string{"info"}, ""},
		{"flow", kindEvent, network, []string{"connection", "end"}, ""},
		{"frame", kindEvent, network, []string{"info"}, ""},
		{"ftp", kindEvent, network, []string{"protocol"}, "ftp"},
		{"ftp_data", kindEvent, network, []string{"protocol"}, "ftp-data"},
		{"http", kindEvent, []string{"network", "web"}, []string{"access", "protocol"}, "http"},
		{"http2", kindEvent, []string{"network", "web"}, []string{"access", "protocol"}, "http2"},
		plain("ike", "ike"),
		{"krb5", kindEvent, []string{"network", "authentication"}, []string{"info", "protocol"}, "krb5"},
		plain("ldap", "ldap"),
		plain("mdns", "mdns"),
		plain("modbus", "modbus"),
		plain("mqtt", "mqtt"),
		{"netflow", kindEvent, network, []string{"connection", "end"}, ""},
		plain("nfs", "nfs"),
		{"packet", kindEvent, network, []string{"info"}, ""},
		{"pgsql", kindEvent, []string{"network", "database"}, []string{"access", "protocol"}, "pgsql"},
		{"pop3", kindEvent, []string{"network", "email"}, []string{"info", "protocol"}, "pop3"},
		plain("quic", "quic"),
		plain("rdp", "rdp"),
		plain("rfb", "rfb"),
		plain("sip", "sip"),
		plain("smb", "smb"),
		{"smtp", kindEvent, []string{"network", "email"}, []string{"info", "protocol"}, "smtp"},
		plain("snmp", "snmp"),
		plain("ssh", "ssh"),
		{"stats", kindMetric, nil, []string{"info"}, ""},
		plain("telnet", "telnet"),
		plain("tftp", "tftp"),
		plain("tls", "tls"),
		plain("websocket", "websocket"),
	}
}

// otherType is what an event of any other type is.
func otherType() eventType {
	return eventType{"eve", kindEvent, []string{"network"}, []string{"info"}, ""}
}
