package api

import (
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/decodersring/decoder/internal/obs"
)

// Handler is what browsers reach over TCP: the API behind sign-in, the UI,
// health. Metrics are for those signed in.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	s.mount(mux, func(r *http.Request) (string, error) { return s.users.signedIn(r) }, false)
	if s.deps.UI != nil {
		mux.Handle("/", getOnly(s.deps.UI))
	}
	// Beside SameSite=Strict on the cookie: what changes something must come
	// from a page of ours (Sec-Fetch-Site, else Origin).
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return s.recovered(s.hosts.checked(hardened(guarded)))
}

// getOnly refuses all but reading. A pattern with a method would conflict with
// that of the API's unknown routes, which has none.
func getOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			plain(w, http.StatusMethodNotAllowed, "This is a page: it can only be read.")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// LocalHandler is what processes of the same user reach over the socket.
func (s *Server) LocalHandler() http.Handler {
	mux := http.NewServeMux()
	s.mount(mux, peerOf, true)
	return s.recovered(mux)
}

// mount adds the routes. who returns the user of a request or why there is
// none.
func (s *Server) mount(mux *http.ServeMux, who func(*http.Request) (string, error), isLocal bool) {
	for _, rt := range routes() {
		mux.Handle(rt.method+" "+Prefix+rt.path, s.guard(rt, who, isLocal))
	}
	mux.HandleFunc(Prefix+"/", func(w http.ResponseWriter, r *http.Request) {
		s.writeError(w, r, NotFound("route", r.Method+" "+r.URL.Path))
	})
	mux.HandleFunc("GET /healthz", s.healthz(isLocal))
	mux.HandleFunc("GET /readyz", s.readyz(isLocal))
	if s.deps.Metrics != nil {
		mux.Handle("GET /metrics", s.guard(route{path: "/metrics", endpoint: endpoint{
			serve: func(_ *Server, w http.ResponseWriter, r *http.Request) error {
				promhttp.HandlerFor(s.deps.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}).ServeHTTP(w, r)
				return nil
			},
		}}, who, isLocal))
	}
}

// guard lets through who may use the route.
func (s *Server) guard(rt route, who func(*http.Request) (string, error), isLocal bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		if err := s.admit(rt, who, isLocal, seen, r); err != nil {
			s.writeError(seen, r, err)
		}
		if !rt.stream {
			s.metrics.requests.WithLabelValues(rt.path, strconv.Itoa(seen.status)).Observe(time.Since(began).Seconds())
		}
	})
}

func (s *Server) admit(rt route, who func(*http.Request) (string, error), isLocal bool, w http.ResponseWriter, r *http.Request) error {
	user, err := who(r)
	switch {
	case err != nil && (rt.access != open || isLocal):
		return err
	case rt.access == local && !isLocal:
		return localOnly()
	}
	return rt.serve(s, w, withUser(r, user))
}

// statusWriter remembers the status for the metrics.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// recovered answers 500 when a handler panics, and the program goes on.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { //nolint:errorlint // what was panicked with, as net/http compares it
				panic(p)
			}
			s.scope.Logger().Error("handler panicked", "path", r.URL.Path, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.writeError(w, r, &Error{Status: http.StatusInternalServerError, Code: codeInternal, Message: "a mistake in the program; its log says more"})
		}()
		next.ServeHTTP(w, r)
	})
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // who asked has left; nobody to tell
}

// errorLog sends what net/http complains about (bad handshakes, oddities of
// clients) to the log at debug level: it is for nobody to act on.
func errorLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }

type metrics struct {
	requests *prometheus.HistogramVec
	refused  *prometheus.CounterVec
}

func newMetrics(scope obs.Scope) metrics {
	m := metrics{
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "decoder_api_request_seconds", Help: "Time to answer a request, streams aside.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 30},
		}, []string{"route", "status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_api_sign_ins_refused_total", Help: "Attempts to sign in that were refused.",
		}, []string{"reason"}),
	}
	scope.Register(m.requests, m.refused)
	return m
}
