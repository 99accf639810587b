package broker

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/decodersring/decoder/internal/broker/storage"
	"github.com/decodersring/decoder/internal/obs"
)

// metrics counts what the broker does. Topics are the caller's, and few.
type metrics struct {
	bytesIn, recordsIn, bytesOut *prometheus.CounterVec
	removed                      *prometheus.CounterVec
	requests                     *prometheus.HistogramVec
	sync                         prometheus.Histogram
	syncErrors, refused, corrupt prometheus.Counter
	connections                  prometheus.Gauge
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "decoder_broker_" + name, Help: help}, labels)
	}
	one := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "decoder_broker_" + name, Help: help})
	}
	latency := prometheus.ExponentialBuckets(0.0001, 2.5, 14) // 0.1 ms to 15 s
	return &metrics{
		bytesIn:   counter("appended_bytes_total", "Bytes of batches appended.", "topic"),
		recordsIn: counter("appended_records_total", "Records appended.", "topic"),
		bytesOut:  counter("fetched_bytes_total", "Bytes of batches read by clients.", "topic"),
		removed:   counter("removed_bytes_total", "Bytes removed, by retention or the disk budget.", "topic", "why"),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "decoder_broker_request_seconds", Help: "Time from a request to its answer.", Buckets: latency,
		}, []string{"request"}),
		sync: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "decoder_broker_sync_seconds", Help: "Time of an fdatasync.", Buckets: latency,
		}),
		syncErrors: one("sync_errors_total", "Syncs that failed."),
		refused:    one("sign_ins_refused_total", "Sign-ins that were refused."),
		corrupt:    one("corrupt_batches_total", "Corrupt batches found on the disk."),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "decoder_broker_connections", Help: "Connections open.",
		}),
	}
}

// register adds the metrics, and those that are measured when asked for.
func (m *metrics) register(scope obs.Scope, b *Broker) {
	gauge := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "decoder_broker_" + name, Help: help}, f)
	}
	scope.Register(m.bytesIn, m.recordsIn, m.bytesOut, m.removed, m.requests, m.sync, m.syncErrors, m.refused, m.corrupt, m.connections,
		gauge("log_bytes", "Size of all topics.", func() float64 { return float64(b.store.Size()) }),
		gauge("free_disk_bytes", "Free space on the disk.", func() float64 { return float64(b.store.Free()) }),
		gauge("intake_refused", "1 while the log takes nothing new in.", func() float64 {
			if b.store.Refused() != nil {
				return 1
			}
			return 0
		}),
		gauge("offline_partitions", "Partitions out of service.", func() float64 { return float64(b.health.offlineCount()) }),
		gauge("groups", "Consumer groups.", func() float64 { return float64(b.groups.Count()) }),
	)
}

// Request implements wire.Metrics.
func (m *metrics) Request(key int16, took time.Duration) {
	m.requests.WithLabelValues(kmsg.NameForKey(key)).Observe(took.Seconds())
}

// Appended implements wire.Metrics.
func (m *metrics) Appended(topic string, bytes, records int) {
	m.bytesIn.WithLabelValues(topic).Add(float64(bytes))
	m.recordsIn.WithLabelValues(topic).Add(float64(records))
}

// Fetched implements wire.Metrics.
func (m *metrics) Fetched(topic string, bytes int) {
	m.bytesOut.WithLabelValues(topic).Add(float64(bytes))
}

// Connections implements wire.Metrics.
func (m *metrics) Connections(change int) { m.connections.Add(float64(change)) }

// SignInFailed implements wire.Metrics.
func (m *metrics) SignInFailed() { m.refused.Inc() }

// events are what the store tells metrics and health.
func (b *Broker) events(m *metrics) storage.Events {
	h := b.health
	name := func(topic string, partition int32) string { return fmt.Sprintf("%s-%d", topic, partition) }
	return storage.Events{
		Synced: func(d time.Duration, err error) {
			m.sync.Observe(d.Seconds())
			if err != nil {
				m.syncErrors.Inc()
			}
		},
		Offline: func(t string, p int32, err error) {
			h.change(func() {
				if h.offline[name(t, p)] = err; err == nil {
					delete(h.offline, name(t, p))
				}
			})
		},
		Corrupt: func(string, int32, string, int64) {
			m.corrupt.Inc()
			h.change(func() { h.corrupt++ })
		},
		Removed: func(topic string, bytes int64, why string) {
			m.removed.WithLabelValues(topic, why).Add(float64(bytes))
		},
		Journal: func(err error) { h.change(func() { h.journal = err }) },
		Scarce:  func(scarce bool) { h.change(func() { h.scarce = scarce }) },
		Intake:  func(refused error) { h.change(func() { h.refused = refused }) },
	}
}

func (h *health) offlineCount() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.offline)
}
