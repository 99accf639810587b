package client

import (
	"context"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
)

// Kind says what a client, or one partition of it, does at present.
type Kind string

// The kinds of a phase.
const (
	PhaseStopped   Kind = "stopped"   // Run is not running
	PhaseJoining   Kind = "joining"   // starting: the group has not let it in yet
	PhaseIdle      Kind = "idle"      // all that there is is done, or others do it
	PhaseRunning   Kind = "running"   // records are being handled
	PhaseRetry     Kind = "retry"     // a record failed and is tried again
	PhaseThrottled Kind = "throttled" // the other side asked to wait
	PhaseOutage    Kind = "outage"    // the other side does not answer
	PhaseLog       Kind = "log"       // the log has not acknowledged yet
	PhaseFlush     Kind = "flush"     // the sink cannot be flushed
	PhaseSlot      Kind = "slot"      // as many records as allowed are in flight
	PhaseStuck     Kind = "stuck"     // a call to the handler does not return
)

// phase is what a partition waits for.
type phase struct {
	Kind     Kind
	Since    time.Time
	Offset   int64
	Attempts int
	Code     string
	Reason   string
}

// shows sets what the partition waits for until the function returned is
// called.
func (p *partition) shows(ph phase) func() {
	ph.Since = time.Now()
	p.phase.Store(&ph)
	return func() { p.phase.CompareAndSwap(&ph, nil) }
}

// handling notes that a call to the handler begins, by the clock of reports.
func (p *partition) handling(offset int64) {
	p.busyOffset.Store(offset)
	p.busySince.Store(p.c.clock.Load())
}

// Status is what a client does at present and, if it makes no progress, why.
type Status struct {
	Client     string            `json:"client"`
	Kind       Kind              `json:"kind"`
	Since      time.Time         `json:"since,omitzero"`
	Reason     string            `json:"reason,omitempty"` // a sentence for a person; empty while all is well
	Lag        int64             `json:"lag"`              // records its own partitions have and it has not committed
	InFlight   int64             `json:"in_flight"`        // bytes
	Partitions []PartitionStatus `json:"partitions,omitempty"`
}

// PartitionStatus is what one partition of a client does.
type PartitionStatus struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Kind      Kind      `json:"kind"`
	Since     time.Time `json:"since,omitzero"`
	Reason    string    `json:"reason,omitempty"`
	Committed int64     `json:"committed"`
	End       int64     `json:"end"`
	Lag       int64     `json:"lag"`
}

// severity orders kinds by how much a person should know of them.
var severity = map[Kind]int{
	PhaseStuck: 9, PhaseOutage: 8, PhaseFlush: 7, PhaseThrottled: 6, PhaseRetry: 5, PhaseLog: 4,
	PhaseSlot: 3, PhaseRunning: 2, PhaseIdle: 1,
}

// Status returns what the client does at present.
func (c *Client) Status() Status {
	s := Status{Client: c.spec.Name, Kind: PhaseStopped, InFlight: c.held()}
	if !c.running.Load() {
		return s
	}
	s.Kind, s.Reason = PhaseJoining, "waiting for the log"
	if group := c.group.Load(); group != nil && group.Joined() {
		s.Kind, s.Reason = PhaseIdle, "all partitions are with other processes"
	}
	for i, p := range c.all() {
		if i == 0 {
			s.Kind, s.Reason = PhaseJoining, ""
		}
		ps := p.status()
		s.Lag += ps.Lag
		s.Partitions = append(s.Partitions, ps)
		if severity[ps.Kind] > severity[s.Kind] {
			s.Kind, s.Since, s.Reason = ps.Kind, ps.Since, ps.Reason
		}
	}
	if ph := c.unflushed.Load(); ph != nil && severity[ph.Kind] > severity[s.Kind] {
		s.Kind, s.Since, s.Reason = ph.Kind, ph.Since, notFlushed(ph)
	}
	return s
}

func (p *partition) status() PartitionStatus {
	now := time.Now()
	at, _, inFlight := p.tracker.position()
	p.mu.Lock()
	s := PartitionStatus{Topic: p.Topic, Partition: p.Partition.Partition, Kind: PhaseRunning, Committed: p.committed, End: p.end}
	idle := len(p.queue) == 0 && inFlight == 0
	s.Lag = max(p.end-max(p.committed, at, p.start, 0), 0)
	p.mu.Unlock()
	if idle {
		s.Kind = PhaseIdle
		return s
	}
	if ph := p.phase.Load(); ph != nil {
		s.Kind, s.Since, s.Reason = ph.Kind, ph.Since, p.explain(ph)
	}
	moved := time.Unix(0, p.movedAt.Load())
	stuck := p.c.spec.Stuck
	if busy := p.busySince.Load(); busy > 0 && now.Sub(time.Unix(0, busy)) > stuck && now.Sub(moved) > stuck {
		s.Kind, s.Since = PhaseStuck, time.Unix(0, busy)
		s.Reason = fmt.Sprintf("the handler does not return from %s/%d offset %d", p.Topic, p.Partition.Partition, p.busyOffset.Load())
	}
	return s
}

func (p *partition) explain(ph *phase) string {
	where := fmt.Sprintf("%s/%d offset %d", p.Topic, p.Partition.Partition, ph.Offset)
	switch ph.Kind {
	case PhaseRetry:
		return fmt.Sprintf("%s failed %d times and is tried again: %s", where, ph.Attempts, ph.Reason)
	case PhaseThrottled:
		return fmt.Sprintf("asked to wait with %s: %s", where, ph.Reason)
	case PhaseOutage:
		since, reason, _ := p.c.gate.outage()
		return fmt.Sprintf("paused since %s, the other side does not answer: %v", since.UTC().Format(time.RFC3339), reason)
	case PhaseLog:
		if ph.Reason == "" {
			return ""
		}
		return "waiting for the log: " + ph.Reason
	case PhaseFlush:
		return notFlushed(ph)
	default:
		return ph.Reason
	}
}

func notFlushed(ph *phase) string { return "waiting for the sink to be flushed: " + ph.Reason }

// reports keeps the client's health up to date.
func (c *Client) reports(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		c.clock.Store(time.Now().UnixNano())
		s := c.Status()
		level := obs.OK
		switch s.Kind {
		case PhaseStuck:
			level = obs.Failed
		case PhaseOutage, PhaseFlush, PhaseThrottled:
			level = obs.Degraded
		case PhaseJoining:
			level = obs.Starting
		}
		message := s.Reason
		if message != "" && s.Lag > 0 {
			message = fmt.Sprintf("%s; %d records behind", message, s.Lag)
		}
		c.runtime.scope.Set("client/"+c.spec.Name, level, message)
		select {
		case <-ctx.Done():
			c.runtime.scope.Set("client/"+c.spec.Name, obs.Starting, "stopped")
			return
		case <-ticker.C:
		}
	}
}

var _ bus.Member = (*Client)(nil)
