package api

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/decodersring/decoder/internal/store"
)

const (
	maxQueries   = 8 // that the store answers at a time for us
	defaultLimit = 100
	defaultFacet = 10
	streamPage   = 1000
	maxSteps     = 2000 // of a histogram
)

// query calls f when one of the places for questions to the store is free.
func (s *Server) query(ctx context.Context, f func(context.Context) (store.Page, error)) (store.Page, error) {
	return limited(ctx, s.queries, f)
}

func limited[T any](ctx context.Context, places chan struct{}, f func(context.Context) (T, error)) (T, error) {
	select {
	case places <- struct{}{}:
		defer func() { <-places }()
		return f(ctx)
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// question is what most searches begin with.
func (s *Server) question(q string, r Range) (*store.Query, store.Range, error) {
	if s.deps.Store == nil {
		return nil, store.Range{}, Unavailable("the store does not run here: events are kept on the log until it does")
	}
	parsed, err := store.Parse(q)
	if err != nil {
		return nil, store.Range{}, err
	}
	span, err := r.parse(time.Now())
	return parsed, span, err
}

func (s *Server) search(ctx context.Context, _ call, in Search) (SearchPage, error) {
	var out SearchPage
	q, r, err := s.question(in.Q, in.Range)
	if err != nil {
		return out, err
	}
	if err := within("limit", in.Limit, 0, 1000); err != nil {
		return out, err
	}
	if in.Limit == 0 {
		in.Limit = defaultLimit
	}
	began := time.Now()
	page, err := s.query(ctx, func(ctx context.Context) (store.Page, error) {
		return s.deps.Store.Search(ctx, store.Search{Query: q, Range: r, Limit: in.Limit, Cursor: in.Cursor})
	})
	if err != nil {
		return out, err
	}
	return SearchPage{
		Docs: append([]json.RawMessage{}, page.Docs...), Cursor: page.Cursor,
		TookMS: float64(time.Since(began).Microseconds()) / 1000,
	}, nil
}

func (s *Server) searchStream(ctx context.Context, _ call, in Search, emit func(json.RawMessage) error) error {
	q, r, err := s.question(in.Q, in.Range)
	if err != nil {
		return err
	}
	if in.Limit < 0 {
		return BadRequest("limit is not negative")
	}
	for sent := 0; in.Limit == 0 || sent < in.Limit; {
		want := streamPage
		if in.Limit > 0 {
			want = min(want, in.Limit-sent)
		}
		page, err := s.query(ctx, func(ctx context.Context) (store.Page, error) {
			return s.deps.Store.Search(ctx, store.Search{Query: q, Range: r, Limit: want, Cursor: in.Cursor})
		})
		if err != nil {
			return err
		}
		for _, d := range page.Docs {
			if err := emit(d); err != nil {
				return err
			}
		}
		if sent += len(page.Docs); page.Cursor == "" {
			return nil
		}
		in.Cursor = page.Cursor
	}
	return nil
}

func (s *Server) count(ctx context.Context, _ call, in Question) (Counted, error) {
	q, r, err := s.question(in.Q, in.Range)
	if err != nil {
		return Counted{}, err
	}
	n, err := limited(ctx, s.queries, func(ctx context.Context) (uint64, error) { return s.deps.Store.Count(ctx, q, r) })
	return Counted{n}, err
}

func (s *Server) facet(ctx context.Context, _ call, in FacetQuestion) (Buckets, error) {
	q, r, err := s.question(in.Q, in.Range)
	if err != nil {
		return Buckets{}, err
	}
	if in.Field == "" {
		return Buckets{}, BadRequest("field is missing")
	}
	if err := within("limit", in.Limit, 0, 1000); err != nil {
		return Buckets{}, err
	}
	if in.Limit == 0 {
		in.Limit = defaultFacet
	}
	b, err := limited(ctx, s.queries, func(ctx context.Context) ([]store.Bucket, error) {
		return s.deps.Store.Facet(ctx, q, r, in.Field, in.Limit)
	})
	return Buckets{append([]store.Bucket{}, b...)}, err
}

func (s *Server) fieldNames(ctx context.Context, _ call, in Question) (Buckets, error) {
	q, r, err := s.question(in.Q, in.Range)
	if err != nil {
		return Buckets{}, err
	}
	b, err := limited(ctx, s.queries, func(ctx context.Context) ([]store.Bucket, error) { return s.deps.Store.Fields(ctx, q, r) })
	return Buckets{append([]store.Bucket{}, b...)}, err
}

func (s *Server) histogram(ctx context.Context, _ call, in HistogramQuestion) (Histogram, error) {
	q, r, err := s.question(in.Q, in.Range)
	if err != nil {
		return Histogram{}, err
	}
	if r.To.IsZero() {
		r.To = time.Now()
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-24 * time.Hour)
	}
	if !r.From.Before(r.To) {
		return Histogram{}, BadRequest("from is not before to")
	}
	step := niceStep(r.To.Sub(r.From))
	if in.Step != "" {
		if step, err = parseAge(in.Step); err != nil || step < time.Second {
			return Histogram{}, BadRequest("step is a duration of a second or more, such as 1m or 1h")
		}
	}
	if r.To.Sub(r.From)/step > maxSteps {
		return Histogram{}, BadRequest("that is more than %d steps: take a longer one", maxSteps)
	}
	return s.histogramOf(ctx, q, r, step, in.Split)
}

func (s *Server) histogramOf(ctx context.Context, q *store.Query, r store.Range, step time.Duration, split string) (Histogram, error) {
	series, err := limited(ctx, s.queries, func(ctx context.Context) (map[string][]store.Bucket, error) {
		return s.deps.Store.Histogram(ctx, q, r, step, split)
	})
	if err != nil {
		return Histogram{}, fmt.Errorf("counting by time: %w", err)
	}
	if series == nil {
		series = map[string][]store.Bucket{}
	}
	return Histogram{Series: series, StepMS: step.Milliseconds()}, nil
}

// niceStep returns a round step that cuts the interval into about sixty.
func niceStep(d time.Duration) time.Duration {
	const day = 24 * time.Hour
	for _, s := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
		30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 7 * day, 30 * day,
	} {
		if d/s <= 96 {
			return s
		}
	}
	return max(365*day, d/96)
}
