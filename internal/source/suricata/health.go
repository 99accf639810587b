package suricata

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/obs"
	engine "github.com/decodersring/decoder/internal/suricata"
)

// health keeps what the engine's statistics say. The engine writes them every
// 8 s.
type health struct {
	scope   obs.Scope
	metrics []sensorMetric

	mu       sync.Mutex
	readings []reading // of the last minute, oldest first
}

type reading struct {
	at    time.Time
	stats engine.Stats
}

func newHealth(scope obs.Scope, source string) *health {
	return &health{scope: scope, metrics: sensorMetrics(source)}
}

func (h *health) register(scope obs.Scope) { scope.Register(h) }

const recent = time.Minute

// see looks at an EVE line that is on the log.
func (h *health) see(line []byte) {
	if !engine.IsStats(line) {
		return
	}
	s, err := engine.ParseStats(line)
	if err != nil {
		h.scope.Logger().Warn("engine statistics are unreadable", "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.readings = append(h.readings, reading{now, s})
	for len(h.readings) > 2 && now.Sub(h.readings[1].at) > recent {
		h.readings = h.readings[1:]
	}
}

// read returns the last reading, and what was counted in the last minute.
func (h *health) read() (totals, last engine.Stats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.readings) == 0 {
		return
	}
	totals = h.readings[len(h.readings)-1].stats
	if len(h.readings) == 1 {
		return totals, totals
	}
	return totals, totals.Since(h.readings[0].stats)
}

func (h *health) problem() string {
	_, last := h.read()
	return last.Problem()
}

// Describe implements [prometheus.Collector].
func (h *health) Describe(out chan<- *prometheus.Desc) {
	for _, m := range h.metrics {
		out <- m.desc
	}
}

// Collect implements [prometheus.Collector].
func (h *health) Collect(out chan<- prometheus.Metric) {
	totals, _ := h.read()
	for _, m := range h.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, float64(m.value(totals)))
	}
}

type sensorMetric struct {
	desc  *prometheus.Desc
	value func(engine.Stats) int64
}

func sensorMetrics(source string) []sensorMetric {
	labels := prometheus.Labels{"source": source}
	metric := func(name, help string, value func(engine.Stats) int64) sensorMetric {
		return sensorMetric{prometheus.NewDesc("decoder_sensor_"+name, help+" Counted since the engine started.", nil, labels), value}
	}
	return []sensorMetric{
		metric("packets", "Packets captured.", func(s engine.Stats) int64 { return s.Packets }),
		metric("dropped_packets", "Packets the kernel had no room for.", func(s engine.Stats) int64 { return s.KernelDrops }),
		metric("undecodable_packets", "Packets that are not what they claim to be.", func(s engine.Stats) int64 { return s.DecoderErrors }),
		metric("memcap_hits", "Flows, segments and transactions left out by memory limits.", func(s engine.Stats) int64 { return s.MemcapHits }),
	}
}
