package api

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/decodersring/decoder/internal/obs"
)

func (s *Server) submitReplay(ctx context.Context, _ call, in ReplayRequest) (Replay, error) {
	if s.deps.Replays == nil {
		return Replay{}, Unavailable("this instance has no sensor to replay with")
	}
	if len(in.Paths) == 0 {
		return Replay{}, BadRequest("paths is empty")
	}
	for _, p := range slices.Concat(in.Paths, in.Rules) {
		if !filepath.IsAbs(p) {
			return Replay{}, BadRequest("%q is not an absolute path", p)
		}
	}
	return s.deps.Replays.Submit(ctx, in)
}

func (s *Server) replays(ctx context.Context, _ call, _ Empty) (List[Replay], error) {
	if s.deps.Replays == nil {
		return List[Replay]{}, Unavailable("this instance has no sensor to replay with")
	}
	return listed(s.deps.Replays.Replays(ctx))
}

func (s *Server) replay(ctx context.Context, _ call, in ReplayKey) (Replay, error) {
	if s.deps.Replays == nil {
		return Replay{}, Unavailable("this instance has no sensor to replay with")
	}
	return s.deps.Replays.Replay(ctx, in.ID)
}

func (s *Server) cancelReplay(ctx context.Context, _ call, in ReplayKey) (Empty, error) {
	if s.deps.Replays == nil {
		return Empty{}, Unavailable("this instance has no sensor to replay with")
	}
	return Empty{}, s.deps.Replays.Cancel(ctx, in.ID)
}

func (s *Server) watchReplay(ctx context.Context, _ call, in ReplayWatch, emit func(ReplayUpdate) error) error {
	if s.deps.Replays == nil {
		return Unavailable("this instance has no sensor to replay with")
	}
	return s.deps.Replays.Watch(ctx, in.ID, in.Wait, emit)
}

func (s *Server) rules(ctx context.Context, _ call, in RuleFilter) (RuleList, error) {
	if s.deps.Rules == nil {
		return RuleList{}, Unavailable("this instance has no sensor with rules")
	}
	if err := within("limit", in.Limit, 0, 100_000); err != nil {
		return RuleList{}, err
	}
	if in.Limit == 0 {
		in.Limit = defaultLimit
	}
	l, err := s.deps.Rules.Rules(ctx, in)
	if l.Rules == nil {
		l.Rules = []Rule{}
	}
	return l, err
}

func (s *Server) changeRules(ctx context.Context, _ call, in RuleChange) (RuleUpdate, error) {
	if s.deps.Rules == nil {
		return RuleUpdate{}, Unavailable("this instance has no sensor with rules")
	}
	if err := within("the number of rules", len(in.Rules), 1, maxChange); err != nil {
		return RuleUpdate{}, err
	}
	return s.deps.Rules.Change(ctx, in)
}

func (s *Server) updateRules(ctx context.Context, _ call, _ Empty, emit func(Progress[RuleUpdate]) error) error {
	if s.deps.Rules == nil {
		return Unavailable("this instance has no sensor with rules")
	}
	return progress(emit, func(say func(string)) (RuleUpdate, error) { return s.deps.Rules.Update(ctx, say) })
}

func (s *Server) selfTest(ctx context.Context, _ call, _ Empty, emit func(Progress[SelfTestResult]) error) error {
	if s.deps.SelfTest == nil {
		return Unavailable("this instance has no sensor to test")
	}
	return progress(emit, func(say func(string)) (SelfTestResult, error) { return s.deps.SelfTest.SelfTest(ctx, say) })
}

// progress runs f, sends what it says as lines and then its result or error.
func progress[T any](emit func(Progress[T]) error, f func(say func(string)) (T, error)) error {
	result, err := f(func(line string) { _ = emit(Progress[T]{Line: line}) }) // who left misses the lines only
	if err != nil {
		return emit(Progress[T]{Error: asError(err)})
	}
	return emit(Progress[T]{Result: &result})
}

func (s *Server) sensors(ctx context.Context, _ call, _ Empty) (List[Sensor], error) {
	if s.deps.Sensors == nil {
		return List[Sensor]{Items: []Sensor{}}, nil
	}
	return listed(s.deps.Sensors.Sensors(ctx))
}

func (s *Server) services(ctx context.Context, _ call, _ Empty) (List[Service], error) {
	if s.deps.Services == nil {
		return List[Service]{}, Unavailable("mail is not checked here")
	}
	return listed(s.deps.Services.Services(ctx))
}

func (s *Server) health(context.Context, call, Empty) (Health, error) { return s.worst(), nil }

// worst is the state of all components, and the worst of them.
func (s *Server) worst() Health {
	h := Health{Level: obs.OK, Components: []obs.Status{}}
	if s.deps.Health == nil {
		return h
	}
	order := []obs.Level{obs.OK, obs.Starting, obs.Degraded, obs.Failed}
	h.Components = s.deps.Health.All()
	for _, c := range h.Components {
		if slices.Index(order, c.Level) > slices.Index(order, h.Level) {
			h.Level = c.Level
		}
	}
	return h
}

func (s *Server) config(context.Context, call, Empty) (Printed, error) {
	if s.deps.Config == nil {
		return Printed{}, ErrUnavailable
	}
	text, err := s.deps.Config.Print()
	return Printed{text}, err
}

func (s *Server) version(context.Context, call, Empty) (Version, error) { return s.deps.Version, nil }
