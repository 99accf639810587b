package test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// checkers are the contract that each kind of component keeps.
var checkers = map[string]string{
	"internal/stage":  "internal/client/stagetest",
	"internal/sink":   "internal/client/sinktest",
	"internal/inbox":  "internal/client/sinktest", // a view is a sink too
	"internal/source": "internal/source/sourcetest",
	"internal/store":  "internal/store/storetest",
}

// apart are packages of a kind that are no components of it, with the reason.
var apart = map[string]string{
	"internal/source/machine": "it reads no outside that could be fed: what it appends is its own",
	"internal/store":          "it says what a store is",
}

// TestEveryComponentIsHeldToItsContract lists what the program is composed of
// and looks for the checker in each component's tests.
func TestEveryComponentIsHeldToItsContract(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,TestImports,XTestImports", module+"internal/...").Output()
	if err != nil {
		t.Fatalf("listing packages: %v", err)
	}
	composed, tested := []string{}, map[string][]string{}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("reading go list: %v", err)
		}
		pkg := strings.TrimPrefix(p.ImportPath, module)
		tested[pkg] = append(p.TestImports, p.XTestImports...)
		if pkg == "internal/app" {
			composed = p.Imports
		}
	}
	kinds := map[string]int{}
	for _, imported := range composed {
		pkg := strings.TrimPrefix(imported, module)
		for kind, checker := range checkers {
			if !within(pkg, kind) || apart[pkg] != "" {
				continue
			}
			if kinds[kind]++; !slices.Contains(tested[pkg], module+checker) {
				t.Errorf("%s has no test by %s", pkg, checker)
			}
		}
	}
	for kind := range checkers {
		if kinds[kind] == 0 {
			t.Errorf("the program has no component in %s", kind)
		}
	}
}
