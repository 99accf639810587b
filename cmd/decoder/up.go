package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/config"
)

type upCmd struct {
	Listen    string `help:"Address of browser page and API, http://HOST:PORT; port 0 takes a free one." placeholder:"ADDRESS"`
	Kafka     string `help:"Address of the embedded log, tcp://HOST:PORT; port 0 takes a free one." placeholder:"ADDRESS"`
	Interface string `short:"i" help:"Interface to watch instead of that of the default route." placeholder:"NAME"`
	NoCapture bool   `help:"Do not watch an interface: only replays, other sensors and producers."`
}

func (c *upCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := c.config(g)
	if err != nil {
		return err
	}
	mode := os.Getenv(app.WorkerEnv)
	if mode == "" {
		return supervise(ctx, conf, io)
	}
	a, err := app.New(app.Options{
		Data: g.dir(), Config: conf, Parts: app.AllParts, Version: version, Stderr: io.err,
		WithoutStore: mode == app.WithoutStore,
	})
	if err != nil {
		return workerExit{err: err}
	}
	go func() {
		select {
		case <-a.Ready():
			printScreen(app.NewScreen(io.out), a.Info())
		case <-ctx.Done():
		}
	}()
	err = a.Run(ctx)
	select {
	case <-a.Ready():
		return workerExit{err: err, ready: true}
	default:
		return workerExit{err: err}
	}
}

// config is the configuration with what the flags override.
func (c *upCmd) config(g *globals) (app.Config, error) {
	conf, err := g.config()
	if err != nil {
		return conf, err
	}
	for _, f := range []struct {
		flag, value string
		to          *config.Address
	}{{"--listen", c.Listen, &conf.Listen}, {"--kafka", c.Kafka, &conf.Bus.Listen}} {
		if f.value == "" {
			continue
		}
		if err := f.to.UnmarshalText([]byte(f.value)); err != nil {
			return conf, usagef("%s: %w", f.flag, err)
		}
	}
	if c.Interface != "" {
		conf.Sensor.Interface = c.Interface
	}
	if c.NoCapture {
		conf.Sensor.Capture = false
	}
	if err := errors.Join(conf.Validate(), conf.Bus.Validate()); err != nil {
		return conf, usageError{err}
	}
	return conf, nil
}

// supervise runs this command again as a worker.
func supervise(ctx context.Context, conf app.Config, io streams) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding the program itself: %w", err)
	}
	code, err := app.Supervise(ctx, self, os.Args[1:], io.out, io.err, app.Logger(conf.Log, io.err))
	if err != nil {
		return err
	}
	if code != exitDone {
		return exitError(code) // the worker has said why
	}
	return nil
}

// workerExit is how a worker ended: its supervisor tells by the status.
type workerExit struct {
	err   error
	ready bool
}

func (e workerExit) Error() string {
	if e.err == nil {
		return "ended in order"
	}
	return e.err.Error()
}

func (e workerExit) Unwrap() error { return e.err }

func printScreen(w io.Writer, i app.Info) {
	line := func(name, value string) { fmt.Fprintf(w, "  %-10s %s\n", name, value) }
	fmt.Fprintf(w, "\nDecoder Ring %s is watching.\n\n", version)
	line("address", i.Address)
	if i.Password != "" {
		line("sign in", "admin, first password "+i.Password)
	} else {
		line("sign in", "admin; forgotten: decoder password --generate")
	}
	line("interface", i.Interface)
	line("rules", i.Rules)
	if i.Metrics != "" {
		line("metrics", i.Metrics)
	}
	line("data", i.Data)
	line("log", i.Log)
	for _, n := range i.Notes {
		line("note", n)
	}
	fmt.Fprintln(w)
}
