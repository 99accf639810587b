package main

import (
	"context"
	"fmt"
)

type selftestCmd struct {
	JSON bool `help:"The result as one object."`
}

func (c *selftestCmd) Run(ctx context.Context, g *globals, io streams) error {
	client, err := g.instance(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := client.SelfTest(ctx, func(line string) { fmt.Fprintln(io.err, clean(line)) })
	if err != nil {
		return err
	}
	if c.JSON {
		if err := printJSON(io.out, r); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(io.out, clean(r.Text))
	}
	if !r.OK {
		return errNamed
	}
	return nil
}
