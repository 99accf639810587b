package api

import (
	"context"
	"errors"
	"time"
)

// Destination is somebody who is told of alerts.
type Destination struct {
	Name     string    `json:"name"`
	Kind     string    `json:"kind" doc:"mail, webhook, slack or ntfy"`
	Severity string    `json:"severity" doc:"the lowest told of"`
	Client   string    `json:"client" doc:"name of its client; its lag is that of this client's group"`
	Waiting  int       `json:"waiting" doc:"alert groups that are to be told of"`
	Told     time.Time `json:"told,omitzero" doc:"when the last message was taken"`
	Error    string    `json:"error,omitempty" doc:"why the last attempt failed, if it did"`
	Failed   time.Time `json:"failed,omitzero" doc:"when"`
}

// DestinationKey names a destination.
type DestinationKey struct {
	Name string `json:"name"`
}

// DestinationTested is what came of a trial message.
type DestinationTested struct {
	Error string `json:"error,omitempty" doc:"why it was not taken; empty when it was"`
}

func (s *Server) destinations(ctx context.Context, _ call, _ Empty) (List[Destination], error) {
	if s.deps.Notify == nil {
		return List[Destination]{Items: []Destination{}}, nil
	}
	return listed(s.deps.Notify.Destinations(ctx))
}

// testTimeout leaves time to say in the answer that it took too long.
const testTimeout = answerTimeout - 5*time.Second

func (s *Server) testDestination(ctx context.Context, _ call, in DestinationKey) (DestinationTested, error) {
	if s.deps.Notify == nil {
		return DestinationTested{}, NotFound("destination", in.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	err := s.deps.Notify.Test(ctx, in.Name)
	if err == nil || errors.Is(err, ErrNotFound) {
		return DestinationTested{}, err
	}
	return DestinationTested{err.Error()}, nil
}
