package machine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/obs"
)

// Options say what to watch. The zero value of a limit is a sound default.
type Options struct {
	Dir      string        // the data folder; its disk is watched
	Host     string        // names the machine in alerts
	Reserve  int64         // free bytes of the disk below which intake stops; it counts as full
	Every    time.Duration // between samples; 0: 15 s
	Patience time.Duration // a client may make no progress for so long; 0: 5 min
}

// Deps are what the source works with.
type Deps struct {
	To      bus.Appender
	Clients func() []client.Status // nil: none
	// DeadLetters returns the bytes they take and the log's disk budget, which
	// removes them last; nil, or no budget: never.
	DeadLetters func(ctx context.Context) (taken, budget int64, err error)
	// Refused returns why the log takes nothing new in at present, nil when it
	// does; nil: it always does.
	Refused func() error
	Scope   obs.Scope
}

// Machine is the source.
type Machine struct {
	options  Options
	deps     Deps
	read     func(dir string) (sample, error)
	disk     forecast
	before   sample // the last, for rates
	busy     float64
	episodes map[string]*episode
	waiting  []*bus.Record // alerts the log has not taken yet
	told     bool          // that they wait
	refused  time.Time     // since when the log takes nothing new in; zero: it does
	gauges   gauges
}

type gauges struct{ free, full, memory, cpu prometheus.Gauge }

// New returns the source.
func New(o Options, d Deps) *Machine {
	if o.Every == 0 {
		o.Every = 15 * time.Second
	}
	if o.Patience == 0 {
		o.Patience = 5 * time.Minute
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "decoder_machine_" + name, Help: help})
	}
	m := &Machine{
		options: o, deps: d, read: readSample, episodes: map[string]*episode{},
		gauges: gauges{
			free:   gauge("disk_free_bytes", "Free bytes of the data folder's disk."),
			full:   gauge("disk_full_seconds", "Time until that disk is full at the present rate; +Inf if it does not fill."),
			memory: gauge("memory_available_bytes", "Memory that can be had without swapping."),
			cpu:    gauge("cpu_busy_ratio", "Part of all CPUs' time that was used since the sample before."),
		},
	}
	d.Scope.Register(m.gauges.free, m.gauges.full, m.gauges.memory, m.gauges.cpu)
	return m
}

// Run samples until ctx ends.
func (m *Machine) Run(ctx context.Context) error {
	ticker := time.NewTicker(m.options.Every)
	defer ticker.Stop()
	for {
		if s, err := m.read(m.options.Dir); err != nil {
			m.deps.Scope.Logger().WarnContext(ctx, "machine cannot be sampled", "err", err)
		} else {
			m.look(s)
		}
		m.lookAtDead(ctx)
		m.raise(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// raise appends the alerts that wait. While the log is away they wait on: an
// alert is noted once, and its id does not depend on when.
func (m *Machine) raise(ctx context.Context) {
	if len(m.waiting) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.Every)
	defer cancel()
	if err := m.deps.To.Append(ctx, m.waiting...); err != nil {
		if !m.told {
			m.told = true
			m.deps.Scope.Logger().WarnContext(ctx, "alerts on the machine wait for the log", "alerts", len(m.waiting), "err", err)
		}
		return
	}
	if m.told {
		m.told = false
		m.deps.Scope.Logger().Info("alerts on the machine are in the log", "alerts", len(m.waiting))
	}
	m.waiting = nil
}

func (m *Machine) lookAtDead(ctx context.Context) {
	if m.deps.DeadLetters == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.options.Every)
	defer cancel()
	taken, budget, err := m.deps.DeadLetters(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	if err != nil {
		m.deps.Scope.Logger().WarnContext(ctx, "size of the dead letters is unknown", "err", err)
		return
	}
	m.judge(time.Now(), deadCondition(taken, budget))
}

const maxWaiting = 1000 // alerts; more are not told apart by anybody

// look judges one sample.
func (m *Machine) look(s sample) {
	m.disk.add(s.at, s.diskTotal-s.diskFree)
	left := max(s.diskFree-m.options.Reserve, 0)
	full := m.disk.full(left)
	if !m.before.at.IsZero() && s.cpuTotal > m.before.cpuTotal {
		now := float64(s.cpuBusy-m.before.cpuBusy) / float64(s.cpuTotal-m.before.cpuTotal)
		m.gauges.cpu.Set(now)
		m.busy = smooth(m.busy, now, s.at.Sub(m.before.at))
	}
	m.before = s
	m.gauges.free.Set(float64(s.diskFree))
	m.gauges.full.Set(full.Seconds())
	if full == never {
		m.gauges.full.Set(math.Inf(1))
	}
	m.gauges.memory.Set(float64(s.memoryAvailable))

	m.judge(s.at, diskCondition(m.options.Dir, s, left, full, m.options.Reserve))
	if left > 0 { // else the disk is why
		m.judge(s.at, m.intake(s.at))
	}
	m.judge(s.at, memoryCondition(s))
	m.judge(s.at, cpuCondition(m.busy))
	if m.deps.Clients != nil {
		for _, c := range m.deps.Clients() {
			m.judge(s.at, clientCondition(c, s.at, m.options.Patience))
		}
	}
}

// intake judges that the log takes nothing new in.
func (m *Machine) intake(now time.Time) condition {
	var why error
	if m.deps.Refused != nil {
		why = m.deps.Refused()
	}
	switch {
	case why == nil:
		m.refused = time.Time{}
	case m.refused.IsZero():
		m.refused = now
	}
	return intakeCondition(why, now.Sub(m.refused))
}

// smooth is a mean over about five minutes, so that a burst raises nothing.
func smooth(mean, now float64, passed time.Duration) float64 {
	part := min(passed.Seconds()/300, 1)
	return mean + (now-mean)*part
}

// episode is a condition that has begun and not ended.
type episode struct {
	began    time.Time
	worst    level
	revision int
	calm     time.Time // since when it does not hold; zero: it does
}

// quiet is how long a condition must not hold for its episode to be over.
const quiet = 5 * time.Minute

// judge opens, worsens or ends the episode of a condition.
func (m *Machine) judge(now time.Time, c condition) {
	e := m.episodes[c.what]
	if c.level == fine {
		if e == nil {
			return
		}
		if e.calm.IsZero() {
			e.calm = now
		}
		if now.Sub(e.calm) >= quiet {
			delete(m.episodes, c.what)
			m.deps.Scope.Logger().Info("machine is well again", "condition", c.what)
		}
		return
	}
	if e == nil {
		e = &episode{began: now}
		m.episodes[c.what] = e
	} else {
		e.calm = time.Time{}
		if c.level <= e.worst {
			return
		}
		e.revision++
	}
	e.worst = c.level
	m.deps.Scope.Logger().Warn("machine needs attention", "condition", c.what, "title", c.title)
	if len(m.waiting) < maxWaiting {
		m.waiting = append(m.waiting, m.alert(now, e, c))
	}
}

func (m *Machine) origin(what string, began time.Time) string {
	return fmt.Sprintf("machine:%s-%s:%d", m.options.Host, what, began.UnixMilli())
}
