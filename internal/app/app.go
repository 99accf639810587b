// Package app is the composition root: it builds every part of the program
// from the configuration, starts them in order and stops them in the reverse
// order. It alone knows all parts; what a part does is the part's own.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/rules"
	source "github.com/decodersring/decoder/internal/source/suricata"
	"github.com/decodersring/decoder/internal/store/vlogs"
)

// Parts says which parts of the program run; the control socket always does.
type Parts struct {
	Store    bool // search
	Pipeline bool // the log, its clients, the inbox and replays
	Sensor   bool // what watches the network, and its rules
	Web      bool // API and browser page on TCP
}

// The parts that the commands need.
var (
	AllParts    = Parts{Store: true, Pipeline: true, Sensor: true, Web: true}
	ReplayParts = Parts{Store: true, Pipeline: true}
	SearchParts = Parts{Store: true}
)

// Options are set by the command.
type Options struct {
	Data         string // data folder
	Config       Config
	Parts        Parts
	WithoutStore bool     // the store has ended the program too often
	Only         []string // stages to run and nothing else, on a cluster's log; none: all there is
	Version      string
	Stderr       io.Writer
}

// Info is what a person wants to know when the program has started.
type Info struct {
	Address   string // of the browser page
	Metrics   string // of metrics and health without a sign-in; "": there are none
	Password  string // of the first user, only at the first start
	Interface string
	Rules     string
	Data      string
	Log       string // how to reach the log
	Notes     []string
}

// App is the program. It is used once.
type App struct {
	options Options
	log     *slog.Logger
	metrics *prometheus.Registry
	health  obs.Health
	ready   chan struct{}
	info    Info
	started time.Time

	life    *lifecycle
	dir     *dataDir
	bus     *bus.Bus
	clients *client.Runtime
	store   *vlogs.Store
	home    decode.Home
	inbox   *rebuildable
	replays *replays
	reruns  *reruns
	told    destinations

	services api.Services // asked about mail; nil when no mail is checked here

	instance string // tells this data folder from others on a cluster
	watched  string // interface
	rules    *rules.Set
	source   *source.Source // nil when no interface is watched
	watchers sensors
}

// New returns the program as the options describe it. It touches nothing
// before Run.
func New(o Options) (*App, error) {
	if err := errors.Join(o.Config.Validate(), o.Config.Log.Validate(), o.Config.Bus.Validate()); err != nil {
		return nil, err
	}
	data, err := filepath.Abs(o.Data)
	if err != nil {
		return nil, fmt.Errorf("finding the data folder: %w", err)
	}
	o.Data = data
	o.Parts.Store = o.Parts.Store && !o.WithoutStore
	a := &App{options: o, log: Logger(o.Config.Log, o.Stderr), metrics: prometheus.NewRegistry(), ready: make(chan struct{})}
	a.metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return a, nil
}

// Ready is closed when everything has started.
func (a *App) Ready() <-chan struct{} { return a.ready }

// Info may be called when the program is ready.
func (a *App) Info() Info { return a.info }

// Logger returns the program's logger.
func Logger(c LogConfig, w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo
	}
	o := &slog.HandlerOptions{Level: level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// memoryLimit is what the collector keeps the program's memory under while it
// can (GOMEMLIMIT overrides it): the store's caches, the records in flight and
// as much again for what is built of them. Up to there it may let the heap grow
// to three times what is in use (GOGC overrides that): collecting is the largest
// single part of what full ingest costs.
const (
	memoryLimit = 216 << 20
	gcPercent   = 200
)

// Run starts everything, stays until ctx ends or a part fails, and stops
// everything in order.
func (a *App) Run(ctx context.Context) (err error) {
	if debug.SetMemoryLimit(-1) == 1<<63-1 {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	a.started = time.Now()
	if a.dir, err = openDataDir(ctx, a.options.Data); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.dir.Close()) }()
	a.life = newLifecycle(a.log)
	defer func() { err = errors.Join(err, a.life.stop()) }()
	if err := a.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // told to stop while starting
		}
		return err
	}
	close(a.ready)
	a.log.Info("started", "data", a.options.Data, "took", time.Since(a.started).Round(time.Millisecond))
	select {
	case <-ctx.Done():
		a.log.Info("stopping")
		return nil
	case err := <-a.life.failed:
		return err
	}
}

// start starts the parts in the order in which they lean on each other.
func (a *App) start(ctx context.Context) error {
	a.info.Data = a.options.Data
	all := len(a.options.Only) == 0
	for _, step := range []struct {
		wanted bool
		run    func(context.Context) error
	}{
		{true, a.roomToStart},
		{a.options.Parts.Pipeline, a.chooseInterface},
		{a.options.Parts.Pipeline, a.startLog},
		{a.options.Parts.Store, a.startStore},
		{a.options.Parts.Pipeline, a.startClients},
		{a.options.Parts.Pipeline && all, a.startSensor},
		{a.options.Parts.Pipeline && a.options.Parts.Sensor, a.startMail},
		{true, a.startAPI},
	} {
		if !step.wanted {
			continue
		}
		if err := step.run(ctx); err != nil {
			return err
		}
	}
	if a.options.WithoutStore {
		note := "the store ended the program three times in five minutes: running without search; see the log, then restart"
		a.health.Set("store", obs.Failed, note)
		a.info.Notes = append(a.info.Notes, note)
	}
	return nil
}

// scope is what a part reports through.
func (a *App) scope(part string) obs.Scope {
	return obs.Scope{Log: a.log.With("part", part), Metrics: a.metrics, Health: &a.health}
}

func (a *App) path(names ...string) string {
	return filepath.Join(append([]string{a.options.Data}, names...)...)
}

// until returns what a part without a loop of its own runs: nothing, until it
// is stopped and releases what it holds.
func until(release func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		return release()
	}
}

func (a *App) version() api.Version {
	return api.Version{Version: a.options.Version, Passing: !a.options.Parts.Web, Go: runtime.Version(), Data: a.options.Data, Started: a.started, PID: os.Getpid()}
}
