package api_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/obs"
)

// TestProbesTellStuckFromSlow asks without a sign-in, as tools do.
func TestProbesTellStuckFromSlow(t *testing.T) {
	health := &obs.Health{}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "some_total", Help: "Some."}))
	clients := []client.Status{{Client: "slow", Kind: client.PhaseRunning, Lag: 1_000_000}}
	s, err := api.New(api.Options{Probes: "http://127.0.0.1:0"}, api.Deps{
		Health: health, Metrics: metrics, Status: func() []client.Status { return clients },
	}, obs.Scope{Metrics: metrics, Health: health})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	<-s.Ready()
	get := func(path string) (int, string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.ProbesURL()+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, string(body)
	}
	wants := func(path string, status int, part string) {
		t.Helper()
		if got, body := get(path); got != status || !strings.Contains(body, part) {
			t.Errorf("%s: %d %s, want %d and %q", path, got, body, status, part)
		}
	}
	health.Set("client/slow", obs.OK, "")
	wants("/healthz", http.StatusOK, "ok")
	wants("/readyz", http.StatusOK, "ready")
	wants("/metrics", http.StatusOK, "some_total 0")
	wants("/api/v1/health", http.StatusNotFound, "")
	wants("/", http.StatusNotFound, "")

	health.Set("client/slow", obs.Degraded, "paused since noon, the other side does not answer")
	health.Set("client/late", obs.Starting, "waiting for the log")
	wants("/healthz", http.StatusOK, "ok")
	wants("/readyz", http.StatusServiceUnavailable, "client/late is starting: waiting for the log")

	health.Set("client/late", obs.OK, "")
	clients = append(clients, client.Status{Client: "hung", Kind: client.PhaseStuck, Reason: "the handler does not return from t/0 offset 7"})
	health.Set("client/hung", obs.Failed, clients[1].Reason)
	wants("/healthz", http.StatusServiceUnavailable, "hung: the handler does not return from t/0 offset 7")
	wants("/readyz", http.StatusServiceUnavailable, "failed")

	_, body := get("/status")
	var status api.ProcessStatus
	if err := json.Unmarshal([]byte(body), &status); err != nil {
		t.Fatal(err)
	}
	if len(status.Clients) != 2 || status.Clients[0].Lag != 1_000_000 || len(status.Components) < 3 {
		t.Errorf("status %s", body)
	}
}
