package suricata

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/obs"
)

func TestSeveralEveFilesOfOthersAreFollowed(t *testing.T) {
	dir := t.TempDir()
	log := &fileLog{path: filepath.Join(dir, "log")}
	var health obs.Health
	registry := prometheus.NewRegistry()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	var all []*Follower
	for _, name := range []string{"a", "b"} {
		eve := filepath.Join(dir, name, "eve.json")
		if err := os.Mkdir(filepath.Dir(eve), 0o700); err != nil {
			t.Fatal(err)
		}
		lines := `{"timestamp":"2026-01-01T00:00:00.000000+0000","event_type":"dns","file":"` + name + `"}
{"timestamp":"2026-01-01T00:00:08.000000+0000","event_type":"stats","stats":{"uptime":8,"capture":{"kernel_packets":90,"kernel_drops":10},"decoder":{"pkts":90}}}
`
		if err := os.WriteFile(eve, []byte(lines), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := NewFollower(eve, Options{Dir: filepath.Join(dir, "state"), Topic: "suricata_ingest", Sensor: "s"},
			Deps{Log: log, Origins: log, Scope: obs.Scope{Metrics: registry, Health: &health}})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
		go func() { ended <- f.Run(ctx) }()
	}
	for limit := time.Now().Add(10 * time.Second); ; <-time.After(5 * time.Millisecond) {
		done := 0
		for _, f := range all {
			if s := f.Status(); s.Totals.Packets == 90 && s.Recent.Problem() == "10.0 % of packets were dropped by the kernel" {
				done++
			}
		}
		if done == 2 {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("the statistics were not read")
		}
	}
	cancel()
	for range all {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	origins := map[string]bool{}
	err := log.each(func(origin, value string) { origins[origin] = strings.Contains(value, "event_type") })
	if err != nil || len(origins) != 4 {
		t.Errorf("origins: %v, %v", origins, err)
	}
	metrics, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, m := range metrics {
		if m.GetName() == "decoder_sensor_dropped_packets" {
			found = len(m.GetMetric())
		}
	}
	if found != 2 || len(health.All()) != 2 {
		t.Errorf("%d sensors in the metrics, health %+v", found, health.All())
	}
}
