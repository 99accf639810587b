package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// lines writes a stream of JSON documents, one a line (application/x-ndjson).
// A write that makes no progress for streamWrite ends the stream, so that a
// reader who sleeps holds nothing for ever.
type lines struct {
	w       http.ResponseWriter
	control *http.ResponseController

	mu      sync.Mutex
	started bool
	dirty   bool
}

func (l *lines) emit(item any) error {
	b, err := encode(item)
	if err != nil {
		return fmt.Errorf("encoding line: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start()
	if err := l.deadline(); err != nil {
		return err
	}
	l.dirty = true
	if _, err := l.w.Write(b); err != nil {
		return fmt.Errorf("writing line: %w", err)
	}
	return nil
}

func (l *lines) start() {
	if l.started {
		return
	}
	l.started, l.dirty = true, true
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	l.w.Header().Set("Cache-Control", "no-store")
	l.w.WriteHeader(http.StatusOK)
}

func (l *lines) deadline() error {
	if err := l.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return fmt.Errorf("limiting write: %w", err)
	}
	return nil
}

// flushEvery sends what was written on at that pace, so that a slow stream
// arrives as it comes and a fast one in large pieces. It returns what stops it.
func (l *lines) flushEvery(ctx context.Context, d time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(d)
		defer tick.Stop()
		for first := true; ; first = false {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.flush(first)
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// flush sends what was written; the first one sends the header even of a
// stream that has no line yet, so that its reader knows it has begun.
func (l *lines) flush(first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if first {
		l.start()
	}
	if !l.dirty {
		return
	}
	l.dirty = false
	if l.deadline() == nil {
		_ = l.control.Flush() // an error shows at the next write
	}
}

// end closes the stream: with the error as its answer when nothing was sent,
// as its last line otherwise.
func (l *lines) end(ctx context.Context, err error) error {
	if !l.started {
		if err != nil && ctx.Err() == nil {
			return err
		}
		l.start()
	}
	if err != nil && ctx.Err() == nil {
		_ = l.emit(errorBody{asError(err)})
	}
	return nil
}
