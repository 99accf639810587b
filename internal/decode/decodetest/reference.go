package decodetest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/decode/mapping"
)

// Page holds a page of docs/reference to what is made from a decoder's table,
// and writes it when update is set. Tests run in their package's folder, two
// below internal.
func Page(t *testing.T, name, made string, update bool) {
	t.Helper()
	Golden(t, filepath.Join("..", "..", "..", "docs", "reference", name), made, update)
}

// Rows writes rules as rows of a table: the path, the field, how, and what
// besides. own describes the source's own ways; before is put in front.
func Rows(b *strings.Builder, before string, rules []mapping.Rule, own map[mapping.As]string) {
	for _, r := range rules {
		if r.To == "" && r.Related == mapping.NotRelated && r.As < mapping.Own {
			continue
		}
		how, to := r.As.String(), "`"+r.To+"`"
		if r.As >= mapping.Own {
			how = own[r.As]
		}
		if r.To == "" {
			to = ""
		}
		var besides []string
		if r.Related != mapping.NotRelated {
			besides = append(besides, "`"+r.Related.String()+"`")
		}
		if r.Keep {
			besides = append(besides, "stays too")
		}
		fmt.Fprintf(b, "%s| `%s` | %s | %s | %s |\n", before, r.From, to, how, strings.Join(besides, ", "))
	}
}
