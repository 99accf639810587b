package bus

import (
	"context"
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/fault"
)

// Codes of what the log answers to an append.
const (
	CodeTooLarge     = "message_too_large"
	CodeUnknownTopic = "unknown_topic"
	CodeUnauthorised = "not_authorised"
	CodeLog          = "log_unavailable"
)

// Append implements [Appender]. A record the log can never take is a permanent
// fault; any other error is worth a retry.
func (b *Bus) Append(ctx context.Context, records ...*Record) error {
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error
	)
	wg.Add(len(records))
	done := func(_ *Record, err error) {
		if err != nil {
			mu.Lock()
			if first == nil {
				first = err
			}
			mu.Unlock()
		}
		wg.Done()
	}
	for _, r := range records {
		b.Produce(ctx, r, done)
	}
	wg.Wait()
	return first
}

// Produce hands one record over and returns; done is called once, from another
// goroutine or this one, when the log has acknowledged it or never will, with
// an error classed as Append's. Order is kept per key in order of calls. It
// blocks while the bytes not yet acknowledged are at their limit.
func (b *Bus) Produce(ctx context.Context, r *Record, done func(*Record, error)) {
	b.client.Produce(ctx, r, func(r *Record, err error) {
		if err != nil {
			b.refused.WithLabelValues(r.Topic).Inc()
			err = classify(err)
		} else {
			b.appended.WithLabelValues(r.Topic).Inc()
		}
		done(r, err)
	})
}

// MaxMessage returns the most bytes a record of the topic may have.
func (b *Bus) MaxMessage(topic string) int { return int(Lookup(topic).MaxMessage) }

func classify(err error) error {
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fault.NewPermanent(CodeTooLarge, err)
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp):
		return fault.NewPermanent("invalid_record", err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.InvalidTopicException):
		return fault.NewRetry(CodeUnknownTopic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fault.NewRetry(CodeUnauthorised, err)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
		return err
	default:
		return fault.NewRetry(CodeLog, err)
	}
}
