package api

import (
	"context"
	"errors"
	"time"

	"github.com/decodersring/decoder/internal/client"
	"github.com/decodersring/decoder/internal/client/dead"
	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/inbox"
)

// letters are the dead letters of a log as the API shows them.
type letters struct {
	dead    *dead.Letters
	clients Trier // nil: nothing can be tried
}

func (f DeadLetterFilter) filter(now time.Time) (dead.Filter, error) {
	r, err := f.Range.parse(now)
	if err != nil {
		return dead.Filter{}, err
	}
	out := dead.Filter{Client: f.Client, Code: f.Code, Text: f.Text, From: r.From, To: r.To}
	switch f.State {
	case "", string(dead.Open):
	case string(dead.Resent), string(dead.Discarded):
		out.States = []dead.State{dead.State(f.State)}
	case "all":
		out.States = []dead.State{dead.Open, dead.Resent, dead.Discarded}
	default:
		return out, BadRequest("state: want open, resent, discarded or all")
	}
	return out, nil
}

// DeadLetters implements the interface of that name.
func (l letters) DeadLetters(ctx context.Context, f DeadLetterFilter) (DeadLetterList, error) {
	filter, err := f.filter(time.Now())
	if err != nil {
		return DeadLetterList{}, err
	}
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
		out.Letters = append(out.Letters, letterOf(e))
	}
	return out, nil
}

// DeadLetter implements DeadLetters.
func (l letters) DeadLetter(ctx context.Context, topic string, partition int32, offset int64) (DeadLetter, error) {
	e, err := l.show(ctx, inbox.Position{Topic: topic, Partition: partition, Offset: offset})
	if err != nil {
		return DeadLetter{}, err
	}
	out := letterOf(e)
	r := recordOf(e.Record)
	out.Record = &r
	return out, nil
}

func letterOf(e dead.Entry) DeadLetter {
	out := DeadLetter{
		Position: inbox.Position(e.At), Client: e.Client, Code: e.Code, Error: e.Error, Attempts: e.Attempts,
		Origin: inbox.Position{Topic: e.Record.Topic, Partition: e.Record.Partition, Offset: e.Record.Offset},
		First:  e.First, Last: e.Last, Size: len(e.Record.Value),
		State: string(e.Decided.State), By: e.Decided.By, Decided: e.Decided.At,
	}
	for _, f := range e.History {
		out.Failures = append(out.Failures, DeadFailure{Code: f.Code, Error: f.Error, Attempts: f.Attempts, Last: f.Last})
	}
	return out
}

// show returns the letter at a place.
func (l letters) show(ctx context.Context, at inbox.Position) (dead.Entry, error) {
	e, err := l.dead.Show(ctx, dead.Place(at))
	if errors.Is(err, dead.ErrNotFound) {
		return e, NotFound("dead letter", dead.Place(at).String())
	}
	return e, err
}

// Resend implements DeadLetters.
func (l letters) Resend(ctx context.Context, who string, in Letters) (int, error) {
	return l.decide(ctx, in, func(f dead.Filter) (int, error) { return l.dead.ResendAll(ctx, f, who, in.Note) },
		func(all []dead.Letter) error { return l.dead.Resend(ctx, who, in.Note, all...) })
}

// Discard implements DeadLetters.
func (l letters) Discard(ctx context.Context, who string, in Letters) (int, error) {
	return l.decide(ctx, in, func(f dead.Filter) (int, error) { return l.dead.DiscardAll(ctx, f, who, in.Note) },
		func(all []dead.Letter) error { return l.dead.Discard(ctx, who, in.Note, all...) })
}

func (l letters) decide(ctx context.Context, in Letters, chosen func(dead.Filter) (int, error), named func([]dead.Letter) error) (int, error) {
	if in.Filter != nil {
		filter, err := in.Filter.filter(time.Now())
		if err != nil {
			return 0, err
		}
		return chosen(filter)
	}
	all, err := l.fetch(ctx, in.Letters)
	if err != nil {
		return 0, err
	}
	return len(all), named(all)
}

// fetch returns the letters at the places, all or an error: one that is gone
// is better noticed before the others are sent.
func (l letters) fetch(ctx context.Context, places []inbox.Position) ([]dead.Letter, error) {
	all := make([]dead.Letter, len(places))
	for i, p := range places {
		e, err := l.show(ctx, p)
		if err != nil {
			return nil, err
		}
		all[i] = e.Letter
	}
	return all, nil
}

// with returns the letter asked for, with the value asked for.
func (l letters) with(ctx context.Context, t LetterTry) (dead.Letter, error) {
	e, err := l.show(ctx, t.Letter)
	if err != nil || t.Value == nil {
		return e.Letter, err
	}
	return dead.Edited(e.Letter, *t.Value), nil
}

// Edit implements DeadLetters.
func (l letters) Edit(ctx context.Context, who string, t LetterTry) error {
	letter, err := l.with(ctx, t)
	if err != nil {
		return err
	}
	return l.dead.Resend(ctx, who, t.Note, letter)
}

// Try implements DeadLetters.
func (l letters) Try(ctx context.Context, t LetterTry) (LetterTried, error) {
	if l.clients == nil {
		return LetterTried{}, Unavailable("no stage and no sink runs here")
	}
	letter, err := l.with(ctx, t)
	if err != nil {
		return LetterTried{}, err
	}
	tried, err := l.clients.Try(ctx, letter.Client, &client.Record{Record: letter.Record, Origin: letter.Origin, Resent: true})
	switch {
	case errors.Is(err, client.ErrNoClient):
		return LetterTried{}, Unavailable("no stage or sink %s runs here", letter.Client)
	case errors.Is(err, client.ErrNoTry):
		return LetterTried{}, Unavailable("the sink %s cannot tell without writing: resend the letter", letter.Client)
	}
	out := LetterTried{Sink: tried.Sink, Outputs: []Record{}}
	if err != nil {
		e := fault.Of(err)
		out.Error, out.Code, out.Class = e.Err.Error(), e.Code, e.Class.String()
	}
	for _, r := range tried.Outputs {
		out.Outputs = append(out.Outputs, recordOf(r))
	}
	return out, nil
}
