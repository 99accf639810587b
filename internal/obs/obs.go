// Package obs carries what every component reports through: a logger, a
// registry of metrics and its place in the program's health. It knows nothing
// of what is reported.
package obs

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Scope is what a component is given to report through. The zero value
// discards everything, which suits tests.
type Scope struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Health  *Health
}

// Logger returns the scope's logger, never nil.
func (s Scope) Logger() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}

// Register adds collectors to the scope's registry, if it has one. A name
// registered twice is a mistake in the program and panics.
func (s Scope) Register(cs ...prometheus.Collector) {
	if s.Metrics != nil {
		s.Metrics.MustRegister(cs...)
	}
}

// Set reports a component's state.
func (s Scope) Set(component string, l Level, message string) {
	if s.Health != nil {
		s.Health.Set(component, l, message)
	}
}
