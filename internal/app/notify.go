package app

import (
	"context"
	"slices"
	"strings"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/sink/notify"
)

// notifySpecs are the clients that tell people of alerts: one a destination. A
// command that starts the pipeline for itself tells nobody; what it leaves is
// told by the instance that comes next.
func (a *App) notifySpecs(ctx context.Context) ([]client.Spec, error) {
	all := a.options.Config.Notify
	if a.options.Parts.Web && a.bus.Embedded() {
		a.forgetDestinations(ctx)
	}
	if len(all) == 0 || !a.options.Parts.Web && len(a.options.Only) == 0 {
		return nil, nil
	}
	db, err := a.openDB(ctx, notify.Schema())
	if err != nil {
		return nil, err
	}
	if why := db.Fresh(); why != "" {
		a.log.Warn("what was told is forgotten, and may be told again", "reason", why)
	}
	var specs []client.Spec
	for _, c := range all {
		secure, err := loadTLS(c.Client(), c.CA, "", "")
		if err != nil {
			return nil, err
		}
		sink, err := notify.New(c, notify.Deps{DB: db, Secure: secure, Page: a.options.Config.Page.URL, Scope: a.scope(c.Client())})
		if err != nil {
			return nil, err
		}
		a.told = append(a.told, sink)
		specs = append(specs, sink.Spec(a.options.Version))
	}
	return specs, nil
}

// forgetDestinations deletes the groups of destinations that are in the
// configuration no more: the log would keep for them what they will never read.
// On a cluster they may be another instance's.
func (a *App) forgetDestinations(ctx context.Context) {
	groups, err := a.bus.Groups(ctx)
	if err != nil {
		a.log.Warn("groups of former destinations are not looked for", "err", err)
	}
	for _, g := range groups {
		name, is := strings.CutPrefix(g.Name, "decoder-"+notify.Prefix)
		if !is || slices.ContainsFunc(a.options.Config.Notify, func(c notify.Config) bool { return c.Name == name }) {
			continue
		}
		if err := a.bus.DeleteGroup(ctx, g.Name); err != nil {
			a.log.Warn("group of a former destination is not deleted, will retry at the next start", "group", g.Name, "err", err)
		}
	}
}

// destinations answers the API.
type destinations []*notify.Sink

// Destinations implements api.Notify.
func (d destinations) Destinations(ctx context.Context) ([]api.Destination, error) {
	out := []api.Destination{}
	for _, sink := range d {
		s, err := sink.Status(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, api.Destination{
			Name: s.Name, Kind: s.Kind, Severity: s.Severity, Client: s.Client, Waiting: s.Waiting,
			Told: s.Told, Error: s.Error, Failed: s.Failed,
		})
	}
	return out, nil
}

// Test implements api.Notify.
func (d destinations) Test(ctx context.Context, name string) error {
	for _, sink := range d {
		if sink.Name() == name {
			return sink.Test(ctx)
		}
	}
	return api.NotFound("destination", name)
}
