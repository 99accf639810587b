package client

import (
	"testing"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/bus/bustest"
	"github.com/decodersring/decoder/internal/obs"
)

func TestDrainDoesNotWaitForWhatRetentionHasCut(t *testing.T) {
	r := NewRuntime(bustest.Open(t), obs.Scope{})
	cut := bus.Partition{Topic: bus.TopicEvents, Partition: 0} // begins where the wait would end
	kept := bus.Partition{Topic: bus.TopicEvents, Partition: 1}
	target := map[bus.Partition]int64{cut: 0, kept: 5}
	if err := r.forgetCut(t.Context(), []string{bus.TopicEvents}, target); err != nil {
		t.Fatal(err)
	}
	if _, waits := target[cut]; waits || target[kept] != 5 {
		t.Errorf("still waited for: %v", target)
	}
}
