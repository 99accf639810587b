package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// latencySection measures from the packet on the wire to the alert in the
// inbox, with the real Suricata.
func latencySection() section {
	return section{"latency", "packet → alert in the inbox", benchLatency}
}

func benchLatency(ctx context.Context, r *report) error {
	runs := latencyRuns
	if r.short {
		runs = 5
	}
	dir, err := os.MkdirTemp("", "decoder-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	conf := filepath.Join(dir, "decoder.yml")
	if err := os.WriteFile(conf, []byte("rules: {sources: []}\n"), 0o600); err != nil {
		return err
	}
	p, err := startProgram(ctx, filepath.Join(dir, "data"), "--config", conf)
	if err != nil {
		return err
	}
	defer p.stop()
	if err := p.awaitWatching(ctx); err != nil {
		return err
	}
	var took []time.Duration
	for range runs {
		result, err := p.control.SelfTest(ctx, nil)
		if err != nil {
			return err
		}
		if !result.OK {
			return fmt.Errorf("self-test: %s", result.Text)
		}
		took = append(took, time.Duration(result.LatencyMS*float64(time.Millisecond)))
	}
	slices.Sort(took)
	for _, q := range []struct {
		name string
		at   int
	}{{"median", len(took) / 2}, {"p99", (len(took) - 1) * 99 / 100}, {"most", len(took) - 1}} {
		r.add(fmt.Sprintf("%s of %d", q.name, runs), took[q.at].Round(100*time.Microsecond).String(), aimLatency.String(), fmt.Sprintf("%.1f", float64(aimLatency)/float64(took[q.at])))
	}
	return nil
}

// awaitWatching returns when the sensor has loaded its rules.
func (p *running) awaitWatching(ctx context.Context) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		all, err := p.control.Sensors(ctx)
		if err != nil {
			return err
		}
		if len(all) > 0 && all[0].Rules > 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
