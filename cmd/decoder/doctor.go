package main

import (
	"context"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/app"
	"github.com/decodersring/decoder/internal/doctor"
)

type doctorCmd struct {
	Observe time.Duration `help:"How long to watch the interface for the traffic of other machines." default:"5s"`
	JSON    bool          `help:"One finding a line."`
}

func (c *doctorCmd) Run(ctx context.Context, g *globals, io streams) error {
	conf, err := g.config()
	if err != nil {
		return err
	}
	o := doctor.Options{Data: g.dir(), Interface: conf.Sensor.Interface, Observe: c.Observe}
	if !app.Running(g.dir()) { // else the ports are taken, by the instance
		o.Listen = []string{conf.Listen.Host, conf.Bus.Listen.Host}
	}
	findings := doctor.Run(ctx, o)
	for _, f := range findings {
		if c.JSON {
			if err := printJSON(io.out, f); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintf(io.out, "%-4s  %-15s  %s\n", f.Level, f.Check, clean(f.Message))
		if f.Mend != "" {
			fmt.Fprintf(io.out, "      %-15s  → %s\n", "", clean(f.Mend))
		}
	}
	if doctor.Worst(findings) == doctor.Fail {
		return errNamed
	}
	return nil
}
