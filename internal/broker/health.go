package broker

import (
	"fmt"
	"sync"

	"github.com/decodersring/decoder/internal/obs"
)

// component is the broker's name in the program's health.
const component = "broker"

// health turns what the store tells into the broker's state: failed while a
// partition is offline, degraded while intake is refused, the journal cannot be
// written or something on the disk is corrupt.
type health struct {
	scope obs.Scope

	mu      sync.Mutex
	offline map[string]error
	corrupt int
	refused error // intake is; nil: it is not
	scarce  bool
	journal error // why it is out of use
}

func newHealth(s obs.Scope) *health { return &health{scope: s, offline: map[string]error{}} }

func (h *health) starting() { h.scope.Set(component, obs.Starting, "recovering the log") }

func (h *health) ready() { h.change(func() {}) }

func (h *health) ended(err error) {
	if err != nil {
		h.scope.Set(component, obs.Failed, err.Error())
	}
}

// change applies fn and reports the state that follows.
func (h *health) change(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fn()
	level, text := h.state()
	h.scope.Set(component, level, text)
}

func (h *health) state() (obs.Level, string) {
	for name, err := range h.offline {
		return obs.Failed, fmt.Sprintf("%d partitions are offline, %s: %v", len(h.offline), name, err)
	}
	switch {
	case h.refused != nil:
		return obs.Degraded, "intake is refused: " + h.refused.Error()
	case h.corrupt > 0:
		return obs.Degraded, fmt.Sprintf("%d corrupt batches on the disk: decoder log verify lists them, decoder log repair has readers get past them", h.corrupt)
	case h.journal != nil:
		return obs.Degraded, fmt.Sprintf("appends are slow, the journal cannot be written: %v", h.journal)
	case h.scarce:
		return obs.Degraded, "the disk budget takes topics that come last, such as dead letters"
	}
	return obs.OK, ""
}
