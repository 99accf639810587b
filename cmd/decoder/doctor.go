package main

import "context"

type doctorCmd struct{}

func (c *doctorCmd) Run(ctx context.Context, g *globals, io streams) error { return nil }
