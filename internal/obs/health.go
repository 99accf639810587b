package obs

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Level is a component's state, worst last.
type Level string

// The levels of health.
const (
	OK       Level = "ok"
	Starting Level = "starting"
	Degraded Level = "degraded" // works, or will by itself, but a person should know
	Failed   Level = "failed"   // does not work; a person must act
)

// Status is the state of one component since a moment.
type Status struct {
	Component string    `json:"component"`
	Level     Level     `json:"level"`
	Message   string    `json:"message,omitempty"`
	Since     time.Time `json:"since"`
}

// Health holds the present state of each component. Its zero value is ready;
// it may be used concurrently.
type Health struct {
	mu  sync.Mutex
	all map[string]Status
}

// Set records a component's state. Since moves only when the level changes.
func (h *Health) Set(component string, l Level, message string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[string]Status{}
	}
	s, known := h.all[component]
	if !known || s.Level != l {
		s.Since = time.Now()
	}
	s.Component, s.Level, s.Message = component, l, message
	h.all[component] = s
}

// Remove forgets a component that has ended on purpose.
func (h *Health) Remove(component string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.all, component)
}

// All returns every component's state, by name.
func (h *Health) All() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Status, 0, len(h.all))
	for _, s := range h.all {
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Component, b.Component) })
	return out
}
