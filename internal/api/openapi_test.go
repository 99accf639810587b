package api_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/decodersring/decoder/internal/api"
)

var update = flag.Bool("update", false, "write the files that are made from the table of routes")

// TestGeneratedFilesAreFresh compares the OpenAPI document that the browser's
// types are made from, and the reference page, with the table of routes.
// go test ./internal/api -update writes them.
func TestGeneratedFilesAreFresh(t *testing.T) {
	for path, made := range map[string]func() ([]byte, error){
		"../../web/openapi.json":      api.OpenAPI,
		"../../docs/reference/api.md": api.Reference,
	} {
		want, err := made()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.FromSlash(path)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is stale (%v): go test ./internal/api -update", path, err)
		}
	}
}
