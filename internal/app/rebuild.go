package app

import (
	"context"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
)

// rebuildable is the inbox together with the client that feeds it, which has
// to stand still while the view is emptied.
type rebuildable struct {
	*inbox.Inbox
	log      inbox.Bounds
	feed     func(context.Context) error
	requests chan chan error
}

func newRebuildable(view *inbox.Inbox, log inbox.Bounds, feed func(context.Context) error) *rebuildable {
	return &rebuildable{Inbox: view, log: log, feed: feed, requests: make(chan chan error)}
}

// Run feeds the view until ctx ends, and from the beginning of the log again
// whenever a rebuild is asked for.
func (r *rebuildable) Run(ctx context.Context) error {
	for {
		feeding, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- r.feed(feeding) }()
		select {
		case err := <-done:
			stop()
			return err
		case begun := <-r.requests:
			stop()
			err := <-done
			if err == nil {
				err = r.Reset(ctx)
			}
			begun <- err
			if err != nil {
				return err
			}
		}
	}
}

// Rebuild implements api.Inbox: it returns when the view holds again all that
// the log held when it was asked.
func (r *rebuildable) Rebuild(ctx context.Context) error {
	begun := make(chan error, 1)
	select {
	case r.requests <- begun:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-begun:
		if err != nil {
			return err
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, topic := range inbox.Topics() {
		bounds, err := r.log.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		for n, span := range bounds {
			if err := r.caughtUp(ctx, bus.Partition{Topic: topic, Partition: n}, span); err != nil {
				return err
			}
		}
	}
	return nil
}

// caughtUp returns when the view has the partition up to the end of the span.
func (r *rebuildable) caughtUp(ctx context.Context, p bus.Partition, span bus.Span) error {
	for span.To > span.From {
		next, _, err := r.Resume(ctx, p)
		if err != nil || next >= span.To {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the inbox to be built: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}
