// Package test holds the tests of the whole: the directions of imports, and
// the real program with real peers.
package test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/decodersring/decoder/"

// mayImport says what of the module each part may know besides its own
// subfolders; a part is named by the longest prefix that fits. It is the
// section "Layout and direction of imports" of docs/architecture.md.
var mayImport = map[string][]string{
	"internal/event":      {},
	"internal/atomicfile": {},
	"internal/fault":      {},
	"internal/obs":        {"internal/event", "internal/fault"},
	"internal/config":     {"internal/event", "internal/fault"},
	"internal/proc":       {"internal/obs"},
	"internal/broker":     {"internal/atomicfile", "internal/obs"},
	"internal/bus":        {"internal/event", "internal/fault", "internal/config", "internal/obs", "internal/broker"},
	"internal/store":      {"internal/event", "internal/fault", "internal/config", "internal/obs"},
	"internal/client":     {"internal/event", "internal/fault", "internal/config", "internal/obs", "internal/bus"},
	"internal/decode":     {"internal/event", "internal/fault"},
	"internal/state":      {"internal/fault", "internal/config", "internal/obs"},
	"internal/web":        {},
	"web":                 {},
}

// mustNotImport holds for parts that may know almost everything: sources,
// stages and sinks meet on the log, never in code.
var mustNotImport = map[string][]string{
	"internal/source": {"internal/sink", "internal/stage", "internal/api", "internal/app", "internal/store", "web", "cmd"},
	"internal/stage":  {"internal/sink", "internal/source", "internal/api", "internal/app", "web", "cmd"},
	"internal/sink":   {"internal/source", "internal/stage", "internal/api", "internal/app", "web", "cmd"},
	"internal/inbox":  {"internal/source", "internal/stage", "internal/sink", "internal/api", "internal/app", "web", "cmd"},
	"internal/api":    {"internal/source", "internal/stage", "internal/sink", "internal/app", "web", "cmd"},
	"internal/app":    {"cmd"},
}

// onlyImporter names the one part of the product that imports a heavy
// dependency.
var onlyImporter = map[string][]string{
	"github.com/twmb/franz-go/pkg/kgo":   {"internal/bus"},
	"github.com/twmb/franz-go/pkg/kadm":  {"internal/bus"},
	"github.com/twmb/franz-go/pkg/kfake": {"internal/bus"},
	"github.com/twmb/franz-go/pkg/kmsg":  {"internal/broker", "internal/bus"},
	"github.com/VictoriaMetrics/":        {"internal/store/vlogs"},
	"modernc.org/sqlite":                 {"internal/state"},
	"go.yaml.in/yaml/v4":                 {"internal/config"},
	"github.com/alecthomas/kong":         {"cmd/decoder"},
	"github.com/wneessen/go-mail":        {"internal/sink/notify"},
	"os/exec":                            {"internal/proc"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("reading go list: %v", err)
		}
		all = append(all, p)
	}
}

func within(pkg, part string) bool { return pkg == part || strings.HasPrefix(pkg, part+"/") }

// partOf returns the key of parts that pkg belongs to.
func partOf(pkg string, parts map[string][]string) (string, bool) {
	best := ""
	for part := range parts {
		if within(pkg, part) && len(part) > len(best) {
			best = part
		}
	}
	return best, best != ""
}

func TestImportsFollowTheArchitecture(t *testing.T) {
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		if strings.HasSuffix(pkg, "test") { // contract checkers and harnesses
			continue
		}
		for _, imp := range p.Imports {
			own, inModule := strings.CutPrefix(imp, module)
			if inModule {
				checkOwn(t, pkg, own)
			} else {
				checkForeign(t, pkg, imp)
			}
		}
	}
}

func checkOwn(t *testing.T, pkg, imp string) {
	t.Helper()
	if part, ok := partOf(pkg, mayImport); ok {
		allowed := append([]string{part}, mayImport[part]...)
		if part != "internal/event" && part != "internal/fault" {
			allowed = append(allowed, "internal/atomicfile") // which knows nothing itself
		}
		if !slices.ContainsFunc(allowed, func(a string) bool { return within(imp, a) }) {
			t.Errorf("%s imports %s; it may know only %s", pkg, imp, strings.Join(mayImport[part], ", "))
		}
	}
	if part, ok := partOf(pkg, mustNotImport); ok {
		for _, denied := range mustNotImport[part] {
			if within(imp, denied) {
				t.Errorf("%s imports %s: they meet on the log, or not at all", pkg, imp)
			}
		}
		if sibling(part, pkg, imp) {
			t.Errorf("%s imports its sibling %s: they meet on the log", pkg, imp)
		}
	}
}

// sibling reports whether both packages are different members of a part whose
// members never know each other.
func sibling(part, pkg, imp string) bool {
	if part != "internal/source" && part != "internal/stage" && part != "internal/sink" || !within(imp, part) {
		return false
	}
	member := func(p string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(p, part+"/"), "/")
		return name
	}
	return member(pkg) != member(imp) && !slices.Contains(sharedBySources, imp)
}

// sharedBySources is what sources of one kind have in common.
var sharedBySources = []string{"internal/source/tail", "internal/source/batch", "internal/source/message"}

func checkForeign(t *testing.T, pkg, imp string) {
	t.Helper()
	if part, ok := partOf(pkg, map[string][]string{"internal/event": nil, "internal/fault": nil}); ok && strings.Contains(imp, ".") {
		t.Errorf("%s imports %s; %s knows the standard library only", pkg, imp, part)
	}
	for dep, owners := range onlyImporter {
		if strings.HasPrefix(imp, dep) && !slices.ContainsFunc(owners, func(o string) bool { return within(pkg, o) }) && !within(pkg, "test") {
			t.Errorf("%s imports %s; only %s does", pkg, imp, strings.Join(owners, ", "))
		}
	}
}

func TestEveryDependencyIsDecided(t *testing.T) {
	page, err := os.ReadFile("../docs/decisions/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || !strings.HasPrefix(line, "\t") { // indirect ones say so in a third
			continue
		}
		short := strings.Replace(fields[0], "github.com/twmb/franz-go", "…", 1) // as the page shortens it
		if !strings.Contains(string(page), "`"+fields[0]+"`") && !strings.Contains(string(page), "`"+short+"`") {
			t.Errorf("docs/decisions/dependencies.md does not say why %s is needed", fields[0])
		}
	}
}
