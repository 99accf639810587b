package main

import (
	"context"
	"errors"
	"io"
	"os"
	"time"

	"github.com/decodersring/decoder/internal/api/control"
)

// pause waits a moment before an instance is looked for again.
func pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(100 * time.Millisecond):
		return nil
	}
}

// awaitInstance waits until an instance runs on the data folder.
func awaitInstance(ctx context.Context, g *globals) (*control.Client, error) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := control.Dial(ctx, g.dir())
		if err == nil || !errors.Is(err, control.ErrNoInstance) {
			return c, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// isTerminal reports whether w is a terminal that a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0
}
