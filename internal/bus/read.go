package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/event"
)

// Span is a half-open run of offsets.
type Span struct{ From, To int64 }

// Scan reads the spans given of a topic's partitions, in order within each,
// and calls take for each record until it returns false. Records that
// retention or compaction has removed are passed over.
func (b *Bus) Scan(ctx context.Context, topic string, spans map[int32]Span, take func(*Record) bool) error {
	from := map[int32]kgo.Offset{}
	left := map[int32]int64{}
	for p, s := range spans {
		if s.From < s.To {
			from[p] = kgo.NewOffset().At(s.From)
			left[p] = s.To
		}
	}
	if len(left) == 0 {
		return nil
	}
	reader, err := b.reader(topic, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for len(left) > 0 {
		done, err := scanOnce(ctx, reader, left, take)
		if err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		if done {
			return nil
		}
		if err := b.dropEmpty(ctx, topic, reader, left); err != nil {
			return err
		}
	}
	return nil
}

func (b *Bus) reader(topic string, from map[int32]kgo.Offset) (*kgo.Client, error) {
	options, err := b.options("reader")
	if err != nil {
		return nil, err
	}
	reader, err := kgo.NewClient(append(options,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxBytes(4*mebibyte),
		kgo.KeepControlRecords(), // they move the position too
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return nil, fmt.Errorf("configuring a reader of topic %s: %w", topic, err)
	}
	return reader, nil
}

// scanOnce polls once, at most for a second: a span's end may have been
// compacted away, so that no record ever shows it has been reached.
func scanOnce(ctx context.Context, reader *kgo.Client, left map[int32]int64, take func(*Record) bool) (bool, error) {
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := reader.PollFetches(short)
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) {
			return false, e.Err
		}
	}
	for iter := fetches.RecordIter(); !iter.Done(); {
		r := iter.Next()
		to, reading := left[r.Partition]
		if !reading {
			continue
		}
		if r.Offset < to && !r.Attrs.IsControl() && !take(r) {
			return true, nil
		}
		if r.Offset >= to-1 {
			delete(left, r.Partition)
			reader.RemoveConsumePartitions(map[string][]int32{r.Topic: {r.Partition}})
		}
	}
	return false, nil
}

// dropEmpty forgets partitions whose next record to read lies behind the span,
// because retention has removed the whole of it in the meantime.
func (b *Bus) dropEmpty(ctx context.Context, topic string, reader *kgo.Client, left map[int32]int64) error {
	if len(left) == 0 || reader.BufferedFetchRecords() > 0 {
		return nil
	}
	bounds, err := b.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	for p, to := range left {
		if s, ok := bounds[p]; ok && s.From >= to {
			delete(left, p)
		}
	}
	return nil
}

// Bounds returns the first offset of each partition and the one behind its
// last. A partition without a leader, as just after a topic was made or a
// broker was lost, is asked for again, for some seconds.
func (b *Bus) Bounds(ctx context.Context, topic string) (map[int32]Span, error) {
	for n := 0; ; n++ {
		bounds, err := b.bounds(ctx, topic)
		if err == nil || n == 8 || ctx.Err() != nil {
			return bounds, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(backoff(n)):
		}
	}
}

func (b *Bus) bounds(ctx context.Context, topic string) (map[int32]Span, error) {
	first, err := b.admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("asking for the first offsets of %s: %w", topic, err)
	}
	next, err := b.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("asking for the next offsets of %s: %w", topic, err)
	}
	bounds := map[int32]Span{}
	for p, o := range next[topic] {
		f, listed := first.Lookup(topic, p)
		if err := errors.Join(o.Err, f.Err); err != nil {
			return nil, fmt.Errorf("asking for the offsets of %s/%d: %w", topic, p, err)
		}
		if !listed {
			return nil, fmt.Errorf("asking for the offsets of %s/%d: %w", topic, p, errNoOffset)
		}
		bounds[p] = Span{From: f.Offset, To: o.Offset}
	}
	return bounds, nil
}

var errNoOffset = errors.New("the log did not name the first")

// After returns the spans of a topic from the first record at or after the
// time up to the end.
func (b *Bus) After(ctx context.Context, topic string, from time.Time) (map[int32]Span, error) {
	bounds, err := b.Bounds(ctx, topic)
	if err != nil || from.IsZero() {
		return bounds, err
	}
	at, err := b.admin.ListOffsetsAfterMilli(ctx, from.UnixMilli(), topic)
	if err != nil {
		return nil, fmt.Errorf("asking for the offsets of %s at %s: %w", topic, from, err)
	}
	for p, s := range bounds {
		if o, ok := at.Lookup(topic, p); ok && o.Err == nil && o.Offset >= 0 {
			bounds[p] = Span{From: max(s.From, min(o.Offset, s.To)), To: s.To}
		}
	}
	return bounds, nil
}

// Tail calls take for the last n records of each partition, then, if follow is
// set, for what is appended until ctx ends or take returns false. The end of
// ctx is no error.
func (b *Bus) Tail(ctx context.Context, topic string, n int64, follow bool, take func(*Record) bool) error {
	bounds, err := b.Bounds(ctx, topic)
	if err != nil {
		return err
	}
	from := map[int32]kgo.Offset{}
	for p, s := range bounds {
		bounds[p] = Span{From: max(s.From, s.To-n), To: s.To}
		from[p] = kgo.NewOffset().At(bounds[p].From)
	}
	if !follow {
		return b.Scan(ctx, topic, bounds, take)
	}
	reader, err := b.reader(topic, from)
	if err != nil {
		return err
	}
	defer reader.Close()
	for ctx.Err() == nil {
		for iter := reader.PollFetches(ctx).RecordIter(); !iter.Done(); {
			if r := iter.Next(); !r.Attrs.IsControl() && !take(r) {
				return nil
			}
		}
	}
	return nil
}

// At returns the record at one place of the log. A place that holds none, or
// no more, gives nil.
func (b *Bus) At(ctx context.Context, at Partition, offset int64) (*Record, error) {
	bounds, err := b.Bounds(ctx, at.Topic)
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if s, ok := bounds[at.Partition]; !ok || offset < s.From || offset >= s.To {
		return nil, nil
	}
	var found *Record
	err = b.Scan(ctx, at.Topic, map[int32]Span{at.Partition: {From: offset, To: offset + 1}}, func(r *Record) bool {
		if r.Offset == offset {
			found = r
		}
		return false
	})
	return found, err
}

// LastOrigin returns the decoder-origin, beginning with the prefix, of the
// last record with that key, or "" when the partition the key falls into
// holds none. It reads back from the end, so what was appended lately is found
// fast. A source asks it on start for what it had appended but not yet noted.
func (b *Bus) LastOrigin(ctx context.Context, topic, key, prefix string) (string, error) {
	bounds, err := b.Bounds(ctx, topic)
	if err != nil {
		return "", err
	}
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
	p := int32(partitioner.Partition(&Record{Key: []byte(key)}, len(bounds)))
	to, step := bounds[p].To, int64(1000)
	for to > bounds[p].From {
		from, last := max(to-step, bounds[p].From), ""
		err := b.Scan(ctx, topic, map[int32]Span{p: {From: from, To: to}}, func(r *Record) bool {
			if origin := Value(r, event.HeaderOrigin); string(r.Key) == key && strings.HasPrefix(origin, prefix) {
				last = origin
			}
			return true
		})
		if err != nil || last != "" {
			return last, err
		}
		to, step = from, min(step*4, 100_000)
	}
	return "", nil
}
