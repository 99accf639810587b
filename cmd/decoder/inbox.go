package main

import (
	"context"
	"fmt"
)

type inboxCmd struct {
	Rebuild inboxRebuildCmd `cmd:"" help:"Empty the inbox and build it again from the log."`
}

type inboxRebuildCmd struct{}

func (c *inboxRebuildCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.RebuildInbox(ctx); err != nil {
		return err
	}
	fmt.Fprintln(io.err, "the inbox is built again from the log")
	return nil
}
