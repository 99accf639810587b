package suricata

import (
	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/decode/mapping"
)

func checker() decodetest.Checker {
	return decodetest.NewChecker("suricata.eve", rules(), false, foundOtherwise)
}

// foundOtherwise knows the forms that Suricata's own ways give.
func foundOtherwise(event map[string]any, r mapping.Rule, value any) bool {
	field := func(object, name string) any {
		o, _ := event[object].(map[string]any)
		return o[name]
	}
	text, _ := value.(string)
	switch r.As {
	case asBytesToServer, asBytesToClient:
		return field("source", "bytes") == value || field("destination", "bytes") == value
	case asPacketsToServer, asPacketsToClient:
		return field("source", "packets") == value || field("destination", "packets") == value
	case asTLSVersion:
		return field("tls", "version") == map[string]string{"TLSv1": "1.0", "SSLv2": "2", "SSLv3": "3"}[text]
	case asDNSType:
		return field("dns", "type") == map[string]string{"request": "query", "response": "answer"}[text]
	case asOpcode:
		names := map[any]string{"0": "QUERY", "1": "IQUERY", "2": "STATUS", "4": "NOTIFY", "5": "UPDATE", "6": "DSO"}
		code, ok := value.(interface{ String() string })
		return ok && field("dns", "op_code") == names[code.String()]
	}
	return false
}
