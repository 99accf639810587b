package bus_test

import (
	"log/slog"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/obs"
)

func scope(t *testing.T) obs.Scope {
	return obs.Scope{Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Metrics: prometheus.NewRegistry(), Health: &obs.Health{}}
}
