package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestFailureOfAPartIsSaidOnce(t *testing.T) {
	broken := errors.New("the port is taken")
	fail := func(context.Context) error { return broken }
	t.Run("to who waits for it", func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		l.start("log", until(func() error { return nil }))
		l.start("api", fail)
		if err := l.ready(t.Context(), "api", make(chan struct{})); !errors.Is(err, broken) {
			t.Errorf("starting it gives %v", err)
		}
		if err := l.stop(); err != nil {
			t.Errorf("stopping says it again: %v", err)
		}
	})
	t.Run("when stopping, if nobody has asked", func(t *testing.T) {
		l := newLifecycle(slog.New(slog.DiscardHandler))
		l.start("api", fail)
		p := l.parts[0]
		p.done <- <-p.done // it has ended
		if err := l.stop(); err == nil || strings.Count(err.Error(), broken.Error()) != 1 {
			t.Errorf("stopping says %v", err)
		}
	})
}
