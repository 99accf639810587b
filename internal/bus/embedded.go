package bus

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/decodersring/decoder/internal/broker"
	"github.com/decodersring/decoder/internal/obs"
)

// embedded is the log in this process.
type embedded struct {
	broker *broker.Broker
	stop   context.CancelFunc
	ended  chan struct{} // closed when the broker's Run has returned
	failed chan error    // gets what it returned, once
}

// startEmbedded returns once the log serves clients, or cannot.
func startEmbedded(ctx context.Context, config Config, scope obs.Scope) (*embedded, error) {
	b, err := broker.New(broker.Config{
		DataDir: config.Dir, Listen: config.Listen, Advertise: config.Advertise, TLS: config.TLS, Open: config.Open,
		Relaxed: config.Relaxed, Budget: config.Budget, MinFree: config.MinFree, Keep: kept, AutoCreate: autoCreate,
		MaxRequestBytes: 2 * maxWrapped,
	}, scope)
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	e := &embedded{broker: b, stop: stop, ended: make(chan struct{}), failed: make(chan error, 1)}
	go func() {
		e.failed <- b.Run(running)
		close(e.ended)
	}()
	select {
	case <-b.Ready():
		return e, nil
	case err := <-e.failed:
		stop()
		return nil, errors.Join(err, ctx.Err())
	case <-ctx.Done():
		e.close()
		return nil, ctx.Err()
	}
}

// autoCreate makes the ingest topics of the catalogue for producers outside
// that come before the program; it makes no other.
func autoCreate(name string) (broker.TopicSpec, bool) {
	for _, t := range Catalogue() {
		if t.Name == name && intake(name) {
			return broker.TopicSpec{Name: name, Partitions: int(t.Partitions), Config: embeddedSettings(t)}, true
		}
	}
	return broker.TopicSpec{}, false
}

// kept says which groups' unread records the disk budget keeps: those of the
// program's own clients, which are named after it, but for reruns: what they
// read again was read before.
func kept(group string) bool {
	return strings.HasPrefix(group, groupPrefix) && !strings.HasPrefix(group, rerunPrefix)
}

const (
	groupPrefix = "decoder-"
	rerunPrefix = groupPrefix + "rerun-"
)

// Refused returns why the embedded log takes nothing new in at present; nil
// when it does. Of a cluster it is not known.
func (b *Bus) Refused() error {
	if b.embedded == nil {
		return nil
	}
	return b.embedded.broker.Refused()
}

// dialer connects within the process.
func (e *embedded) dialer() kgo.Opt {
	return kgo.Dialer(func(ctx context.Context, network, host string) (net.Conn, error) {
		return e.broker.Dial(ctx, network, host)
	})
}

func (e *embedded) close() {
	e.stop()
	<-e.ended
}

// Address returns where clients outside reach the embedded log; "" when it
// listens nowhere, and for a cluster.
func (b *Bus) Address() string {
	if b.embedded == nil || b.embedded.broker.Addr() == nil {
		return ""
	}
	return b.embedded.broker.Addr().String()
}

// Failed receives, once, the error with which the embedded log ends on its
// own. A cluster has none to give.
func (b *Bus) Failed() <-chan error {
	if b.embedded == nil {
		return nil
	}
	return b.embedded.failed
}
