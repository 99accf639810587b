package bus

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/decodersring/decoder/internal/obs"
)

// maxRead bounds one response of a broker: the largest batch, and what else a
// fetch brings with it.
const maxRead = 256 * mebibyte

// options are those every connection to the log has in common.
func (b *Bus) options(role string) ([]kgo.Opt, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(b.seeds...),
		kgo.ClientID("decoder-" + role + "-" + b.config.Instance),
		kgo.WithLogger(&logger{scope: b.scope}),
		kgo.BrokerMaxReadBytes(maxRead),
		kgo.BrokerMaxWriteBytes(2 * maxWrapped),
		kgo.MetadataMaxAge(30 * time.Second),
		kgo.MetadataMinAge(250 * time.Millisecond),
		kgo.RetryBackoffFn(backoff),
		kgo.DisableClientMetrics(),
	}
	if b.embedded != nil {
		return append(options, b.embedded.dialer()), nil
	}
	if b.config.TLS != nil {
		options = append(options, kgo.DialTLSConfig(b.config.TLS))
	}
	switch s := b.config.SASL; s.Mechanism {
	case "":
	case "PLAIN":
		options = append(options, kgo.SASL(plain.Auth{User: s.User, Pass: s.Password}.AsMechanism()))
	case "SCRAM-SHA-256":
		options = append(options, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha256Mechanism()))
	case "SCRAM-SHA-512":
		options = append(options, kgo.SASL(scram.Auth{User: s.User, Pass: s.Password}.AsSha512Mechanism()))
	default:
		return nil, fmt.Errorf("SASL mechanism %q: want PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", s.Mechanism)
	}
	return options, nil
}

func backoff(failures int) time.Duration {
	return min(50*time.Millisecond<<min(failures, 6), 2*time.Second)
}

// producerOptions make appending idempotent and acknowledged by all replicas
// in sync. Batches are limited by each topic's largest message, so that the
// client refuses what the log would.
func (b *Bus) producerOptions() []kgo.Opt {
	limits := newMaxMessages()
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(2 * time.Millisecond),
		kgo.ProducerBatchCompression(kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.ProducerBatchMaxBytesFn(limits.of),
		kgo.MaxBufferedBytes(int(b.config.Buffer)),
		kgo.MaxBufferedRecords(200_000),
		kgo.AllowIdempotentProduceCancellation(), // ids absorb what is appended twice
		kgo.UnknownTopicRetries(5),
		kgo.WithHooks(b.produced),
	}
}

// logger hands the client library's warnings to the scope's logger, each
// report at most once in a while: a broker that is away is reported on every
// attempt to reach it.
type logger struct {
	scope obs.Scope
	mu    sync.Mutex
	last  map[string]time.Time
}

const logEvery = 10 * time.Second

func (l *logger) Level() kgo.LogLevel { return kgo.LogLevelWarn }

func (l *logger) Log(_ kgo.LogLevel, message string, keyValues ...any) {
	l.mu.Lock()
	due := time.Since(l.last[message]) > logEvery
	if due {
		if l.last == nil {
			l.last = map[string]time.Time{}
		}
		l.last[message] = time.Now()
	}
	l.mu.Unlock()
	if due { // at warn: what the library calls an error it retries by itself
		l.scope.Logger().Log(context.Background(), slog.LevelWarn, "log client reports", append([]any{"report", message}, keyValues...)...)
	}
}
