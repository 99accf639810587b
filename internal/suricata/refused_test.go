package suricata

import (
	"fmt"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRefusedRulesAreKeptWithTheirReasons(t *testing.T) {
	o := newEngineOutput(slog.New(slog.DiscardHandler), "test", slog.LevelWarn)
	for _, line := range []string{
		`E: affinity: of no rule`,
		`E: detect-parse: unknown rule keyword 'contents'.`,
		`E: detect: error parsing signature "alert tls any any -> any any (msg:"from file x at line 1"; contents:"x"; sid:3;)" from file /job/000.rules at line 5`,
		`Error: detect-content: no content given`,
		`Error: detect-parse: failed to set up content`,
		`Error: detect: error parsing signature "alert" from file /job/a b.rules at line 12`,
		`E: detect: error parsing signature "alert" from file /job/000.rules at line 13`,
	} {
		o.line(line)
	}
	want := []RefusedRule{
		{"/job/000.rules", 5, "unknown rule keyword 'contents'"},
		{"/job/a b.rules", 12, "no content given"},
		{"/job/000.rules", 13, "it cannot be parsed"},
	}
	if d := cmp.Diff(want, o.refusedRules()); d != "" {
		t.Error(d)
	}
	for i := range 100 {
		o.line(fmt.Sprintf(`E: detect: error parsing signature "alert" from file /job/000.rules at line %d`, i))
	}
	if n := len(o.refusedRules()); n != keptRefused {
		t.Errorf("%d are kept, want %d", n, keptRefused)
	}
}
