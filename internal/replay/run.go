package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/suricata"
)

// Run works on the jobs, one after the other, those of an earlier run first,
// until ctx ends. What it was doing then is done again by the next Run.
func (r *Replayer) Run(ctx context.Context) error {
	if err := r.load(); err != nil {
		return err
	}
	if err := r.workers.endLeftovers(); err != nil {
		return fmt.Errorf("ending earlier capture workers: %w", err)
	}
	defer r.workers.endAll()
	r.deps.Scope.Set(component, obs.OK, "")
	idle := time.NewTicker(time.Minute)
	defer idle.Stop()
	for {
		id, changed := r.next()
		if id != "" {
			if err := r.runJob(ctx, id); err != nil && ctx.Err() == nil {
				// The data folder cannot be written: a full disk, as a rule.
				r.deps.Scope.Set(component, obs.Failed, err.Error())
				r.deps.Scope.Logger().Error("replay job cannot go on, will retry", "job", id, "error", err)
				r.pause(ctx)
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			r.deps.Scope.Set(component, obs.OK, "")
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-idle.C:
			r.workers.endIdle()
		}
	}
}

const retryJob = 15 * time.Second

func (r *Replayer) pause(ctx context.Context) {
	t := time.NewTimer(retryJob)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (r *Replayer) next() (string, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range r.order {
		if r.jobs[id].State != Done {
			return id, r.changed
		}
	}
	return "", r.changed
}

// runJob takes a job to its end. It returns an error only when ctx ended or the
// data folder cannot be written; then the job is as if the program had ended.
func (r *Replayer) runJob(ctx context.Context, id string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	j := r.update(id, func(j *Job) {
		if j.State == Queued {
			j.State = Running
		}
		r.running, r.cancel = id, cancel
	})
	defer r.update(id, func(*Job) { r.running = "" })
	if j.State == Done {
		return nil // called off a moment ago
	}
	rules, err := r.rules(j)
	if err != nil {
		return r.finish(id, err)
	}
	err = r.work(ctx, cancel, id, rules)
	if errors.Is(context.Cause(ctx), errCancelled) {
		return r.finish(id, errCancelled)
	}
	return err
}

// work reads and feeds every capture of a job, and finishes it.
func (r *Replayer) work(ctx context.Context, cancel context.CancelCauseFunc, id string, rules suricata.RuleSet) error {
	// The engine reads on while the log takes what it found: one capture
	// ahead, so that what waits on disk is bounded.
	ready := make(chan int, 1)
	fedAll := make(chan error, 1)
	go func() {
		var err error
		for i := range ready {
			if err = r.feedCapture(ctx, id, i); err != nil {
				cancel(err)
				break
			}
		}
		for range ready {
		}
		fedAll <- err
	}()
	err := r.readAll(ctx, id, rules, ready)
	close(ready)
	if feedErr := <-fedAll; feedErr != nil {
		return feedErr
	}
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		return r.finish(id, err)
	}
	return r.finish(id, nil)
}

// readAll has the engine read every capture that is not done, and sends its
// index on. An error is the whole job's.
func (r *Replayer) readAll(ctx context.Context, id string, rules suricata.RuleSet, ready chan<- int) error {
	j, _, err := r.snapshot(id)
	if err != nil {
		return err
	}
	for i := range j.Captures {
		if j.Captures[i].State == Done {
			continue
		}
		var m meta
		err := readJSON(filepath.Join(r.captureDir(id, i, "done"), "meta.json"), &m)
		_, damaged := errors.AsType[*json.SyntaxError](err)
		switch {
		case err == nil: // read by an earlier run
			r.update(id, func(j *Job) { j.Captures[i].SHA256 = m.Capture.SHA256 })
		case damaged || errors.Is(err, fs.ErrNotExist):
			err = r.readCapture(ctx, id, i, rules)
		}
		if err != nil {
			return err
		}
		select {
		case ready <- i:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (r *Replayer) captureDir(id string, i int, state string) string {
	return filepath.Join(r.jobDir(id), fmt.Sprintf("%06d.%s", i, state))
}

// feedCapture appends what the engine found in a capture, notes that in
// job.json, and only then removes it.
func (r *Replayer) feedCapture(ctx context.Context, id string, i int) error {
	dir := r.captureDir(id, i, "done")
	var m meta
	if err := readJSON(filepath.Join(dir, "meta.json"), &m); err != nil {
		return err
	}
	found := m.Found
	if !m.Known {
		var err error
		if found, err = r.feed(ctx, dir, m); err != nil {
			if errors.Is(context.Cause(ctx), errCancelled) {
				err = errors.Join(err, r.abandon(m))
			}
			return err
		}
	}
	if err := r.remember(m, found); err != nil {
		return err
	}
	j := r.update(id, func(j *Job) {
		c := m.Capture
		c.State, c.Events, c.Alerts = Done, found.Events, found.Alerts
		if found.Refused > 0 && c.Error == "" {
			c.Error = fmt.Sprintf("%d events are refused by the log", found.Refused)
		}
		j.Captures[i] = c
		if !j.Rules.known() {
			j.Rules.Loading = m.Loading
		}
		if j.Ends == nil {
			j.Ends = map[int32]int64{}
		}
		for p, end := range found.Ends {
			j.Ends[p] = max(j.Ends[p], end)
		}
	})
	if err := writeJob(r.jobDir(id), j); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

// finish marks a job as done; cause is why nothing more of it can be done.
func (r *Replayer) finish(id string, cause error) error {
	now := time.Now().UTC()
	done := func(j *Job) {
		if j.State == Done {
			return // called off when all was done
		}
		j.State, j.Finished = Done, now
		if cause == nil {
			return
		}
		j.Error = cause.Error()
		for i := range j.Captures {
			if c := &j.Captures[i]; c.State != Done {
				c.State, c.Error = Done, "not replayed"
			}
		}
	}
	// On disk first: who waits may end the program on being told.
	j, _, err := r.snapshot(id)
	if err != nil {
		return err
	}
	done(&j)
	if err := writeJob(r.jobDir(id), j); err != nil {
		return err
	}
	if left, err := filepath.Glob(filepath.Join(r.jobDir(id), "*")); err == nil {
		for _, path := range left {
			if filepath.Base(path) != "job.json" {
				_ = os.RemoveAll(path)
			}
		}
	}
	r.update(id, done)
	r.forget()
	return nil
}

// forget drops the oldest finished jobs beyond those to keep.
func (r *Replayer) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	finished := 0
	for _, id := range slices.Backward(slices.Clone(r.order)) {
		if r.jobs[id].State != Done {
			continue
		}
		if finished++; finished <= r.opts.KeepJobs {
			continue
		}
		_ = os.RemoveAll(r.jobDir(id))
		delete(r.jobs, id)
		r.order = slices.DeleteFunc(r.order, func(x string) bool { return x == id })
	}
}

// rules returns the rules of a job: its own, or the configured ones.
func (r *Replayer) rules(j Job) (suricata.RuleSet, error) {
	configured, err := r.deps.Rules()
	if err != nil || !j.Rules.Own {
		return configured, err
	}
	own, err := filepath.Glob(filepath.Join(r.jobDir(j.ID), "rules", "*.rules"))
	if err == nil && len(own) == 0 {
		err = errors.New("the job's rules are gone")
	}
	configured.Files, configured.Threshold = own, ""
	return configured, err
}
