package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"
)

// part is a component at work: a name, what it runs, and how long it may take
// to stop.
type part struct {
	name string
	stop context.CancelFunc
	done chan error
}

// lifecycle starts parts one after the other and stops them in the reverse
// order, each before the one it leans on.
type lifecycle struct {
	log    *slog.Logger
	parts  []*part
	failed chan error // the first part that ended by itself
}

func newLifecycle(log *slog.Logger) *lifecycle {
	return &lifecycle{log: log, failed: make(chan error, 1)}
}

// start runs a blocking function as a part. Its context is not a child of the
// caller's: only stop ends it, in its turn.
func (l *lifecycle) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &part{name: name, stop: cancel, done: make(chan error, 1)}
	l.parts = append(l.parts, p)
	go func() {
		err := recovered(ctx, run)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended by itself")
			}
			select {
			case l.failed <- fmt.Errorf("%s: %w", name, err):
				err = nil // said there, and not again when the part is stopped
			default:
			}
		}
		p.done <- err
	}()
}

// recovered turns a panic into an error, so that the other parts are stopped
// in order.
func recovered(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return run(ctx)
}

// ready waits until the part's channel closes, or something fails first.
func (l *lifecycle) ready(ctx context.Context, name string, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case err := <-l.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("starting %s: %w", name, ctx.Err())
	}
}

// stopTimeout is how long one part may take to stop; it only catches a hang.
const stopTimeout = 60 * time.Second

// stop ends every part, last started first, and returns what they said, and
// what had failed before without anybody having asked.
func (l *lifecycle) stop() error {
	var errs []error
	for _, p := range slices.Backward(l.parts) {
		p.stop()
		select {
		case err := <-p.done:
			if err != nil && !errors.Is(err, context.Canceled) {
				errs = append(errs, fmt.Errorf("stopping %s: %w", p.name, err))
			}
		case <-time.After(stopTimeout):
			errs = append(errs, fmt.Errorf("stopping %s: no end after %s", p.name, stopTimeout))
		}
		l.log.Debug("part stopped", "part", p.name)
	}
	l.parts = nil
	select {
	case err := <-l.failed:
		errs = append(errs, err)
	default:
	}
	return errors.Join(errs...)
}
