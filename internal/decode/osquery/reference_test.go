package osquery

import (
	"fmt"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/decodetest"
	"github.com/decodersring/decoder/internal/event/ecs"
)

// TestReferencePage holds docs/reference/ecs-osquery.md to the table; -update
// writes it.
func TestReferencePage(t *testing.T) {
	var b strings.Builder
	fmt.Fprintf(&b, referenceHead, ecs.Version)
	decodetest.Rows(&b, "", rules(), nil)
	decodetest.Page(t, "ecs-osquery.md", b.String(), *update)
}

const referenceHead = `# osquery's results to ECS

Made from the mapping table in ` + "`internal/decode/osquery`" + `; do not edit it here.

A result becomes an event in the Elastic Common Schema %s, a snapshot or a batch one a
row. What has no field in ECS stays as it was under ` + "`osquery.*`" + `, and rows stay whole
in ` + "`osquery.columns.*`" + `. ` + "`event.dataset`" + ` is ` + "`osquery.result`" + `, or ` + "`osquery.status`" + ` for
status lines; ` + "`event.kind`" + ` is ` + "`state`" + ` for rows of snapshots, else ` + "`event`" + `;
` + "`event.category`" + ` is host, ` + "`event.type`" + ` change, for snapshots and status lines info. A
record of more than 16384 rows, or one without ` + "`unixTime`" + `, becomes a dead letter.
Fields that every event has are those of [Suricata's](ecs-suricata.md).

| osquery | ECS | how | besides |
|---|---|---|---|
`
