package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/client/rerun"
)

// reruns runs stages again, as the API asks.
type reruns struct {
	app  *App
	runs *rerun.Reruns

	mu      sync.Mutex
	ctx     context.Context // nil: not started, or ended
	running map[string]*runningRerun
	stopped map[string]error // why runs that went on here no longer do
	tasks   sync.WaitGroup
}

// runningRerun is a run that goes on here.
type runningRerun struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

func (a *App) startReruns() {
	a.reruns = &reruns{app: a, runs: rerun.New(a.bus, a.clients), running: map[string]*runningRerun{}, stopped: map[string]error{}}
	a.life.start("reruns", a.reruns.Run)
}

// Run keeps what has been begun running until ctx ends; it can be continued in
// the next life.
func (r *reruns) Run(ctx context.Context) error {
	r.mu.Lock()
	r.ctx = ctx
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.ctx = nil
	r.mu.Unlock()
	r.tasks.Wait()
	return nil
}

// Begin implements api.Reruns.
func (r *reruns) Begin(ctx context.Context, who string, q api.RerunRequest) (api.Rerun, error) {
	from, err := api.ParseTime(q.From, time.Now())
	if err != nil {
		return api.Rerun{}, api.BadRequest("from: %v", err)
	}
	settings := rerunSettings{Ask: q.Ask}
	for _, path := range q.Rules {
		if !filepath.IsAbs(path) {
			return api.Rerun{}, api.BadRequest("rules: the path %s is not absolute", path)
		}
		settings.Rules = append(settings.Rules, filepath.Base(path))
	}
	stage, err := r.rerunStage(q.Stage, settings)
	if err != nil {
		return api.Rerun{}, err
	}
	request := rerun.Request{Spec: stage.Spec, From: from, By: who, Note: q.Note, Settings: settings}
	if len(q.Rules) > 0 {
		if request.Attachment, err = r.packedRules(q.Rules); err != nil {
			return api.Rerun{}, err
		}
	}
	run, err := r.runs.Begin(ctx, request)
	if err != nil {
		return api.Rerun{}, err
	}
	if err := r.start(run, stage); err != nil {
		return api.Rerun{}, err
	}
	return r.show(ctx, run, r.here())
}

func (r *reruns) start(run rerun.Run, stage rerunStage) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return api.Unavailable("the program is stopping")
	}
	if r.running[run.ID] != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(r.ctx)
	here := &runningRerun{cancel, make(chan struct{})}
	r.running[run.ID] = here
	delete(r.stopped, run.ID)
	r.tasks.Go(func() {
		defer close(here.ended)
		defer cancel()
		err := r.run(ctx, run, stage)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.running, run.ID)
		if err != nil && ctx.Err() == nil {
			r.app.log.Warn("rerun has stopped", "run", run.ID, "stage", run.Stage, "err", err)
			r.stopped[run.ID] = err
		}
	})
	return nil
}

func (r *reruns) run(ctx context.Context, run rerun.Run, stage rerunStage) (err error) {
	if stage.Stage, err = stage.make(ctx, run); err != nil {
		return err
	}
	return r.runs.Continue(ctx, run, stage.Spec)
}

func (r *reruns) find(ctx context.Context, id string) (rerun.Run, error) {
	all, err := r.runs.List(ctx)
	if err != nil {
		return rerun.Run{}, err
	}
	for _, run := range all {
		if run.ID == id {
			return run, nil
		}
	}
	return rerun.Run{}, api.NotFound("rerun", id)
}

// here returns the runs that go on here. It is asked before the log is asked
// how they stand: a run that is among neither has been noted to have ended.
func (r *reruns) here() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	here := map[string]bool{}
	for id := range r.running {
		here[id] = true
	}
	return here
}

// show adds what only this process and the log's offsets know.
func (r *reruns) show(ctx context.Context, run rerun.Run, here map[string]bool) (api.Rerun, error) {
	p, err := r.runs.Progress(ctx, run)
	if err != nil {
		return api.Rerun{}, err
	}
	settings, err := settingsOf(run)
	if err != nil {
		return api.Rerun{}, err
	}
	out := api.Rerun{
		ID: run.ID, Stage: run.Stage, From: run.From, By: run.By, Note: run.Note, Rules: settings.Rules, Ask: settings.Ask,
		Started: run.Started, State: string(run.State), Done: p.Done, Total: p.Total,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch err := r.stopped[run.ID]; {
	case run.State == rerun.Done:
	case here[run.ID]: // it may not be noted yet that a cancelled one goes on
		out.State = string(rerun.Running)
	case run.State == rerun.Running:
		out.State = "paused"
		if err != nil {
			out.Problem = err.Error()
		}
	}
	return out, nil
}

func settingsOf(run rerun.Run) (s rerunSettings, err error) {
	if len(run.Settings) > 0 {
		err = json.Unmarshal(run.Settings, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading how rerun %s was begun: %w", run.ID, err)
	}
	return s, nil
}

// List implements api.Reruns.
func (r *reruns) List(ctx context.Context) ([]api.Rerun, error) {
	here := r.here()
	all, err := r.runs.List(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b rerun.Run) int { return b.Started.Compare(a.Started) })
	out := make([]api.Rerun, 0, len(all))
	for _, run := range all {
		one, err := r.show(ctx, run, here)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// Rerun implements api.Reruns.
func (r *reruns) Rerun(ctx context.Context, id string) (api.Rerun, error) {
	here := r.here()
	run, err := r.find(ctx, id)
	if err != nil {
		return api.Rerun{}, err
	}
	return r.show(ctx, run, here)
}

// Continue implements api.Reruns.
func (r *reruns) Continue(ctx context.Context, id string) error {
	run, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	if run.State == rerun.Done {
		return api.BadRequest("rerun %s is done", id)
	}
	settings, err := settingsOf(run)
	if err != nil {
		return err
	}
	stage, err := r.rerunStage(run.Stage, settings)
	if err != nil {
		return err
	}
	return r.start(run, stage)
}

// Cancel implements api.Reruns.
func (r *reruns) Cancel(ctx context.Context, id string) error {
	r.mu.Lock()
	here := r.running[id]
	r.mu.Unlock()
	if here != nil {
		here.cancel()
		select {
		case <-here.ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	run, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	if run.State == rerun.Done {
		return api.BadRequest("rerun %s is done", id)
	}
	return r.runs.Cancel(ctx, run)
}

// Compare implements api.Reruns.
func (r *reruns) Compare(ctx context.Context, id string) (rerun.Difference, error) {
	run, err := r.find(ctx, id)
	if err != nil {
		return rerun.Difference{}, err
	}
	d, err := r.runs.Compare(ctx, run)
	if errors.Is(err, rerun.ErrTooMany) {
		return d, api.BadRequest("%v", err)
	}
	return d, err
}
