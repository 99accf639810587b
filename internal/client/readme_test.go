package client_test

import (
	"os"
	"strings"
	"testing"
)

func TestTheReadmesStageIsTheOneThatCompiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(readme), "```go\n")
	code, _, found := strings.Cut(code, "```")
	if !found || !strings.Contains(string(example), code) {
		t.Error("the stage in README.md is not the one of example_test.go")
	}
	if n := strings.Count(code, "\n"); n >= 40 {
		t.Errorf("a stage takes %d lines", n)
	}
}
