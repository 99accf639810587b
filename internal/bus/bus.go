// Package bus is the way to the log, embedded or cluster: the catalogue of
// topics, appending, reading in a consumer group, administration and lag. It
// does not know what a record's bytes mean.
package bus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
)

// Record is one message on the log: key, value bytes, headers.
type Record = kgo.Record

// Header is one header of a record.
type Header = kgo.RecordHeader

// Appender appends records to the log. Append returns nil only when the log
// has acknowledged every record; after an error some may have been appended,
// and appending them again is harmless, since ids come from their origin. The
// log owns the records' bytes until Append returns. It may be called
// concurrently; order is kept per key for calls made one after the other.
type Appender interface {
	Append(ctx context.Context, records ...*Record) error
}

// Value returns the value of the record's last header of that key, or "".
func Value(r *Record, key string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// Config says where the log is. With Brokers it is a cluster, else it is
// embedded and lies in Dir.
type Config struct {
	Dir     string // folder of the embedded log
	Budget  int64  // embedded: bytes of disk all topics may take; 0: no limit
	MinFree int64  // embedded: free bytes of disk below which appends wait; 0: the broker's default
	Relaxed bool   // embedded: acknowledge before the disk has it

	Listen    string // embedded: host:port for clients outside; "": none are served
	Advertise string // embedded: host:port they are told; "": the one they came by
	Open      bool   // embedded: let everybody in on loopback, without a sign-in

	Brokers     []string
	TLS         *tls.Config // of the cluster, or of the embedded log's listener; nil: plain
	SASL        SASL
	Replication int16 // replicas of the topics made; 0: the cluster's default

	// Instance tells processes apart in groups; "": host name and process id.
	// One that is given stays with a process through its restarts, so that it
	// gets its place in the groups of an embedded log back at once.
	Instance string
	Topics   map[string]Override // what the user set differently from the catalogue
	Buffer   int64               // bytes appended and not yet acknowledged; 0: 96 MiB
}

// SASL signs in to a cluster. Mechanism is PLAIN, SCRAM-SHA-256 or
// SCRAM-SHA-512; "" does not sign in.
type SASL struct {
	Mechanism string
	User      string
	Password  string
}

const defaultBuffer = 96 << 20

// Bus is an open way to the log. Its methods may be called concurrently.
type Bus struct {
	named    bool // the instance was given
	config   Config
	scope    obs.Scope
	seeds    []string
	embedded *embedded // nil: a cluster
	client   *kgo.Client
	admin    *kadm.Client
	ids      topicIDs
	pool     *pool
	produced *produced
}

// Open starts the embedded log or reaches the cluster, and makes the topics
// of the catalogue that are missing. It waits for the log until ctx ends.
func Open(ctx context.Context, config Config, scope obs.Scope) (*Bus, error) {
	if (config.Dir == "") == (len(config.Brokers) == 0) {
		return nil, errors.New("a log needs either a folder or brokers")
	}
	if config.Buffer == 0 {
		config.Buffer = defaultBuffer
	}
	named := config.Instance != ""
	if !named {
		host, _ := os.Hostname()
		config.Instance = host + "-" + strconv.Itoa(os.Getpid())
	}
	b := &Bus{config: config, named: named, scope: scope, seeds: config.Brokers, pool: newPool()}
	b.produced = newProduced(b)
	if len(config.Brokers) == 0 {
		e, err := startEmbedded(ctx, config, scope)
		if err != nil {
			return nil, fmt.Errorf("starting the embedded log in %s: %w", config.Dir, err)
		}
		b.embedded, b.seeds = e, []string{broker.Embedded}
	}
	if err := b.connect(ctx); err != nil {
		b.Close()
		return nil, err
	}
	scope.Register(b.produced.appended, b.produced.refused)
	return b, nil
}

func (b *Bus) connect(ctx context.Context) error {
	options, err := b.options("producer")
	if err != nil {
		return err
	}
	if b.client, err = kgo.NewClient(append(options, b.producerOptions()...)...); err != nil {
		return fmt.Errorf("configuring the client of the log: %w", err)
	}
	b.admin = kadm.NewClient(b.client)
	if err := b.reach(ctx); err != nil {
		return err
	}
	if err := b.Ensure(ctx, Catalogue()...); err != nil {
		return fmt.Errorf("making the topics of the catalogue: %w", err)
	}
	return nil
}

// reach waits until a broker answers or ctx ends.
func (b *Bus) reach(ctx context.Context) error {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := b.client.Ping(ctx)
		if err == nil {
			return nil
		}
		b.scope.Logger().WarnContext(ctx, "log does not answer", "brokers", b.seeds, "err", err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("reaching the log at %v: %w", b.seeds, err)
		case <-time.After(wait):
		}
	}
}

// Close ends the connection, and the embedded log if there is one. What was
// appended and is not acknowledged yet is waited for, shortly.
func (b *Bus) Close() {
	if b.client != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_ = b.client.Flush(ctx) // an error leaves those records unacknowledged, which their senders know
		cancel()
		b.client.Close()
	}
	if b.embedded != nil {
		b.embedded.close()
	}
}

// Brokers returns the addresses under which the log is reached from outside;
// none for an embedded log that does not listen.
func (b *Bus) Brokers() []string {
	if b.embedded == nil {
		return b.seeds
	}
	if address := b.Address(); address != "" {
		return []string{address}
	}
	return nil
}

// Embedded reports whether the log lies in this process.
func (b *Bus) Embedded() bool { return b.embedded != nil }
