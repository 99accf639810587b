package suricata

import (
	"fmt"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/decode/mapping"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// TestReferencePage holds docs/reference/ecs-suricata.md to the table; -update
// writes it.
func TestReferencePage(t *testing.T) {
	decodetest.Page(t, "ecs-suricata.md", reference(), *update)
}

const referenceHead = `# Suricata's EVE to ECS

Made from the mapping table in ` + "`internal/decode/suricata`" + `; do not edit it here.

Each line of EVE becomes one event in the Elastic Common Schema %s. What has no
field in ECS stays as it was under ` + "`suricata.eve.*`" + `: nothing is dropped, and numbers
keep their text. So does a value that is not of its field's type, and the earlier
values of a name that repeats. A line that is not one JSON object, has no
` + "`event_type`" + ` or no ` + "`timestamp`" + ` in EVE's form becomes a dead letter.

Every event has besides:

| field | value |
|---|---|
| ` + "`event.id`" + ` | hash of where the line came from: the same for the same line, always |
| ` + "`event.module`" + ` | ` + "`suricata`" + ` |
| ` + "`event.dataset`" + ` | ` + "`suricata.`" + ` and the event type; ` + "`suricata.eve`" + ` for types not listed here |
| ` + "`event.original`" + ` | the line itself: of alerts always, of all by option |
| ` + "`observer.vendor`, `.product`, `.type`" + ` | OISF, Suricata, ids |
| ` + "`network.type`" + ` | ipv4 or ipv6 |
| ` + "`network.direction`" + ` | internal, outbound, inbound, external, by the home networks |
| ` + "`network.bytes`, `.packets`" + ` | both sides' together |
| ` + "`event.duration`" + ` | of flows, in nanoseconds |
| ` + "`dns.resolved_ip`" + ` | the addresses in the answers |
| ` + "`threat.framework`" + ` | MITRE ATT&CK, where a rule names a tactic or technique |
| ` + "`decoder.raw.topic`, `.partition`, `.offset`" + ` | where the line lies on the log, for as long as it does |
| ` + "`decoder.capture.name`" + ` | the capture, of what was replayed |
| ` + "`tags`" + ` | ` + "`invalid_utf8`" + ` where bytes had to be replaced by U+FFFD |

`

func reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, ecs.Version)
	b.WriteString("## Event types\n\n| EVE event_type | event.kind | event.category | event.type |\n|---|---|---|---|\n")
	for _, t := range append(eventTypes(), otherType()) {
		name := "`" + t.name + "`"
		if t.name == otherType().name {
			name = "any other"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, t.kind, strings.Join(t.category, ", "), strings.Join(t.typ, ", "))
	}
	b.WriteString("\n## Fields\n\n| EVE | ECS | how | besides |\n|---|---|---|---|\n")
	decodetest.Rows(&b, "", rules(), wayNames())
	return b.String()
}

func TestEveryOwnWayIsDescribed(t *testing.T) {
	for _, r := range rules() {
		if r.As >= mapping.Own && wayNames()[r.As] == "" {
			t.Errorf("%s: its way has no description", r.From)
		}
	}
}
