package bus

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
// fault; any other error is worth a retry. While the embedded log takes nothing
// new in, records of ingest topics wait, and after two seconds the error says
// why.
func (b *Bus) Append(ctx context.Context, records ...*Record) error {
	if slices.ContainsFunc(records, func(r *Record) bool { return intake(r.Topic) }) {
		if err := b.awaitIntake(ctx); err != nil {
			return err
		}
	}
	return b.AppendDerived(ctx, records...)
}

// intakeEvery is how often a source that waits looks whether the log takes
// something in.
const intakeEvery = 50 * time.Millisecond

// intakeWait is how long it waits before it says so: the log may be full for a
// moment only.
const intakeWait = 2 * time.Second

// awaitIntake returns when the log takes new records in, or is worth another
// try. They wait here and not in the producer, whose room is needed for what
// frees the log.
func (b *Bus) awaitIntake(ctx context.Context) error {
	for began := time.Now(); ; {
		refused := b.Refused()
		if refused == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fault.NewRetry(CodeLog, errors.Join(refused, ctx.Err()))
		case <-time.After(intakeEvery):
			if time.Since(began) > intakeWait {
				return fault.NewRetry(CodeLog, refused)
			}
		}
	}
}

// AppendDerived is Append for what is made of records of the log: it does not
// wait while the log takes nothing new in.
func (b *Bus) AppendDerived(ctx context.Context, records ...*Record) error {
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
	return classify(ctx, first)
}

// Produce hands one record over and returns; done is called once, from another
// goroutine or this one, when the log has acknowledged it or never will, then
// with an error that [Bus.Append] would class. Order is kept per key in order
// of calls. It blocks while the bytes not yet acknowledged are at their limit,
// until ctx ends, but not, as Append does, while the log takes nothing new in.
func (b *Bus) Produce(ctx context.Context, r *Record, done func(*Record, error)) {
	b.client.Produce(ctx, r, done)
}

// MaxMessage returns the most bytes a record of the topic may have.
func (b *Bus) MaxMessage(topic string) int { return int(Lookup(topic).MaxMessage) }

func classify(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return fault.NewPermanent(CodeTooLarge, err)
	case errors.Is(err, kerr.InvalidRecord), errors.Is(err, kerr.InvalidTimestamp):
		return fault.NewPermanent("invalid_record", err)
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.InvalidTopicException):
		return fault.NewRetry(CodeUnknownTopic, err)
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fault.NewRetry(CodeUnauthorised, err)
	case ctx.Err() != nil, errors.Is(err, kgo.ErrClientClosed):
		return err
	default: // also what another's context has ended for records that wait for the same topic
		return fault.NewRetry(CodeLog, err)
	}
}

// produced hears from the library what became of batches and records.
type produced struct {
	bus      *Bus
	appended *prometheus.CounterVec
	refused  *prometheus.CounterVec
	mu       sync.Mutex
	purging  map[string]bool // topics
}

func newProduced(b *Bus) *produced {
	return &produced{
		bus: b, purging: map[string]bool{},
		appended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_log_appended_records_total", Help: "Records the log acknowledged, by topic.",
		}, []string{"topic"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "decoder_log_refused_records_total", Help: "Records the log did not acknowledge, by topic.",
		}, []string{"topic"}),
	}
}

// OnProduceBatchWritten implements [kgo.HookProduceBatchWritten].
func (p *produced) OnProduceBatchWritten(_ kgo.BrokerMetadata, topic string, _ int32, m kgo.ProduceBatchMetrics) {
	p.appended.WithLabelValues(topic).Add(float64(m.NumRecords))
}

// OnProduceRecordUnbuffered implements [kgo.HookProduceRecordUnbuffered].
func (p *produced) OnProduceRecordUnbuffered(r *Record, err error) {
	if err == nil {
		return
	}
	p.refused.WithLabelValues(r.Topic).Inc()
	if errors.Is(err, kerr.UnknownTopicID) {
		p.purge(r.Topic)
	}
}

// purge makes the library forget a topic that was deleted and made again: it
// would refuse records for it for ever. A further attempt goes to the topic as
// it now is. It does not block: the library waits for its callers.
func (p *produced) purge(topic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.purging[topic] {
		return
	}
	p.purging[topic] = true
	go func() {
		p.bus.client.PurgeTopicsFromProducing(topic)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.purging, topic)
	}()
}
