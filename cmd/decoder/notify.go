package main

import (
	"context"
	"fmt"

	"github.com/decodersring/decoder/internal/api"
)

type notifyCmd struct {
	List notifyListCmd `cmd:"" default:"withargs" help:"List who is told of alerts, and how that stands."`
	Test notifyTestCmd `cmd:"" help:"Send a trial message."`
}

type notifyListCmd struct {
	JSON bool `help:"One destination a line."`
}

func (c *notifyListCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	all, err := client.Destinations(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 && !c.JSON {
		fmt.Fprintln(io.err, "nobody is told of alerts: name somebody under notify in the configuration")
		return nil
	}
	return list(io.out, c.JSON, all, "NAME KIND SEVERITY TOLD WAITING ERROR", func(d api.Destination) []string {
		return []string{d.Name, d.Kind, d.Severity, local(d.Told), number(d.Waiting), firstLine(d.Error)}
	})
}

type notifyTestCmd struct {
	Name string `arg:"" help:"As the list names it."`
}

func (c *notifyTestCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	refused, err := client.TestDestination(ctx, c.Name)
	switch {
	case err != nil:
		return asUsage(err)
	case refused != "":
		return fmt.Errorf("telling %s: %s", c.Name, firstLine(refused))
	}
	fmt.Fprintf(io.err, "%s has taken a trial message\n", c.Name)
	return nil
}
