package app

import (
	"context"
	"errors"
	"sync"

	"github.com/decodersring/decoder/internal/api"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/replay"
	"github.com/decodersring/decoder/internal/store"
	"github.com/decodersring/decoder/internal/suricata"
)

// startReplays starts what sends captures through the sensor, and goes on with
// the jobs that an earlier run left.
func (a *App) startReplays(rules func() (suricata.RuleSet, error)) error {
	replayer, err := replay.New(replay.Options{
		Dir:   a.path("replay"),
		Topic: bus.TopicSuricata, MinFree: int64(a.options.Config.Disk.Free),
	}, replay.Deps{Log: a.bus, Scope: a.scope("replay"), Rules: rules, Kept: a.kept})
	if err != nil {
		return err
	}
	a.replays = &replays{jobs: replayer, searchable: a.searchable}
	a.life.start("replays", replayer.Run)
	return nil
}

// kept reports whether the store still has the event made of a record, once it
// has all that is on its way.
func (a *App) kept(ctx context.Context, origin string) (bool, error) {
	if a.store == nil {
		return true, nil
	}
	q, err := store.Parse("event.id:" + event.ID(origin, event.KindEvent, 0))
	if err != nil {
		return false, err
	}
	n, err := a.store.Count(ctx, q, store.Range{})
	if err != nil || n > 0 {
		return n > 0, err
	}
	if err := a.searchable(ctx); err != nil {
		return false, err
	}
	n, err = a.store.Count(ctx, q, store.Range{})
	return n > 0, err
}

// replays shows replay jobs as the API does.
type replays struct {
	jobs       *replay.Replayer
	searchable func(context.Context) error

	mu   sync.Mutex
	seen map[string]bool // jobs known to be searchable
}

// Submit implements api.Replays.
func (r *replays) Submit(ctx context.Context, q api.ReplayRequest) (api.Replay, error) {
	id, err := r.jobs.Submit(ctx, replay.Request{Paths: q.Paths, Rules: q.Rules})
	if wrong, ok := errors.AsType[*replay.RulesError](err); ok {
		return api.Replay{}, api.BadRequest("%v", wrong)
	}
	if err != nil {
		return api.Replay{}, err
	}
	return r.Replay(ctx, id)
}

// Replays implements api.Replays.
func (r *replays) Replays(context.Context) ([]api.Replay, error) {
	jobs, err := r.jobs.List()
	if err != nil {
		return nil, err
	}
	out := make([]api.Replay, len(jobs))
	for i, j := range jobs {
		out[len(jobs)-1-i] = r.show(j) // newest first
	}
	return out, nil
}

// Replay implements api.Replays.
func (r *replays) Replay(_ context.Context, id string) (api.Replay, error) {
	j, err := r.jobs.Get(id)
	if err != nil {
		return api.Replay{}, unknownJob(id, err)
	}
	return r.show(j), nil
}

// Watch implements api.Replays.
func (r *replays) Watch(ctx context.Context, id string, wait bool, emit func(api.ReplayUpdate) error) error {
	shown := 0 // captures end in order
	watching, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	j, err := r.jobs.Wait(watching, id, func(j replay.Job) {
		if err := r.news(j, &shown, emit); err != nil {
			stop(err)
		}
	})
	if cause := context.Cause(watching); cause != nil && ctx.Err() == nil {
		return cause
	}
	if err != nil {
		return unknownJob(id, err)
	}
	if !wait {
		return nil
	}
	if err := r.searchable(ctx); err != nil {
		return err
	}
	r.mu.Lock()
	if r.seen == nil {
		r.seen = map[string]bool{}
	}
	r.seen[id] = true
	r.mu.Unlock()
	return emit(api.ReplayUpdate{Replay: r.show(j)})
}

// news emits the captures that have ended since the last call, or just how the
// job stands.
func (r *replays) news(j replay.Job, shown *int, emit func(api.ReplayUpdate) error) error {
	u := api.ReplayUpdate{Replay: r.show(j)}
	before := *shown
	for ; *shown < len(j.Captures) && j.Captures[*shown].State == replay.Done; *shown++ {
		c := showCapture(j.Captures[*shown])
		u.Capture = &c
		if err := emit(u); err != nil {
			return err
		}
	}
	if *shown > before {
		return nil
	}
	return emit(u)
}

// Cancel implements api.Replays.
func (r *replays) Cancel(_ context.Context, id string) error {
	return unknownJob(id, r.jobs.Cancel(id))
}

func unknownJob(id string, err error) error {
	if errors.Is(err, replay.ErrUnknownJob) {
		return api.NotFound("replay", id)
	}
	return err
}

func (r *replays) show(j replay.Job) api.Replay {
	r.mu.Lock()
	searchable := r.seen[j.ID]
	r.mu.Unlock()
	out := api.Replay{
		ID: j.ID, State: api.ReplayState(j.State), Searchable: searchable, Submitted: j.Created, Ended: j.Finished,
		Error: j.Error, Captures: len(j.Captures), Failed: j.Failed(),
		Rules: api.ReplayRules{Own: j.Rules.Own, Loaded: j.Rules.Loaded, Failed: j.Rules.Failed, Reasons: j.Rules.Reasons},
	}
	for _, c := range j.Captures {
		out.Bytes += c.Size
		out.Packets += uint64(c.Packets)
		if c.State == replay.Done {
			out.Done++
			out.BytesDone += c.Size
		}
	}
	return out
}

func showCapture(c replay.Capture) api.Capture {
	return api.Capture{
		Capture: c.Name, Path: c.Path, SHA256: c.SHA256, State: api.ReplayState(c.State),
		Packets: uint64(c.Packets), Events: counts(c.Events), Alerts: counts(c.Alerts), Error: c.Error,
	}
}

func counts(m map[string]int) map[string]uint64 {
	out := make(map[string]uint64, len(m))
	for k, n := range m {
		out[k] = uint64(n)
	}
	return out
}
