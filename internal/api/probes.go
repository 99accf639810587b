package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/obs"
)

// Probes is what tools that watch the program reach without a sign-in:
//
//	GET /metrics  in Prometheus' text format
//	GET /healthz  503 when a call to a client's handler does not return, which
//	              only a restart mends; who is slow, or waits for another
//	              side, is healthy
//	GET /readyz   503 while a part is starting or has failed
//	GET /status   every part's state, and what each client does and waits for,
//	              as JSON
//
// It changes nothing, but errors of clients may quote what they handled.
func (s *Server) Probes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.healthz(true))
	mux.HandleFunc("GET /readyz", s.readyz(true))
	mux.HandleFunc("GET /status", s.status)
	if s.deps.Metrics != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(s.deps.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	}
	return s.recovered(s.hosts.checked(hardened(mux)))
}

// ProcessStatus is the answer of /status.
type ProcessStatus struct {
	Version    Version         `json:"version"`
	Components []obs.Status    `json:"components"`
	Clients    []client.Status `json:"clients"`
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	out := ProcessStatus{Version: s.deps.Version, Components: s.worst().Components, Clients: s.clients()}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(out) // who asked has left; nobody to tell
}

func (s *Server) clients() []client.Status {
	if s.deps.Status == nil {
		return []client.Status{}
	}
	return s.deps.Status()
}

// healthz is 503 while a client is stuck. Why is told where the caller may know
// it.
func (s *Server) healthz(why bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		var stuck []string
		for _, c := range s.clients() {
			if c.Kind == client.PhaseStuck {
				stuck = append(stuck, c.Client+": "+c.Reason)
			}
		}
		verdict(w, why, "ok", "stuck", stuck)
	}
}

// readyz is 503 while a component is starting or has failed.
func (s *Server) readyz(why bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		level := obs.Starting
		var unready []string
		for _, c := range s.worst().Components {
			if c.Level != obs.Failed && c.Level != obs.Starting {
				continue
			}
			if c.Level == obs.Failed {
				level = obs.Failed
			}
			unready = append(unready, fmt.Sprintf("%s is %s: %s", c.Component, c.Level, c.Message))
		}
		verdict(w, why, "ready", string(level), unready)
	}
}

func verdict(w http.ResponseWriter, why bool, good, bad string, reasons []string) {
	switch {
	case len(reasons) == 0:
		plain(w, http.StatusOK, good)
	case why:
		plain(w, http.StatusServiceUnavailable, bad+"\n"+strings.Join(reasons, "\n"))
	default:
		plain(w, http.StatusServiceUnavailable, bad)
	}
}
