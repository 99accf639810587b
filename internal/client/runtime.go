package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
)

// Runtime is what the clients of one process share: the log, and the order in
// which they handle records under suspicion. Its methods may be called
// concurrently.
type Runtime struct {
	bus     *bus.Bus
	scope   obs.Scope
	suspect chan struct{} // a token: one record under suspicion is handled at a time

	mu      sync.Mutex
	clients map[string]*Client
}

// NewRuntime returns a runtime on the log.
func NewRuntime(b *bus.Bus, scope obs.Scope) *Runtime {
	return &Runtime{bus: b, scope: scope, suspect: make(chan struct{}, 1), clients: map[string]*Client{}}
}

// Run runs one client by itself until ctx ends.
func Run(ctx context.Context, b *bus.Bus, spec Spec, scope obs.Scope) error {
	c, err := NewRuntime(b, scope).New(spec)
	if err != nil {
		return err
	}
	return c.Run(ctx)
}

// New returns a client that does nothing before its Run.
func (r *Runtime) New(spec Spec) (*Client, error) {
	spec, err := spec.withDefaults()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, taken := r.clients[spec.Name]; taken {
		return nil, fmt.Errorf("client %s is there twice", spec.Name)
	}
	c := newClient(r, spec)
	r.clients[spec.Name] = c
	return c, nil
}

// Client returns the client of that name, or nil.
func (r *Runtime) Client(name string) *Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.clients[name]
}

// Status returns what each client does at present, by name.
func (r *Runtime) Status() []Status {
	r.mu.Lock()
	all := make([]Status, 0, len(r.clients))
	for _, c := range r.clients {
		all = append(all, c.Status())
	}
	r.mu.Unlock()
	slices.SortFunc(all, func(a, b Status) int { return cmp.Compare(a.Client, b.Client) })
	return all
}

// Drain returns when the named client's group has handled, and its offsets say
// so, all that its inputs held when Drain was called, wherever the members of
// the group run.
func (r *Runtime) Drain(ctx context.Context, name string) error {
	c := r.Client(name)
	if c == nil {
		return fmt.Errorf("no client %s in this process", name)
	}
	target := map[bus.Partition]int64{}
	for _, topic := range c.spec.Inputs {
		bounds, err := r.bus.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		for p, s := range bounds {
			if s.To > s.From {
				target[bus.Partition{Topic: topic, Partition: p}] = s.To
			}
		}
	}
	for round := 1; ; round++ {
		c.requestFlush()
		// A cluster that makes its topic of offsets cannot say yet: ask again.
		at, err := r.bus.Committed(ctx, c.spec.Group)
		for p, to := range target {
			if at[p] >= to {
				delete(target, p)
			}
		}
		if round%20 == 0 {
			if err := r.forgetCut(ctx, c.spec.Inputs, target); err != nil {
				return err
			}
		}
		if len(target) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for client %s: %w", name, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// forgetCut takes out of target the partitions that retention has cut up to
// there: nobody will read and commit what is gone.
func (r *Runtime) forgetCut(ctx context.Context, topics []string, target map[bus.Partition]int64) error {
	for _, topic := range topics {
		bounds, err := r.bus.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		for p, s := range bounds {
			at := bus.Partition{Topic: topic, Partition: p}
			if to, waited := target[at]; waited && s.From >= to {
				delete(target, at)
			}
		}
	}
	return nil
}

// Forget takes a client that has ended out of the runtime, so that another may
// bear its name.
func (r *Runtime) Forget(c *Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[c.spec.Name] == c {
		delete(r.clients, c.spec.Name)
	}
	c.metrics.forget()
}
