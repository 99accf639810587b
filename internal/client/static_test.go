package client_test

import (
	"strings"
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/client"
)

// An instance with a name keeps its place in the group when it ends; its
// marks must say all the same that it ended in order.
func TestANamedInstanceEndsInOrderToo(t *testing.T) {
	b := bustest.OpenConfig(t, bus.Config{Dir: t.TempDir(), Relaxed: true, Instance: "self"})
	rt, end := run(t, b, client.Spec{Name: "named", Inputs: []string{in}, Stage: &stage{handle: pass}})
	send(t, b, 100)
	drain(t, rt, "named")
	end()
	metadata, err := b.GroupMetadata(t.Context(), "decoder-named")
	if err != nil || len(metadata) == 0 {
		t.Fatal(metadata, err)
	}
	for p, m := range metadata {
		if strings.Contains(m, `"open":true`) {
			t.Errorf("%v is left open: %s", p, m)
		}
	}
}
