package api

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/inbox"
)

func (s *Server) topics(ctx context.Context, _ call, _ Empty) (List[bus.TopicInfo], error) {
	if s.deps.Log == nil {
		return List[bus.TopicInfo]{}, Unavailable("the log does not run here")
	}
	return listed(s.deps.Log.Topics(ctx))
}

func (s *Server) groups(ctx context.Context, _ call, _ Empty) (List[bus.GroupInfo], error) {
	if s.deps.Log == nil {
		return List[bus.GroupInfo]{}, Unavailable("the log does not run here")
	}
	return listed(s.deps.Log.Groups(ctx))
}

// listed makes an answer of a list, [] rather than null when it is empty.
func listed[T any](items []T, err error) (List[T], error) {
	if items == nil {
		items = []T{}
	}
	return List[T]{items}, err
}

const defaultTail = 10

func (s *Server) tail(ctx context.Context, _ call, in Tail, emit func(Record) error) error {
	if s.deps.Log == nil {
		return Unavailable("the log does not run here")
	}
	if in.Last < 0 || in.Limit < 0 {
		return BadRequest("last and limit are not negative")
	}
	known, err := s.deps.Log.Topics(ctx, in.Topic)
	if err != nil {
		return err
	}
	if len(known) == 0 {
		return NotFound("topic", in.Topic)
	}
	t := tailing{limit: in.Limit, emit: emit}
	if in.Last == 0 && !in.Follow {
		in.Last = defaultTail
	}
	if in.From != "" || in.Partition != "" {
		return s.tailFrom(ctx, in, &t)
	}
	err = s.deps.Log.Tail(ctx, in.Topic, in.Last, in.Follow, t.take)
	if !t.done {
		err = errors.Join(err, ctx.Err())
	}
	return errors.Join(t.err, err)
}

// tailFrom reads what there is from a place on, then follows from there.
func (s *Server) tailFrom(ctx context.Context, in Tail, t *tailing) error {
	spans, err := s.beginning(ctx, in)
	if err != nil {
		return err
	}
	for {
		if err := s.deps.Log.Scan(ctx, in.Topic, spans, t.take); err != nil || t.done || !in.Follow {
			return errors.Join(t.err, err)
		}
		if spans, err = s.grown(ctx, in, spans); err != nil {
			return err
		}
	}
}

// beginning is what a topic's partitions hold from where a tail begins.
func (s *Server) beginning(ctx context.Context, in Tail) (map[int32]bus.Span, error) {
	from := time.Time{}
	begin := func(b bus.Span) int64 { return b.From } // first, begin, and a time
	offset, err := strconv.ParseInt(in.From, 10, 64)
	switch {
	case in.From == "":
		begin = func(b bus.Span) int64 { return b.To - in.Last }
	case in.From == "begin", in.From == "first":
	case in.From == "end", in.From == "next":
		begin = func(b bus.Span) int64 { return b.To }
	case err == nil:
		begin = func(bus.Span) int64 { return offset }
	default:
		if from, err = ParseTime(in.From, time.Now()); err != nil {
			return nil, BadRequest("from: want begin, end, an offset or a time: %v", err)
		}
	}
	spans, err := s.deps.Log.After(ctx, in.Topic, from)
	if err != nil {
		return nil, err
	}
	if err := in.choose(spans); err != nil {
		return nil, err
	}
	for p, b := range spans {
		spans[p] = bus.Span{From: min(max(begin(b), b.From), b.To), To: b.To}
	}
	return spans, nil
}

// choose leaves the partition that was asked for.
func (in Tail) choose(spans map[int32]bus.Span) error {
	if in.Partition == "" {
		return nil
	}
	only, err := strconv.ParseInt(in.Partition, 10, 32)
	if _, there := spans[int32(only)]; err != nil || !there {
		return BadRequest("topic %s has no partition %q, but %d of them, from 0", in.Topic, in.Partition, len(spans))
	}
	maps.DeleteFunc(spans, func(p int32, _ bus.Span) bool { return p != int32(only) })
	return nil
}

// grown waits until the topic has records behind the spans and returns those.
func (s *Server) grown(ctx context.Context, in Tail, read map[int32]bus.Span) (map[int32]bus.Span, error) {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		bounds, err := s.deps.Log.Bounds(ctx, in.Topic)
		if err == nil {
			err = in.choose(bounds)
		}
		if err != nil {
			return nil, err
		}
		more := false
		for p, b := range bounds {
			next := bus.Span{From: max(read[p].To, b.From), To: b.To}
			more = more || next.From < next.To
			bounds[p] = next
		}
		if more {
			return bounds, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tailing passes records on until it has had enough.
type tailing struct {
	limit, sent int
	done        bool
	err         error
	emit        func(Record) error
}

func (t *tailing) take(r *bus.Record) bool {
	if t.err = t.emit(recordOf(r)); t.err != nil {
		t.done = true
		return false
	}
	t.sent++
	t.done = t.limit > 0 && t.sent >= t.limit
	return !t.done
}

func recordOf(r *bus.Record) Record {
	out := Record{
		Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Time: RecordTime(r.Timestamp),
		Key: r.Key, Value: r.Value,
	}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, Header{h.Key, h.Value})
	}
	return out
}

func (s *Server) deadLetters(ctx context.Context, _ call, in DeadLetterFilter) (DeadLetterList, error) {
	if s.deps.DeadLetters == nil {
		return DeadLetterList{}, Unavailable("dead letters are not looked after here")
	}
	if err := within("limit", in.Limit, 0, 1000); err != nil {
		return DeadLetterList{}, err
	}
	if in.Limit == 0 {
		in.Limit = defaultLimit
	}
	l, err := s.deps.DeadLetters.DeadLetters(ctx, in)
	if l.Groups == nil {
		l.Groups = []DeadLetterGroup{}
	}
	if l.Letters == nil {
		l.Letters = []DeadLetter{}
	}
	return l, err
}

func (s *Server) deadLetter(ctx context.Context, _ call, in DeadLetterKey) (DeadLetter, error) {
	if s.deps.DeadLetters == nil {
		return DeadLetter{}, Unavailable("dead letters are not looked after here")
	}
	return s.deps.DeadLetters.DeadLetter(ctx, in.Topic, in.Partition, in.Offset)
}

func (s *Server) resend(ctx context.Context, c call, in Letters) (LetterCount, error) {
	return s.letters(in, func() (int, error) { return s.deps.DeadLetters.Resend(ctx, c.user, in) })
}

func (s *Server) discard(ctx context.Context, c call, in Letters) (LetterCount, error) {
	return s.letters(in, func() (int, error) { return s.deps.DeadLetters.Discard(ctx, c.user, in) })
}

func (s *Server) letters(in Letters, f func() (int, error)) (LetterCount, error) {
	if s.deps.DeadLetters == nil {
		return LetterCount{}, Unavailable("dead letters are not looked after here")
	}
	if in.Filter == nil {
		if err := within("the number of letters", len(in.Letters), 1, maxChange); err != nil {
			return LetterCount{}, err
		}
	} else if len(in.Letters) > 0 {
		return LetterCount{}, BadRequest("letters are named one by one or by a filter, not both")
	}
	for _, l := range in.Letters {
		if err := deadPlace(l); err != nil {
			return LetterCount{}, err
		}
	}
	n, err := f()
	return LetterCount{n}, err
}

func deadPlace(l inbox.Position) error {
	if bus.DeadClient(l.Topic) == "" {
		return BadRequest("%q is not a topic of dead letters", l.Topic)
	}
	return nil
}

func (s *Server) tryLetter(ctx context.Context, _ call, in LetterTry) (LetterTried, error) {
	if s.deps.DeadLetters == nil {
		return LetterTried{}, Unavailable("dead letters are not looked after here")
	}
	if err := deadPlace(in.Letter); err != nil {
		return LetterTried{}, err
	}
	return s.deps.DeadLetters.Try(ctx, in)
}

func (s *Server) editLetter(ctx context.Context, c call, in LetterTry) (Empty, error) {
	if s.deps.DeadLetters == nil {
		return Empty{}, Unavailable("dead letters are not looked after here")
	}
	if err := deadPlace(in.Letter); err != nil {
		return Empty{}, err
	}
	if in.Value == nil {
		return Empty{}, BadRequest("value: want the edited value")
	}
	return Empty{}, s.deps.DeadLetters.Edit(ctx, c.user, in)
}

// deadCount is the number of records in topics of dead letters.
func deadCount(topics []bus.TopicInfo) (n int64) {
	for _, t := range topics {
		if bus.DeadClient(t.Name) != "" {
			n += t.Records
		}
	}
	return n
}
