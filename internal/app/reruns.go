package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/rerun"
	"github.com/decodersring/decoder/internal/stage/detect"
	"github.com/decodersring/decoder/internal/stage/normalise"
)

// freshStage returns a stage that has handled nothing yet, for a rerun. The
// stages of mail are not among them: their services would be asked again.
func (a *App) freshStage(name string) (client.Spec, error) {
	switch name {
	case clientNormalise:
		s, err := normalise.New(normalise.Options{Home: a.home, Sensor: a.sensorName()})
		if err != nil {
			return client.Spec{}, err
		}
		return client.Spec{Name: name, Inputs: s.Inputs(), Outputs: s.Outputs(), Stage: s}, nil
	case clientDetect:
		s := detect.New(detect.Suricata{}, detect.Gap{})
		return client.Spec{Name: name, Inputs: s.Inputs(), Outputs: s.Outputs(), Stage: s}, nil
	}
	for _, own := range a.options.Config.Stages {
		if own.Name == name {
			return own.Spec(a.options.Version, a.scope("stage "+name))
		}
	}
	return client.Spec{}, api.BadRequest("stage %q cannot be run again: want %s, %s or a stage of one's own", name, clientNormalise, clientDetect)
}

// reruns runs stages again, as the API asks.
type reruns struct {
	app  *App
	runs *rerun.Reruns

	mu      sync.Mutex
	ctx     context.Context // nil: not started, or ended
	running map[string]context.CancelFunc
	tasks   sync.WaitGroup
}

func (a *App) startReruns() {
	a.reruns = &reruns{app: a, runs: rerun.New(a.bus, a.clients), running: map[string]context.CancelFunc{}}
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
	var from time.Time
	if q.From != "" {
		var err error
		if from, err = api.ParseTime(q.From, time.Now()); err != nil {
			return api.Rerun{}, api.BadRequest("from: %v", err)
		}
	}
	spec, err := r.app.freshStage(q.Stage)
	if err != nil {
		return api.Rerun{}, err
	}
	run, err := r.runs.Begin(ctx, spec, from, who, q.Note)
	if err != nil {
		return api.Rerun{}, err
	}
	if err := r.start(run, spec); err != nil {
		return api.Rerun{}, err
	}
	return r.show(ctx, run)
}

func (r *reruns) start(run rerun.Run, spec client.Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return api.Unavailable("the program is stopping")
	}
	if r.running[run.ID] != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.running[run.ID] = cancel
	r.tasks.Go(func() {
		defer cancel()
		err := r.runs.Continue(ctx, run, spec)
		if err != nil && ctx.Err() == nil {
			r.app.log.Warn("rerun has stopped", "run", run.ID, "stage", run.Stage, "err", err)
		}
		r.mu.Lock()
		delete(r.running, run.ID)
		r.mu.Unlock()
	})
	return nil
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

// show adds what only this process and the log's offsets know.
func (r *reruns) show(ctx context.Context, run rerun.Run) (api.Rerun, error) {
	p, err := r.runs.Progress(ctx, run)
	if err != nil {
		return api.Rerun{}, err
	}
	out := api.Rerun{
		ID: run.ID, Stage: run.Stage, From: run.From, By: run.By, Note: run.Note, Started: run.Started,
		State: string(run.State), Done: p.Done, Total: p.Total,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if run.State == rerun.Running && r.running[run.ID] == nil {
		out.State = "paused"
	}
	return out, nil
}

// List implements api.Reruns.
func (r *reruns) List(ctx context.Context) ([]api.Rerun, error) {
	all, err := r.runs.List(ctx)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b rerun.Run) int { return b.Started.Compare(a.Started) })
	out := make([]api.Rerun, 0, len(all))
	for _, run := range all {
		one, err := r.show(ctx, run)
		if err != nil {
			return nil, err
		}
		out = append(out, one)
	}
	return out, nil
}

// Rerun implements api.Reruns.
func (r *reruns) Rerun(ctx context.Context, id string) (api.Rerun, error) {
	run, err := r.find(ctx, id)
	if err != nil {
		return api.Rerun{}, err
	}
	return r.show(ctx, run)
}

// Continue implements api.Reruns.
func (r *reruns) Continue(ctx context.Context, id string) error {
	run, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	if run.State != rerun.Running {
		return api.BadRequest("rerun %s is %s", id, run.State)
	}
	spec, err := r.app.freshStage(run.Stage)
	if err != nil {
		return err
	}
	return r.start(run, spec)
}

// Cancel implements api.Reruns.
func (r *reruns) Cancel(ctx context.Context, id string) error {
	run, err := r.find(ctx, id)
	if err != nil {
		return err
	}
	if run.State == rerun.Done {
		return api.BadRequest("rerun %s is done", id)
	}
	r.mu.Lock()
	cancel := r.running[id]
	r.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	return r.runs.Cancel(ctx, run)
}

// Compare implements api.Reruns.
func (r *reruns) Compare(ctx context.Context, id string) (api.RerunDifference, error) {
	run, err := r.find(ctx, id)
	if err != nil {
		return api.RerunDifference{}, err
	}
	d, err := r.runs.Compare(ctx, run)
	return api.RerunDifference{Same: d.Same, New: d.New, Gone: d.Gone, Failed: d.Failed}, err
}
