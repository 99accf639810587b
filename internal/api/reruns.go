package api

import (
	"context"

	"github.com/decodersring/decoder/internal/client/rerun"
)

func (s *Server) rerunsHere() (Reruns, error) {
	if s.deps.Reruns == nil {
		return nil, Unavailable("no stage can be run again here")
	}
	return s.deps.Reruns, nil
}

func (s *Server) reruns(ctx context.Context, _ call, _ Empty) (List[Rerun], error) {
	r, err := s.rerunsHere()
	if err != nil {
		return List[Rerun]{}, err
	}
	all, err := r.List(ctx)
	return List[Rerun]{Items: append([]Rerun{}, all...)}, err
}

func (s *Server) beginRerun(ctx context.Context, c call, in RerunRequest) (Rerun, error) {
	r, err := s.rerunsHere()
	if err != nil {
		return Rerun{}, err
	}
	if in.Stage == "" {
		return Rerun{}, BadRequest("stage: want the name of a stage")
	}
	if len(in.Rules) > 0 && !c.local() {
		return Rerun{}, localOnly()
	}
	return r.Begin(ctx, c.user, in)
}

func (s *Server) rerun(ctx context.Context, _ call, in RerunKey) (Rerun, error) {
	r, err := s.rerunsHere()
	if err != nil {
		return Rerun{}, err
	}
	return r.Rerun(ctx, in.ID)
}

// compareRerun answers with one line, however long that takes.
func (s *Server) compareRerun(ctx context.Context, _ call, in RerunKey, emit func(rerun.Difference) error) error {
	r, err := s.rerunsHere()
	if err != nil {
		return err
	}
	d, err := r.Compare(ctx, in.ID)
	if err != nil {
		return err
	}
	return emit(d)
}

func (s *Server) continueRerun(ctx context.Context, _ call, in RerunKey) (Empty, error) {
	r, err := s.rerunsHere()
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, r.Continue(ctx, in.ID)
}

func (s *Server) cancelRerun(ctx context.Context, _ call, in RerunKey) (Empty, error) {
	r, err := s.rerunsHere()
	if err != nil {
		return Empty{}, err
	}
	return Empty{}, r.Cancel(ctx, in.ID)
}
