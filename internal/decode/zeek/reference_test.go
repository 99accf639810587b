package zeek

import (
	"fmt"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// TestReferencePage holds docs/reference/ecs-zeek.md to the table; -update
// writes it.
func TestReferencePage(t *testing.T) {
	decodetest.Page(t, "ecs-zeek.md", reference(), *update)
}

const referenceHead = `# Zeek's logs to ECS

Made from the mapping table in ` + "`internal/decode/zeek`" + `; do not edit it here.

Each line of a log, JSON or TSV, becomes one event in the Elastic Common Schema %s.
What has no field in ECS stays as it was under ` + "`zeek.`" + ` and the log's name, such as
` + "`zeek.conn.history`" + `; numbers keep their text. ` + "`event.dataset`" + ` is ` + "`zeek.`" + ` and the
log's name, ` + "`zeek.other`" + ` for logs not listed here.

Which log a line is of says its member ` + "`_path`" + `, the member it is wrapped in, or the
record's header ` + "`decoder-format`" + `: the header of the log, without which a line of TSV
becomes a dead letter. Fields that every event has are those of
[Suricata's](ecs-suricata.md).

`

func reference() string {
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, ecs.Version)
	b.WriteString("## Logs\n\n| log | event.kind | event.category | event.type |\n|---|---|---|---|\n")
	all := append(logs(), otherLog())
	for _, l := range all {
		name := "`" + l.name + "`"
		if l.name == otherLog().name {
			name = "any other"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", name, l.kind, strings.Join(l.category, ", "), strings.Join(l.typ, ", "))
	}
	b.WriteString("\n## Fields\n\n| log | Zeek | ECS | how | besides |\n|---|---|---|---|---|\n")
	decodetest.Rows(&b, "| all ", commonRules(), wayNames())
	for _, l := range all {
		decodetest.Rows(&b, "| `"+l.name+"` ", l.rules, wayNames())
	}
	return b.String()
}
