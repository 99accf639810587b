package api

import (
	"context"
	"errors"

	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/inbox"
)

// letters are the dead letters of a log as the API shows them.
type letters struct{ dead *dead.Letters }

// DeadLetters implements the interface of that name.
func (l letters) DeadLetters(ctx context.Context, f DeadLetterFilter) (DeadLetterList, error) {
	filter := dead.Filter{Client: f.Client, Code: f.Code}
	groups, err := l.dead.Groups(ctx, filter)
	if err != nil {
		return DeadLetterList{}, err
	}
	entries, err := l.dead.List(ctx, filter, f.Limit, nil)
	if err != nil {
		return DeadLetterList{}, err
	}
	var out DeadLetterList
	for _, g := range groups {
		out.Total += uint64(g.Count)
		out.Groups = append(out.Groups, DeadLetterGroup{Client: g.Client, Code: g.Code, Error: g.Error, Count: uint64(g.Count), First: g.First, Last: g.Last})
	}
	for _, e := range entries {
		out.Letters = append(out.Letters, letterOf(e.Letter))
	}
	return out, nil
}

// DeadLetter implements DeadLetters.
func (l letters) DeadLetter(ctx context.Context, topic string, partition int32, offset int64) (DeadLetter, error) {
	e, err := l.dead.Show(ctx, dead.Place{Topic: topic, Partition: partition, Offset: offset})
	if errors.Is(err, dead.ErrNotFound) {
		return DeadLetter{}, NotFound("dead letter", dead.Place{Topic: topic, Partition: partition, Offset: offset}.String())
	}
	if err != nil {
		return DeadLetter{}, err
	}
	out := letterOf(e.Letter)
	r := recordOf(e.Record)
	out.Record = &r
	return out, nil
}

func letterOf(l dead.Letter) DeadLetter {
	return DeadLetter{
		Position: inbox.Position(l.At), Client: l.Client, Code: l.Code, Error: l.Error, Attempts: l.Attempts,
		Origin: inbox.Position{Topic: l.Record.Topic, Partition: l.Record.Partition, Offset: l.Record.Offset},
		First:  l.First, Last: l.Last, Size: len(l.Record.Value),
	}
}

// Resend implements DeadLetters.
func (l letters) Resend(ctx context.Context, who string, places []inbox.Position) error {
	all, err := l.fetch(ctx, places)
	if err != nil {
		return err
	}
	return l.dead.Resend(ctx, who, "", all...)
}

// Discard implements DeadLetters.
func (l letters) Discard(ctx context.Context, who string, places []inbox.Position) error {
	all, err := l.fetch(ctx, places)
	if err != nil {
		return err
	}
	return l.dead.Discard(ctx, who, "", all...)
}

// fetch returns the letters at the places, all or an error: one that is gone
// is better noticed before the others are sent.
func (l letters) fetch(ctx context.Context, places []inbox.Position) ([]dead.Letter, error) {
	all := make([]dead.Letter, len(places))
	for i, p := range places {
		e, err := l.dead.Show(ctx, dead.Place(p))
		if errors.Is(err, dead.ErrNotFound) {
			return nil, NotFound("dead letter", dead.Place(p).String())
		}
		if err != nil {
			return nil, err
		}
		all[i] = e.Letter
	}
	return all, nil
}
