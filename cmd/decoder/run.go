package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/decodersring/decoder/internal/app"
)

type runCmd struct {
	Stages []string `arg:"" help:"Stages: normalise, detect, jsonify, hygiene, or of one's own; or a sink: elastic, notify-NAME."`
	Listen string   `help:"Address of metrics and health, http://HOST:PORT, without a sign-in; port 0 takes a free one (default: metrics.listen of the configuration, else none)." placeholder:"ADDRESS"`
}

// Run runs the stages until it is interrupted. Any number of such processes
// share the work of a stage, each with a data folder of its own.
func (c *runCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	if len(conf.Bus.Brokers) == 0 {
		return usagef("stages run as processes of their own on a cluster's log: set bus.brokers; on one machine decoder up runs them all")
	}
	if c.Listen != "" {
		if err := conf.Metrics.Listen.UnmarshalText([]byte(c.Listen)); err != nil {
			return usagef("--listen: %w", err)
		}
		if err := conf.Validate(); err != nil {
			return usageError{err}
		}
	}
	conf.Sensor.Capture = false
	a, err := app.New(app.Options{
		Data: g.dir(), Config: conf, Parts: app.Parts{Pipeline: true}, Only: c.Stages, Version: version, Stderr: io.err,
	})
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-a.Ready():
			fmt.Fprintf(io.err, "running %s on %s\n", strings.Join(c.Stages, ", "), strings.Join(conf.Bus.Brokers, ","))
			if url := a.Info().Metrics; url != "" {
				fmt.Fprintf(io.err, "metrics and health on %s\n", url)
			}
		case <-ctx.Done():
		}
	}()
	return a.Run(ctx)
}
