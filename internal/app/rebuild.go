package app

import (
	"context"

	"github.com/decodersring/decoder/internal/inbox"
)

// rebuildable is the inbox together with the client that feeds it, which has
// to stand still while the view is emptied.
type rebuildable struct {
	*inbox.Inbox
	feed     func(context.Context) error
	requests chan chan error
}

func newRebuildable(view *inbox.Inbox, feed func(context.Context) error) *rebuildable {
	return &rebuildable{Inbox: view, feed: feed, requests: make(chan chan error)}
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

// Rebuild implements api.Inbox.
func (r *rebuildable) Rebuild(ctx context.Context) error {
	begun := make(chan error, 1)
	select {
	case r.requests <- begun:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-begun:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}
