package proc

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// Run runs a command to its end and returns what it wrote, standard output
// and standard error together, cut at a mebibyte. An error carries the last
// lines. Cancelling ctx stops the command.
func Run(ctx context.Context, c Command) (string, error) {
	var (
		out  bytes.Buffer
		last recent
		line = c.Line
	)
	c.Line = func(s string) {
		if out.Len() < maxOutput {
			out.WriteString(s)
			out.WriteByte('\n')
		}
		last.add(s)
		if line != nil {
			line(s)
		}
	}
	p, err := Start(c)
	if err != nil {
		return "", err
	}
	select {
	case <-p.Done():
	case <-ctx.Done():
		p.Stop(2 * time.Second)
		return out.String(), fmt.Errorf("running %s: %w", c.Path, ctx.Err())
	}
	if err := p.Err(); err != nil {
		return out.String(), fmt.Errorf("running %s %s: %w: %s", c.Path, strings.Join(c.Args, " "), err, last.String())
	}
	return out.String(), nil
}
