package vlogs

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
)

type metrics struct {
	documents, duplicates prometheus.Counter
	rejected              *prometheus.CounterVec
	flush                 prometheus.Histogram
	query                 *prometheus.HistogramVec
	dropped, trimmed      *prometheus.CounterVec
}

func newMetrics(scope obs.Scope) metrics {
	m := metrics{
		documents: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "decoder_store_documents_total", Help: "Documents stored."}),
		duplicates: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "decoder_store_duplicates_total", Help: "Documents left out because their id was stored already."}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_store_refused_total", Help: "Documents that cannot be stored, by code."}, []string{"code"}),
		flush: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "decoder_store_flush_seconds", Help: "Time until all written was durable.", Buckets: prometheus.ExponentialBuckets(.001, 4, 8)}),
		query: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "decoder_store_query_seconds", Help: "Time of queries, by kind.", Buckets: prometheus.ExponentialBuckets(.001, 4, 8)}, []string{"kind"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_store_days_dropped_total", Help: "Days dropped to stay within a limit, by folder."}, []string{"folder"}),
		trimmed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_store_days_trimmed_total", Help: "Times the oldest of a day were dropped to stay within the limit of bytes, by folder."}, []string{"folder"}),
	}
	scope.Register(m.documents, m.duplicates, m.rejected, m.flush, m.query, m.dropped, m.trimmed)
	return m
}

func (m *metrics) refused(err error) { m.rejected.WithLabelValues(fault.Of(err).Code).Inc() }
