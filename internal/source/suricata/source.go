package suricata

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/tail"
	engine "github.com/decodersring/decoder/internal/suricata"
)

const component = "suricata"

// Options are set by the program.
type Options struct {
	Dir       string // folder of its own
	Topic     string
	Sensor    string         // key of the records: the sensor's name
	Interface string         // to watch; see engine.DefaultInterface
	HomeNet   []netip.Prefix // engine.HomeNet of the interface when empty
	// ExternalNet is EXTERNAL_NET as the engine reads it; "any" when "".
	ExternalNet string
	RotateAt    int64 // bytes of the EVE file at which a new one is begun; 64 MiB when 0
	Budget      int64 // bytes of EVE the log may lag behind before health says so; 2 GiB when 0
	MinFree     int64 // free disk below which the engine is stopped, in bytes; 256 MiB when 0
}

// Deps are what a Source works with.
type Deps struct {
	Log     bus.Appender
	Origins tail.Origins
	Scope   obs.Scope
	Rules   func() (engine.RuleSet, error)
	Find    func(context.Context) (engine.Binary, error) // engine.Find when nil
}

// Source keeps an engine watching an interface, and its EVE file flowing into
// the log.
type Source struct {
	opts    Options
	deps    Deps
	live    *engine.Live
	tail    *tail.Tail
	changes chan change
	health  *health
}

// New returns a Source that does nothing until Run.
func New(o Options, d Deps) (*Source, error) {
	if o.Dir == "" || o.Topic == "" || o.Sensor == "" || o.Interface == "" || d.Rules == nil {
		return nil, errors.New("the Suricata source needs a folder, a topic, a sensor name, an interface and rules")
	}
	for value, fallback := range map[*int64]int64{&o.RotateAt: 64 << 20, &o.Budget: 2 << 30, &o.MinFree: 256 << 20} {
		if *value == 0 {
			*value = fallback
		}
	}
	s := &Source{opts: o, deps: d, changes: make(chan change, 16), health: newHealth(d.Scope, component)}
	eve := filepath.Join(o.Dir, "eve", "eve.json")
	s.live = engine.NewLive(engine.LiveOptions{
		Dir: o.Dir, Eve: filepath.Dir(eve),
		Config: engine.Config{Interface: o.Interface, HomeNet: o.HomeNet, ExternalNet: o.ExternalNet},
		Rules:  d.Rules, Find: d.Find,
		// A torn last line must not have the next engine's first one behind it.
		BeforeStart: func() error { return setAside(eve) },
		Watching:    func(adopted bool) { s.changed(change{watching: true, adopted: adopted, at: time.Now()}) },
		Ended: func(reason string, watched bool) {
			s.changed(change{watched: watched, at: time.Now(), reason: reason})
		},
	}, d.Scope.Logger())
	var err error
	s.tail, err = tail.New(tail.Options{
		Component: component + "_eve", Path: eve, Bookmark: filepath.Join(o.Dir, "bookmark.json"),
		Prefix: "suricata:eve", Topic: o.Topic, Key: o.Sensor, Owned: true, Line: s.health.see,
	}, tail.Deps{Log: d.Log, Origins: d.Origins, Scope: d.Scope})
	return s, err
}

// changed hands a change over; the loop that takes them waits for the log at
// times, so there is room for some.
func (s *Source) changed(c change) {
	select {
	case s.changes <- c:
	default:
		s.deps.Scope.Logger().Warn("a change of the engine's state is not noted", "watching", c.watching)
	}
}

// Run watches until ctx ends. Then it stops the engine, waits until that has
// written out what it saw, appends that, and returns.
func (s *Source) Run(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(s.opts.Dir, "eve"), 0o700); err != nil {
		return fmt.Errorf("making the sensor's folder: %w", err)
	}
	if len(s.opts.HomeNet) == 0 {
		nets, err := engine.HomeNet(s.opts.Interface)
		if err != nil {
			return err
		}
		s.live.SetHomeNet(nets)
	}
	s.health.register(s.deps.Scope)
	s.deps.Scope.Set(component, obs.Starting, "the engine loads its rules")

	// The tail outlives the engine, so that it sees the engine's last lines.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, 4)
	var engineSide, tailSide sync.WaitGroup
	run := func(wg *sync.WaitGroup, ctx context.Context, part func(context.Context) error) {
		wg.Go(func() {
			if err := part(ctx); err != nil {
				errs <- err
				cancel()
			}
		})
	}
	run(&tailSide, reading, s.tail.Run)
	run(&engineSide, ctx, s.live.Run)
	run(&engineSide, ctx, s.watchLoop)
	run(&engineSide, ctx, s.careLoop)
	engineSide.Wait()
	stopReading()
	tailSide.Wait()
	close(errs)
	return <-errs
}

// careEvery is the rhythm in which size, disk and health are looked at.
const careEvery = time.Second

// careLoop rotates the EVE file, minds the disk and reports health.
func (s *Source) careLoop(ctx context.Context) error {
	tick := time.NewTicker(careEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		stored := s.tail.Status()
		s.mindDisk()
		s.rotate(ctx, stored)
		level, message := s.judge(stored)
		s.deps.Scope.Set(component, level, message)
	}
}

// rotate begins a new EVE file when the present one is large. While the log
// takes nothing it does not: more files would not help.
func (s *Source) rotate(ctx context.Context, stored tail.Status) {
	eve := filepath.Join(s.opts.Dir, "eve", "eve.json")
	info, err := os.Stat(eve)
	if err != nil {
		// Renamed, and the engine has not been told: the program was killed in
		// between. An engine that finds nothing has no file either.
		if older, _ := filepath.Glob(eve + ".*"); len(older) > 0 && s.live.Status().State == engine.LiveWatching {
			s.reopen(ctx)
		}
		return
	}
	if info.Size() < s.opts.RotateAt || stored.Backlog > max(s.opts.RotateAt, s.opts.Budget) || s.live.Status().State != engine.LiveWatching {
		return
	}
	if err := setAside(eve); err != nil {
		s.deps.Scope.Logger().Warn("EVE file is not rotated", "error", err)
		return
	}
	s.reopen(ctx)
}

func (s *Source) reopen(ctx context.Context) {
	if err := s.live.Reopen(ctx); err != nil {
		// The engine goes on writing to the renamed file, which is read on; it
		// is told again until there is a new one.
		s.deps.Scope.Logger().Warn("engine does not open a new EVE file, will retry", "error", err)
	}
}

// setAside renames the EVE file, if there is one, to the next of its older
// names.
func setAside(eve string) error {
	switch info, err := os.Stat(eve); {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err == nil && info.Size() == 0:
		return nil
	}
	name := fmt.Sprintf("%s.%s", eve, time.Now().UTC().Format("20060102T150405.000000"))
	if err := os.Rename(eve, name); err != nil {
		return fmt.Errorf("setting the EVE file aside: %w", err)
	}
	return nil
}

// mindDisk stops the engine before a full disk makes it lose lines without a
// word: an unwatched time that is told is better than one that is not.
func (s *Source) mindDisk() {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.opts.Dir, &fs); err != nil {
		return
	}
	free := int64(fs.Bavail) * fs.Bsize
	paused := s.live.Status().State == engine.LivePaused
	switch {
	case free < s.opts.MinFree && !paused:
		reason := fmt.Sprintf("the disk is full: %d MiB are free", free>>20)
		s.deps.Scope.Logger().Error("engine is stopped", "reason", reason)
		s.changed(change{watched: true, at: time.Now(), reason: reason})
		s.live.Pause(reason)
	case free > s.opts.MinFree+s.opts.MinFree/4 && paused:
		s.live.Resume()
	}
}

// judge says how the sensor is.
func (s *Source) judge(stored tail.Status) (obs.Level, string) {
	live := s.live.Status()
	switch live.State {
	case engine.LivePaused:
		return obs.Failed, "nothing is watched: " + live.Problem
	case engine.LiveWaiting:
		return obs.Failed, "nothing is watched, the engine is started again soon: " + live.Problem
	case engine.LiveStarting, engine.LiveStopped:
		return obs.Starting, "the engine loads its rules"
	}
	var problems []string
	if p := s.health.problem(); p != "" {
		problems = append(problems, p)
	}
	if stored.Backlog > s.opts.Budget {
		problems = append(problems, fmt.Sprintf("%d MiB wait for the log", stored.Backlog>>20))
	}
	if live.Rules.Loaded == 0 {
		problems = append(problems, "no rules are loaded")
	}
	if len(problems) > 0 {
		return obs.Degraded, strings.Join(problems, "; ")
	}
	return obs.OK, ""
}

// Status is how the sensor stands.
type Status struct {
	Engine engine.LiveStatus `json:"engine"`
	Eve    tail.Status       `json:"eve"`
	Totals engine.Stats      `json:"totals"` // since the engine started
	Recent engine.Stats      `json:"recent"` // in the last minute
}

// Status returns how the sensor stands.
func (s *Source) Status() Status {
	totals, recent := s.health.read()
	return Status{Engine: s.live.Status(), Eve: s.tail.Status(), Totals: totals, Recent: recent}
}

// Reload has the engine load the rules anew while it watches.
func (s *Source) Reload(ctx context.Context) (engine.RuleStats, error) { return s.live.Reload(ctx) }

// Sync returns when every line written before the call is on the log.
func (s *Source) Sync(ctx context.Context) error { return s.tail.Sync(ctx) }
