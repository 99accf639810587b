package decodetest

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Golden compares what decoding gave with the file of what is expected, which
// it writes first when it is to be updated.
func Golden(t testing.TB, file, got string, update bool) {
	t.Helper()
	if update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: run with -update if this is wanted (-want +got):\n%s", file, diff)
	}
}
