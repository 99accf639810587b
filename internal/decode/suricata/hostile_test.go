package suricata

import (
	"strings"
	"testing"
	"time"

	"github.com/decodersring/decoder/internal/decode"
)

// TestHostileLinesTakeNoTime decodes lines of 1 MiB that repeat
// what is dear to decode. The bound is some hundred times what it takes, and
// far below what anything quadratic would.
func TestHostileLinesTakeNoTime(t *testing.T) {
	d := newDecoder(t, Options{Original: true})
	const head = `{"timestamp":"2026-03-02T08:15:30.104233+0000","event_type":"dns",`
	fill := func(before, repeated, after string) string {
		n := (decode.MaxLine/16 - len(head) - len(before) - len(after)) / len(repeated)
		return head + before + strings.Repeat(repeated, n) + after
	}
	for name, line := range map[string]string{
		"answers":        fill(`"dns":{"answers":[`, `{"rdata":"10.0.0.1","rrtype":"A"},`, `{}]}}`),
		"names of DNs":   fill(`"tls":{"subject":"`, `CN=, `, `"}}`),
		"commas of DNs":  fill(`"tls":{"subject":"`, `, `, `"}}`),
		"addresses":      fill(`"email":{"to":[`, `"<a@b>",`, `""]}}`),
		"brackets":       fill(`"email":{"from":"`, `<`, `"}}`),
		"slashes":        fill(`"http":{"url":"/`, `/?#`, `"}}`),
		"backslashes":    fill(`"fileinfo":{"filename":"`, `\\`, `"}}`),
		"repeated names": fill(``, `"a":1,`, `"a":1}`),
		"deep arrays":    fill(`"a":`+strings.Repeat("[", 9000), `"x",`, `1`+strings.Repeat("]", 9000)+`}`),
		"related":        fill(`"dhcp":{"hostname":[`, `"h1","h2",`, `""]}}`),
		"escapes":        fill(`"a":"`, `\u0000`, `"}`),
		"bad UTF-8":      fill(`"a":"`, "\xff", `"}`),
	} {
		start := time.Now()
		ev, err := d.Decode([]byte(line), goldenMeta, nil)
		took := time.Since(start)
		t.Logf("%s: %v, %d bytes, %v", name, took, len(ev.JSON), err)
		if took > 20*time.Second {
			t.Errorf("%s: %v for %d bytes", name, took, len(line))
		}
	}
}
