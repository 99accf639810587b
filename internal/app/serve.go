package app

import (
	"context"
	"fmt"
	"os"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/api/control"
	"github.com/decodersring/decoder/internal/config"
	"github.com/decodersring/decoder/internal/state"
	"github.com/decodersring/decoder/web"
)

// Running reports whether an instance answers on the data folder.
func Running(data string) bool {
	c, err := control.Dial(context.Background(), data)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

// openDB opens a database of the folder state, and closes it in its turn.
func (a *App) openDB(ctx context.Context, s state.Schema) (*state.DB, error) {
	if err := os.MkdirAll(a.path("state"), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of databases: %w", err)
	}
	db, err := state.Open(ctx, a.path("state"), s)
	if err != nil {
		return nil, err
	}
	a.life.start("database "+s.Name, until(db.Close))
	return db, nil
}

// startAPI opens the control socket, and the port that browsers use.
func (a *App) startAPI(ctx context.Context) error {
	deps := api.Deps{Health: &a.health, Metrics: a.metrics, Version: a.version(), Config: printer{a.options.Config}}
	if a.store != nil {
		deps.Store = a.store
	}
	if a.bus != nil {
		deps.Log, deps.Clients, deps.Status, deps.Elsewhere = a.bus, a.clients, a.clients.Status, a.elsewhere
	}
	if a.inbox != nil { // else chosen clients run here, and nothing else
		deps.Inbox = a.inbox
		deps.Replays = a.replays
		deps.Reruns = a.reruns
		deps.SelfTest = selfTest{a}
		deps.Sensors = a.watchers
		deps.Services = a.services
		deps.Rules = ruleSet{a.rules, a.rulesLoaded}
		deps.Notify = a.told
	}
	page := a.options.Config.Page
	options := api.Options{SocketDir: a.options.Data, Hosts: page.Hosts, CertFile: page.Cert, KeyFile: page.Key}
	if a.options.Parts.Web || len(a.options.Only) > 0 {
		options.Probes = a.options.Config.Metrics.Listen.String()
	}
	if a.options.Parts.Web {
		if err := a.web(ctx, &options, &deps); err != nil {
			return err
		}
	}
	server, err := api.New(options, deps, a.scope("api"))
	if err != nil {
		return err
	}
	a.life.start("api", server.Run)
	if err := a.life.ready(ctx, "api", server.Ready()); err != nil {
		return cannotListen(err, "--listen", "listen")
	}
	a.info.Address, a.info.Metrics = server.URL(), server.ProbesURL()
	return nil
}

// web adds what only browsers need: users, and the page.
func (a *App) web(ctx context.Context, o *api.Options, d *api.Deps) error {
	users, err := a.openDB(ctx, api.Schema())
	if err != nil {
		return err
	}
	if a.info.Password, err = api.FirstPassword(ctx, users); err != nil {
		return err
	}
	if d.UI, err = web.Handler(); err != nil {
		return err
	}
	d.State = users
	o.Listen = a.options.Config.Listen.String()
	return nil
}

// printer prints the configuration in force.
type printer struct{ config Config }

// Print implements api.Config.
func (p printer) Print() (string, error) {
	text, err := config.Print(p.config)
	return string(text), err
}

// rulesLoaded is how many rules the watching engine has loaded.
func (a *App) rulesLoaded() int {
	if a.source == nil {
		return 0
	}
	return a.source.Status().Engine.Rules.Loaded
}
