package broker

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"

	"github.com/decodersring/decoder/internal/broker/scram"
)

// clientProperties is the file a client signs in with.
func clientProperties(addr string, tls bool, password string) string {
	protocol := "SASL_PLAINTEXT"
	if tls {
		protocol = "SASL_SSL"
	}
	return fmt.Sprintf(`# How a Kafka client reaches this log. For example:
#   kcat -F client.properties -L
bootstrap.servers=%s
security.protocol=%s
sasl.mechanism=%s
sasl.username=%s
sasl.password=%s
`, addr, protocol, scram.SHA512, firstUser, password)
}

// propertyOf returns the value of a name in a properties file.
func propertyOf(file []byte, name string) string {
	for sc := bufio.NewScanner(bytes.NewReader(file)); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), name+"="); ok {
			return v
		}
	}
	return ""
}
