package app

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/rules"
	source "github.com/decodersring/decoder/internal/source/suricata"
	engine "github.com/decodersring/decoder/internal/suricata"
)

// watcher is a sensor at work, of our own or of somebody else's Suricata.
type watcher struct {
	name, kind string
	status     func() source.Status
}

// sensorName names what this instance watches with.
func (a *App) sensorName() string {
	if name := a.options.Config.Sensor.Name; name != "" {
		return name
	}
	name, err := os.Hostname()
	if err != nil {
		return "sensor"
	}
	return name
}

// chooseInterface settles what is watched and what is home, before anything is
// started: without the right to capture there is nothing to start for.
func (a *App) chooseInterface(context.Context) (err error) {
	c := a.options.Config.Sensor
	for _, p := range c.HomeNet {
		a.home = append(a.home, p.Prefix)
	}
	a.watched = c.Interface
	if c.Capture && a.options.Parts.Sensor {
		if a.watched == "" {
			if a.watched, err = engine.DefaultInterface(); err != nil {
				return err
			}
		}
		if err := engine.CheckCapture(a.watched); err != nil {
			return err
		}
	}
	if a.home == nil && a.watched != "" {
		nets, err := engine.HomeNet(a.watched)
		if err != nil {
			return err
		}
		a.home = decode.Home(nets)
	}
	if a.home == nil {
		a.home = decode.PrivateNetworks()
	}
	return nil
}

// startSensor starts the rules, what watches the network, and replays.
func (a *App) startSensor(ctx context.Context) error {
	var err error
	a.rules, err = rules.New(rules.Options{
		Dir: a.path("rules"), Sources: a.options.Config.Rules.Sources, Local: a.options.Config.Rules.Files,
	}, rules.Deps{Scope: a.scope("rules"), Reload: a.reload})
	if err != nil {
		return err
	}
	if err := a.rules.Prepare(ctx); err != nil {
		return err
	}
	if a.options.Parts.Sensor {
		if err := a.startWatching(); err != nil {
			return err
		}
		a.life.start("rules", a.rules.Run)
	}
	return a.startReplays(a.rules.RuleSet)
}

// reload has the watching engine load the rules anew.
func (a *App) reload(ctx context.Context) (engine.RuleStats, error) {
	if a.source == nil {
		return engine.RuleStats{}, engine.ErrNotWatching
	}
	return a.source.Reload(ctx)
}

func (a *App) startWatching() (err error) {
	deps := source.Deps{Log: a.bus, Origins: a.bus, Scope: a.scope("sensor"), Rules: a.rules.RuleSet}
	options := source.Options{
		Dir: a.path("sensor"), Topic: bus.TopicSuricata, Sensor: a.sensorName(),
		Interface: a.watched, HomeNet: []netip.Prefix(a.home), MinFree: int64(a.options.Config.Disk.Free) / 2,
	}
	a.info.Interface = "none: only replays and other sensors"
	if a.options.Config.Sensor.Capture {
		if a.source, err = source.New(options, deps); err != nil {
			return err
		}
		a.life.start("sensor", a.source.Run)
		a.watchers = append(a.watchers, watcher{options.Sensor, "suricata", a.source.Status})
		a.info.Interface = a.watched
	}
	for i, eve := range a.options.Config.Sensor.EVE {
		o := options
		o.Dir = a.path("sensor", "eve-"+strconv.Itoa(i))
		f, err := source.NewFollower(eve, o, deps)
		if err != nil {
			return err
		}
		a.life.start("follower of "+eve, f.Run)
		a.watchers = append(a.watchers, watcher{filepath.Base(eve), "suricata eve file", f.Status})
	}
	s := a.rules.Status()
	a.info.Rules = strconv.Itoa(s.Enabled)
	if s.Starter {
		a.info.Rules += ", the starter set"
	}
	if s.Starter && (a.options.Config.Rules.Sources == nil || slices.Contains(a.options.Config.Rules.Sources, rules.EmergingThreatsOpen)) {
		a.info.Rules += "; Emerging Threats Open is fetched when it can be reached"
	}
	return nil
}

// sensors shows what watches as the API does.
type sensors []watcher

// Sensors implements api.Sensors.
func (s sensors) Sensors(context.Context) ([]api.Sensor, error) {
	out := make([]api.Sensor, len(s))
	for i, w := range s {
		st := w.status()
		sensor := api.Sensor{
			Name: w.name, Kind: w.kind, Level: obs.OK, Message: st.Recent.Problem(), Interface: st.Engine.Interface,
			Last: st.Eve.Last, Packets: uint64(st.Totals.Packets), Drops: uint64(st.Totals.KernelDrops),
			Rules: st.Engine.Rules.Loaded, Version: st.Engine.Version,
		}
		if st.Recent.Packets > 0 {
			sensor.DropRatio = float64(st.Recent.KernelDrops) / float64(st.Recent.Packets+st.Recent.KernelDrops)
		}
		switch {
		case st.Engine.State == engine.LiveStarting:
			sensor.Level, sensor.Message = obs.Starting, "loading its rules; nothing is watched until then"
		case st.Engine.Problem != "":
			sensor.Level, sensor.Message = obs.Failed, st.Engine.Problem
		case sensor.Message != "":
			sensor.Level = obs.Degraded
		}
		out[i] = sensor
	}
	return out, nil
}

// ruleSet shows the rules as the API does.
type ruleSet struct {
	*rules.Set
	loaded func() int
}

const defaultRules = 100

// Rules implements api.Rules.
func (r ruleSet) Rules(_ context.Context, f api.RuleFilter) (api.RuleList, error) {
	all, err := r.List(f.Text, 0)
	if err != nil {
		return api.RuleList{}, err
	}
	st := r.Status()
	out := api.RuleList{Enabled: st.Enabled, Failed: len(st.Failed), Loaded: r.loaded(), Updated: st.Updated, Rules: []api.Rule{}}
	limit := f.Limit
	if limit == 0 {
		limit = defaultRules
	}
	for _, rule := range all {
		if f.Enabled != "" && (f.Enabled == "yes") != rule.Enabled {
			continue
		}
		out.Total++
		if out.Total > f.Offset && len(out.Rules) < limit {
			out.Rules = append(out.Rules, api.Rule{
				ID: strconv.Itoa(rule.ID), Revision: rule.Revision, Message: rule.Message, Class: rule.Class,
				Enabled: rule.Enabled, Text: rule.Text,
			})
		}
	}
	return out, nil
}

// Update implements api.Rules.
func (r ruleSet) Update(ctx context.Context, progress func(string)) (api.RuleUpdate, error) {
	before := r.Status()
	progress("fetching, merging and testing the rules; this takes a minute")
	report, err := r.Set.Update(ctx)
	if err != nil {
		return api.RuleUpdate{}, err
	}
	u := api.RuleUpdate{Total: report.Total, Enabled: report.Enabled, Loaded: report.Engine.Loaded > 0}
	u.Added, u.Removed = max(report.Total-before.Total, 0), max(before.Total-report.Total, 0)
	if n := len(report.Failed); n > 0 {
		u.Warning = fmt.Sprintf("%d rules are not loaded; the first is %d: %s", n, report.Failed[0].ID, report.Failed[0].Reason)
	}
	return u, nil
}

// Change implements api.Rules.
func (r ruleSet) Change(ctx context.Context, c api.RuleChange) (api.RuleUpdate, error) {
	ids := make([]int, len(c.Rules))
	for i, text := range c.Rules {
		id, err := strconv.Atoi(text)
		if err != nil {
			return api.RuleUpdate{}, api.BadRequest("%q is no signature id; patterns belong into enable.conf and disable.conf of the rules' folder", text)
		}
		ids[i] = id
	}
	change := r.Disable
	if c.Enable {
		change = r.Enable
	}
	if err := change(ctx, ids...); err != nil {
		if unknown, ok := errors.AsType[*rules.UnknownRulesError](err); ok {
			return api.RuleUpdate{}, api.NotFound("rule", unknown.Names())
		}
		return api.RuleUpdate{}, err
	}
	st := r.Status()
	return api.RuleUpdate{Total: st.Total, Enabled: st.Enabled, Modified: len(ids), Loaded: r.loaded() > 0}, nil
}
