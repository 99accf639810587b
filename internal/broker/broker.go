// Package broker is the dumb log itself: an embeddable broker of the Kafka
// protocol for one machine. Topics of bytes are appended to files, read by
// offset, kept until retention ends; what is acknowledged is on the disk. It
// knows nothing of what the bytes mean.
//
//	b, err := broker.New(broker.Config{DataDir: dir, Listen: "127.0.0.1:9092"}, scope)
//	go b.Run(ctx)                 // until ctx ends; opens and recovers first
//	<-b.Ready()                   // closed when clients are served
//	cl, err := kgo.NewClient(kgo.SeedBrokers(broker.Embedded), kgo.Dialer(b.Dial))
//
// It is three layers that can be read apart: storage (the files), groups (who
// reads what, and how far), wire (connections and requests).
package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/memconn"
	"github.com/decodersring/decoder/internal/broker/storage"
	"github.com/decodersring/decoder/internal/broker/wire"
	"github.com/decodersring/decoder/internal/obs"
)

// Embedded is the address to give a client whose dialer is [Broker.Dial].
const Embedded = "embedded:9092"

// TopicSpec is a topic to be created: its partitions and what is set of its
// configuration, by Kafka's names and decoder.budget.
type TopicSpec = storage.TopicSpec

// Config says how a broker works. Only DataDir is required.
type Config struct {
	// DataDir is the folder of all its files; it is made when it is not there.
	DataDir string
	// Listen is a TCP address; "" serves embedded clients only. Any but a
	// loopback address requires TLS.
	Listen string
	// Advertise is the host:port outside clients are told; "" is the one they
	// connected to.
	Advertise string
	// TLS of the listener; nil: none. A client certificate it verifies is a
	// sign-in.
	TLS *tls.Config
	// Open lets everybody on a loopback listener in without a sign-in.
	Open bool
	// Relaxed acknowledges what is not yet synced: some seconds of
	// acknowledged records are lost when the power fails.
	Relaxed bool
	// Budget is what all topics may take on the disk in bytes; 0: no limit.
	Budget int64
	// MinFree is the free disk space in bytes below which nothing new is taken
	// in, and below a quarter of which next to nothing, retriably; 0: 512 MiB. A
	// negative one switches the guard off.
	MinFree int64
	// AutoCreate returns the topic to create when a client asks for one that
	// does not exist. nil: none is.
	AutoCreate func(name string) (TopicSpec, bool)
	// Keep says of which groups the budget keeps what they have still to read:
	// rather nothing more is taken in. nil: none. It counts for a group while
	// it has members, and two minutes more, and not for what there was before
	// the group: one that is new may read history, but holds nothing up with it.
	Keep func(group string) bool
	// OffsetRetention is how long offsets of a group without members are
	// kept; 0: 7 days.
	OffsetRetention time.Duration
	// MaxConnections of the listener; 0: 1000.
	MaxConnections int
	// MaxRequestBytes is the largest produce request; 0: 132 MiB.
	MaxRequestBytes int

	// Storage changes how files are handled; its folder, budget and the like
	// are taken from above. Tests use it.
	Storage storage.Options
}

// Broker is an embedded log.
type Broker struct {
	cfg    Config
	scope  obs.Scope
	store  *storage.Store
	groups *groups.Manager
	server *wire.Server
	health *health

	ready    chan struct{}
	run      atomic.Pointer[context.Context] // of Run, while it serves
	listener net.Listener
	ran      atomic.Bool
}

const defaultMinFree = 512 << 20

// New returns a broker that has opened nothing.
func New(cfg Config, scope obs.Scope) (*Broker, error) {
	if cfg.DataDir == "" {
		return nil, errors.New("broker: no data folder")
	}
	if cfg.Listen != "" && cfg.TLS == nil && !isLoopback(cfg.Listen) {
		return nil, fmt.Errorf("broker: listening on %s requires TLS: only a loopback address may do without", cfg.Listen)
	}
	if cfg.Open && cfg.Listen != "" && !isLoopback(cfg.Listen) {
		return nil, fmt.Errorf("broker: listening on %s requires a sign-in: only a loopback address may be open", cfg.Listen)
	}
	if cfg.Advertise != "" {
		_, port, err := net.SplitHostPort(cfg.Advertise)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 {
			return nil, fmt.Errorf("broker: %q cannot be advertised: it is not host:port", cfg.Advertise)
		}
	}
	if cfg.MinFree == 0 {
		cfg.MinFree = defaultMinFree
	}
	b := &Broker{cfg: cfg, scope: scope, ready: make(chan struct{}), health: newHealth(scope)}
	m := newMetrics()
	opts := cfg.Storage
	opts.Dir, opts.Log, opts.Relaxed = cfg.DataDir, scope.Logger(), cfg.Relaxed
	opts.Budget, opts.MinFree = cfg.Budget, cfg.MinFree
	opts.Events = b.events(m)
	if cfg.Keep != nil {
		opts.Unread = b.unread
	}
	if opts.JournalBytes == 0 && cfg.Budget > 0 {
		opts.JournalBytes = min(max(cfg.Budget/32, 2<<20), 32<<20) // up to four of them
	}
	b.store = storage.New(opts)
	b.groups = groups.New(groups.Config{
		Retention: cfg.OffsetRetention, Log: scope.Logger(), Topic: b.topic, Ends: b.ends,
	}, offsetsLog{b.store})
	wc := wire.Config{
		Log: scope.Logger(), Advertise: cfg.Advertise, TLS: cfg.TLS, AutoCreate: cfg.AutoCreate,
		MaxConnections: cfg.MaxConnections, MaxRequestBytes: cfg.MaxRequestBytes, Metrics: m,
	}
	if !cfg.Open {
		wc.SignIn = newCredentials(cfg.DataDir)
	}
	b.server = wire.New(wc, b.store, b.groups)
	m.register(scope, b)
	return b, nil
}

func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Run opens the log, recovers what a crash left, and serves until ctx ends.
// Everything is durable and closed when it returns. It may be called once.
func (b *Broker) Run(ctx context.Context) (err error) {
	if b.ran.Swap(true) {
		return errors.New("broker: run twice")
	}
	b.health.starting()
	defer func() { b.health.ended(err) }()
	if err := b.store.Open(); err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The store ends last: what waits in a connection waits for it.
	storeCtx, stopStore := context.WithCancel(context.WithoutCancel(ctx))
	var store, rest sync.WaitGroup
	var storeErr, serveErr error
	store.Go(func() { storeErr = b.store.Run(storeCtx) })
	defer func() {
		cancel()
		b.server.Close()
		rest.Wait()
		stopStore()
		store.Wait()
		err = errors.Join(err, serveErr, storeErr)
	}()
	if err := b.open(ctx); err != nil {
		return err
	}
	rest.Go(func() { _ = b.groups.Run(ctx) }) // always nil
	if b.listener != nil {
		rest.Go(func() {
			serveErr = b.server.Serve(ctx, b.listener)
			cancel()
		})
	}
	b.run.Store(&ctx)
	close(b.ready)
	b.health.ready()
	<-ctx.Done()
	return nil
}

// open does what needs an open store.
func (b *Broker) open(ctx context.Context) error {
	if err := makeOffsetsTopic(b.store); err != nil {
		return fmt.Errorf("making the topic of group offsets: %w", err)
	}
	if err := b.groups.Load(); err != nil {
		return err
	}
	if b.cfg.Listen == "" {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", b.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	b.listener = l
	if !b.cfg.Open {
		if err := ensureCredentials(b.cfg, l.Addr().String()); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	return nil
}

// Ready is closed when clients are served. It stays open if Run fails before.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Addr is the listener's address; nil when there is none. Only after Ready.
func (b *Broker) Addr() net.Addr {
	if b.listener == nil {
		return nil
	}
	return b.listener.Addr()
}

// memBuffer is how much each direction of an embedded connection holds.
const memBuffer = 1 << 20

// Dial connects a client within the process, whatever the network and address
// it asks for. It waits until the broker is ready, or ctx ends.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	select {
	case <-b.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	client, server := memconn.Pipe(Embedded, memBuffer)
	if err := b.server.Attach(*b.run.Load(), server); err != nil {
		return nil, errors.Join(fmt.Errorf("dialing embedded broker: %w", err), client.Close())
	}
	return client, nil
}

// Size returns the bytes of all topics. Only after Ready.
func (b *Broker) Size() int64 { return b.store.Size() }

// Refused returns why the log takes nothing new in at present; nil when it
// does. Only after Ready.
func (b *Broker) Refused() error { return b.store.Refused() }

func (b *Broker) topic(name string, partition int32) (id [16]byte, ok bool) {
	t := b.store.Topic(name)
	if t == nil || t.Partition(partition) == nil {
		return id, false
	}
	return t.ID, true
}
