package main

import (
	"fmt"
	"runtime"

	"github.com/decodersring/decoder/internal/app"
)

type versionCmd struct {
	JSON bool `help:"As one object."`
}

func (c *versionCmd) Run(io streams) error {
	if c.JSON {
		return printJSON(io.out, map[string]any{"version": version, "go": runtime.Version(), "data_format": app.Format})
	}
	fmt.Fprintf(io.out, "decoder %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
