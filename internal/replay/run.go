package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/decodersring/decoder/internal/atomicfile"
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
			if err := r.runJob(ctx, id); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
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
// data folder cannot be written.
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
	if context.Cause(ctx) == errCancelled {
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
		if _, err := os.Stat(r.captureDir(id, i, "done")); err != nil {
			if err := r.readCapture(ctx, id, i, rules); err != nil {
				return err
			}
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

// readCapture leaves the folder <i>.done, also for a capture that cannot be
// read. An error is the whole job's.
func (r *Replayer) readCapture(ctx context.Context, id string, i int, rules suricata.RuleSet) error {
	j := r.update(id, func(j *Job) { j.Captures[i].State = Running })
	c := j.Captures[i]
	run := r.captureDir(id, i, "run")
	if err := os.RemoveAll(run); err != nil {
		return fmt.Errorf("discarding an unfinished capture: %w", err)
	}
	if err := os.MkdirAll(run, 0o700); err != nil {
		return fmt.Errorf("making a folder for a capture: %w", err)
	}
	m := meta{Capture: c}
	if err := r.readInto(ctx, id, run, &m, rules); err != nil {
		return err
	}
	if err := atomicfile.WriteJSON(filepath.Join(run, "meta.json"), m); err != nil {
		return err
	}
	if err := syncFile(filepath.Join(run, "eve.json")); err != nil {
		return fmt.Errorf("syncing an EVE file: %w", err)
	}
	if err := os.Rename(run, r.captureDir(id, i, "done")); err != nil {
		return fmt.Errorf("marking a capture as read: %w", err)
	}
	return atomicfile.SyncDir(r.jobDir(id))
}

// readInto looks at the capture and has the engine read it. What is wrong with
// the capture is left in m; an error is the whole job's.
func (r *Replayer) readInto(ctx context.Context, id, run string, m *meta, rules suricata.RuleSet) error {
	c := &m.Capture
	unpacked := filepath.Join(run, "unpacked")
	s, err := inspect(c.Path, r.opts.MaxUnpacked, func() (io.WriteCloser, error) {
		return os.OpenFile(unpacked, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	})
	defer os.Remove(unpacked)
	c.SHA256, c.Size = s.SHA256, max(s.Size, c.Size)
	if err != nil {
		c.Error = reason(err)
		return nil
	}
	if s.Broken != nil {
		c.Error = s.Broken.Error()
	}
	if s.Packets == 0 {
		return nil // the engine calls a capture without packets an error
	}
	if err := r.room(s.Size); err != nil {
		c.Error = err.Error()
		return nil
	}
	hash, err := r.workers.hash(ctx, rules)
	if err != nil {
		return err
	}
	before, known, err := r.known(ctx, s.SHA256, hash)
	if err != nil {
		return err
	}
	m.Rules, m.Round, m.Origin = hash, before.Round, originOf(s.SHA256, hash, before.Round)
	if known {
		m.Known, m.Found, c.Packets = true, recall(before), before.Packets
		return nil
	}
	path := c.Path
	if s.Gzipped {
		path = unpacked
	}
	complaints, err := r.engineRead(ctx, id, path, run, rules)
	if crash, ok := errors.AsType[*suricata.CrashError](err); ok {
		c.Error = crash.Error()
		// What it wrote before it ended is not the whole; nothing is fed.
		_ = os.Remove(filepath.Join(run, "eve.json"))
		return nil
	}
	if refused, ok := errors.AsType[*suricata.RefusedError](err); ok {
		c.Error = refused.Message
		return nil
	}
	if err != nil {
		return err
	}
	if err := r.room(0); err != nil {
		// The engine says nothing of lines it could not write.
		_ = os.Remove(filepath.Join(run, "eve.json"))
		c.Error = err.Error()
		return nil
	}
	c.Packets, err = packetsRead(filepath.Join(run, "eve.json"))
	if err != nil {
		c.Error = reason(err)
		return nil
	}
	if c.Packets < s.Packets {
		c.Error = incomplete(s, c.Packets, complaints)
	}
	return nil
}

// room says whether the disk takes what a capture of that size may give.
func (r *Replayer) room(size int64) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(r.opts.Dir, &fs); err != nil {
		return fmt.Errorf("asking for free disk: %w", err)
	}
	free := int64(fs.Bavail) * fs.Bsize
	if need := r.opts.MinFree + 2*size; free < need {
		return fmt.Errorf("disk is full: %d MiB are free, %d MiB are needed", free>>20, need>>20)
	}
	return nil
}

// incomplete says why the engine read fewer packets than there are.
func incomplete(s shape, read int64, complaints []string) string {
	if types := unread(s.LinkTypes); read == 0 && len(types) > 0 {
		return "Suricata does not read link type " + strings.Join(types, ", ")
	}
	if len(s.LinkTypes) > 1 {
		return fmt.Sprintf("%d of %d packets read: the capture mixes link types %v", read, s.Packets, s.LinkTypes)
	}
	text := fmt.Sprintf("%d of %d packets read", read, s.Packets)
	if len(complaints) > 0 {
		text += ": " + complaints[0]
	}
	return text
}

// engineRead gives the capture to a warm worker, and to a second one when the
// first crashes on it.
func (r *Replayer) engineRead(ctx context.Context, id, path, run string, rules suricata.RuleSet) (complaints []string, err error) {
	for attempt := 0; attempt < 2; attempt++ {
		var w *suricata.Worker
		w, err = r.workers.get(ctx, rules)
		if err != nil {
			return nil, err
		}
		r.noteRules(ctx, id, w)
		_ = os.Remove(filepath.Join(run, "eve.json"))
		complaints, err = w.Read(ctx, path, run)
		if _, crashed := errors.AsType[*suricata.CrashError](err); !crashed {
			return complaints, err
		}
		r.deps.Scope.Logger().Warn("engine crashed on a capture", "capture", path, "attempt", attempt+1, "error", err)
	}
	return nil, err
}

// noteRules keeps, once a job, how many rules its engine has.
func (r *Replayer) noteRules(ctx context.Context, id string, w *suricata.Worker) {
	if j, _, err := r.snapshot(id); err != nil || j.Rules.Loaded+j.Rules.Failed > 0 {
		return
	}
	s, err := w.RuleStats(ctx)
	if err != nil {
		return
	}
	r.update(id, func(j *Job) { j.Rules.Loaded, j.Rules.Failed = s.Loaded, s.Failed })
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
			if context.Cause(ctx) == errCancelled {
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
