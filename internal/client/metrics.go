package client

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/obs"
)

// metrics counts what one client does. In order, nothing is done per record.
type metrics struct {
	scope      obs.Scope
	recordsIn  prometheus.Counter
	bytesIn    prometheus.Counter
	recordsOut prometheus.Counter
	bytesOut   prometheus.Counter
	retries    prometheus.Counter
	failures   *prometheus.CounterVec
	dead       *prometheus.CounterVec
	handler    prometheus.Histogram

	all   []prometheus.Collector
	mu    sync.Mutex
	codes map[string]bool
}

func (m *metrics) register(collectors ...prometheus.Collector) {
	m.all = append(m.all, collectors...)
	m.scope.Register(collectors...)
}

// forget takes the client's metrics out of the registry.
func (m *metrics) forget() {
	if m.scope.Metrics == nil {
		return
	}
	for _, c := range m.all {
		m.scope.Metrics.Unregister(c)
	}
}

// maxCodes bounds the label: a handler that makes codes up is cut short.
const maxCodes = 64

func newMetrics(spec Spec, scope obs.Scope) *metrics {
	labels := prometheus.Labels{"client": spec.Name}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "decoder_client_" + name, Help: help, ConstLabels: labels})
	}
	m := &metrics{
		scope:      scope,
		recordsIn:  counter("in_records_total", "Records read."),
		bytesIn:    counter("in_bytes_total", "Bytes of the records read."),
		recordsOut: counter("out_records_total", "Records handed to the log, dead letters included."),
		bytesOut:   counter("out_bytes_total", "Bytes of the records handed to the log."),
		retries:    counter("retries_total", "Waits before a further attempt."),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_client_failures_total", Help: "Calls to the handler that failed, by class and code.", ConstLabels: labels,
		}, []string{"class", "code"}),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_client_dead_letters_total", Help: "Records that became dead letters, by code.", ConstLabels: labels,
		}, []string{"code"}),
		handler: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "decoder_client_handler_seconds", Help: "Time to handle one record, as the mean of those handled in a row.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(1e-6, 4, 14),
		}),
		codes: map[string]bool{},
	}
	m.register(m.recordsIn, m.bytesIn, m.recordsOut, m.bytesOut, m.retries, m.failures, m.dead, m.handler)
	return m
}

// observe adds what is read off the client when asked.
func (m *metrics) observe(c *Client) {
	labels := prometheus.Labels{"client": c.spec.Name}
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "decoder_client_" + name, Help: help, ConstLabels: labels}, value)
	}
	m.register(
		gauge("in_flight_bytes", "Bytes read and not done with.", func() float64 { return float64(c.held()) }),
		gauge("lag_records", "Records of this instance's partitions that are not committed.", func() float64 { return float64(c.Status().Lag) }),
		gauge("lag_seconds", "Age of the oldest record read and not done with.", c.age),
		gauge("outage", "1 while the other side does not answer.", func() float64 {
			if _, _, away := c.gate.outage(); away {
				return 1
			}
			return 0
		}),
	)
}

// age returns the age in seconds of the oldest record in memory.
func (c *Client) age() float64 {
	oldest := time.Duration(0)
	for _, p := range c.all() {
		if t := p.oldest(); !t.IsZero() {
			oldest = max(oldest, time.Since(t))
		}
	}
	return oldest.Seconds()
}

func (p *partition) oldest() time.Time {
	p.tracker.mu.Lock()
	if len(p.tracker.entries) > 0 {
		if r := p.tracker.entries[0].records; len(r) > 0 {
			defer p.tracker.mu.Unlock()
			return r[0].Timestamp
		}
	}
	p.tracker.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 {
		return p.queue[0].records[0].Timestamp
	}
	return time.Time{}
}

func (m *metrics) in(records int, bytes int64) {
	m.recordsIn.Add(float64(records))
	m.bytesIn.Add(float64(bytes))
}

func (m *metrics) out(records int, bytes int64) {
	m.recordsOut.Add(float64(records))
	m.bytesOut.Add(float64(bytes))
}

func (m *metrics) handled(records int, took time.Duration) {
	m.handler.Observe(took.Seconds() / float64(records))
}

// code bounds the codes that become a label.
func (c *Client) code(code string) string {
	m := c.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.codes[code] && len(m.codes) >= maxCodes {
		return "other"
	}
	m.codes[code] = true
	return code
}
