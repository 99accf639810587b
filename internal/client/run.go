package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
)

// Client runs one stage or sink.
type Client struct {
	runtime *Runtime
	spec    Spec
	gate    gate
	flusher Flusher // nil: the sink does not buffer
	resumer Resumer // nil: the group's offsets say where to begin
	window  int     // entries a partition may have in flight
	metrics *metrics

	progress chan struct{} // something is to be committed
	flushNow chan struct{}
	freed    chan struct{} // records in memory became fewer
	slots    chan struct{} // of a concurrent stage
	outputs  sync.Pool
	limits   map[string]int // largest record of each output

	commitMu sync.Mutex
	flushing chan struct{} // a token: one flush at a time

	running atomic.Bool
	clock   atomic.Int64    // Unix nanoseconds, kept by reports to the second
	ctx     context.Context // of this Run, until everything is handed back
	fail    context.CancelCauseFunc
	group   atomic.Pointer[bus.Group]
	tasks   sync.WaitGroup

	mu         sync.Mutex
	partitions map[bus.Partition]*partition

	unflushed atomic.Pointer[phase] // why the sink cannot be flushed; nil: it can
}

const (
	orderedWindow = 256              // entries, of up to chunkRecords each
	grace         = 5 * time.Second  // for records being handled when a partition is taken
	leaving       = 10 * time.Second // for the last flush and commit
	inReserve     = 3 * time.Second  // of it for the commit alone: what is not flushed is at least no death
)

func newClient(r *Runtime, spec Spec) *Client {
	c := &Client{
		runtime: r, spec: spec, window: orderedWindow, metrics: newMetrics(spec, r.scope),
		progress: make(chan struct{}, 1), flushNow: make(chan struct{}, 1), freed: make(chan struct{}, 1),
		flushing: make(chan struct{}, 1), partitions: map[bus.Partition]*partition{}, limits: map[string]int{},
	}
	var handler any = spec.Stage
	if spec.Sink != nil {
		handler = spec.Sink
		c.flusher, _ = handler.(Flusher)
		c.resumer, _ = handler.(Resumer)
	}
	c.gate.checker, _ = handler.(Checker)
	if spec.Concurrency > 0 {
		c.window = spec.Window
		c.slots = make(chan struct{}, spec.Concurrency)
	}
	c.outputs.New = func() any { return c.output() }
	for _, topic := range append([]string{bus.DeadTopic(spec.Dead).Name}, spec.Outputs...) {
		c.limits[topic] = r.bus.MaxMessage(topic)
	}
	c.metrics.observe(c)
	return c
}

func (c *Client) output() *Output {
	return &Output{limit: c.limit, stage: []byte(c.spec.Name), shares: true}
}

// limit is the largest record of a topic. One the spec does not name is looked
// up each time.
func (c *Client) limit(topic string) int {
	if n, ok := c.limits[topic]; ok {
		return n
	}
	return c.runtime.bus.MaxMessage(topic)
}

// Name returns the client's name.
func (c *Client) Name() string { return c.spec.Name }

// Run reads and handles until ctx ends, and then hands back in order: what is
// being handled is finished, within a grace, and committed. It returns nil
// when ctx ended, else why the client cannot go on.
func (c *Client) Run(ctx context.Context) error {
	if !c.running.CompareAndSwap(false, true) {
		return fmt.Errorf("client %s runs already", c.spec.Name)
	}
	defer c.running.Store(false)
	defer c.close()
	reading, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	work, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	c.ctx, c.fail = work, fail
	c.runtime.scope.Set("client/"+c.spec.Name, obs.Starting, "waiting for the log")
	if err := c.prepare(reading); err != nil {
		if ctx.Err() != nil {
			return nil // it had nothing to hand back
		}
		return err
	}
	if err := c.join(); err != nil {
		return err
	}
	c.clock.Store(time.Now().UnixNano())
	c.start(func() { c.committer(work) })
	c.start(func() { c.reports(work) })
	if c.flusher != nil {
		c.start(func() { c.flushes(work) })
	}
	c.reads(reading)
	c.group.Load().Leave()
	end()
	c.tasks.Wait()
	c.handedBack()
	if cause := context.Cause(reading); ctx.Err() == nil && cause != nil {
		return fmt.Errorf("client %s: %w", c.spec.Name, cause)
	}
	return nil
}

func (c *Client) join() error {
	group, err := c.runtime.bus.Join(bus.GroupOptions{
		Group: c.spec.Group, Topics: append([]string{bus.TopicResend}, c.spec.Inputs...), Member: c,
		MaxFetch: maxFetch(c.spec.InFlight), Session: c.spec.Session,
	})
	if err == nil {
		c.group.Store(group)
	}
	return err
}

// reads polls until ctx ends, and joins the group anew when a topic was made
// anew: what was read of the old one says nothing of the new one's offsets.
func (c *Client) reads(ctx context.Context) {
	for ctx.Err() == nil {
		err := c.poll(ctx)
		remade, is := errors.AsType[*bus.RemadeError](err)
		if !is {
			if err != nil {
				c.fail(err)
			}
			continue
		}
		c.runtime.scope.Logger().WarnContext(ctx, "topic was made anew, reading it from its beginning", "client", c.spec.Name, "topic", remade.Topic)
		c.Revoked(ctx, c.ofTopic(remade.Topic), true)
		c.group.Load().Leave()
		if err = c.prepare(ctx); err == nil {
			err = c.join()
		}
		if err != nil {
			c.fail(err)
		}
	}
}

func (c *Client) ofTopic(topic string) (list []bus.Partition) {
	for _, p := range c.all() {
		if p.Topic == topic {
			list = append(list, p.Partition)
		}
	}
	return list
}

// maxFetch is how much is asked for at once, as it lies on the log. Text comes
// out of its compression six to twelve times as large, is held until the last
// record of its batch is done with, and the next fetch is under way while the
// one before is handled.
func maxFetch(inFlight int64) int32 { return int32(min(max(inFlight/64, 64<<10), 2<<20)) }

// prepare makes sure that the topics are there, however long the log is away.
func (c *Client) prepare(ctx context.Context) error {
	for n := 0; ; n++ {
		err := c.ensure(ctx, c.topics())
		if err == nil {
			err = c.begin(ctx)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			c.runtime.scope.Logger().WarnContext(ctx, "topics are not there yet, will retry", "client", c.spec.Name, "err", err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("client %s: %w", c.spec.Name, errors.Join(ctx.Err(), err))
		case <-time.After(backoff(c.spec.Backoff, n)):
		}
	}
}

// topics are those the client cannot do without.
func (c *Client) topics() (topics []bus.Topic) {
	for _, name := range append(append([]string{}, c.spec.Inputs...), c.spec.Outputs...) {
		topics = append(topics, bus.Lookup(name))
	}
	return append(topics, bus.DeadTopic(c.spec.Dead))
}

// ensure makes the topics and asks for the ids of the inputs anew: those from
// before a topic was made again are wrong. A cluster may answer that a topic
// was made before it knows the topic.
func (c *Client) ensure(ctx context.Context, topics []bus.Topic) error {
	if err := c.runtime.bus.Ensure(ctx, topics...); err != nil {
		return err
	}
	for _, topic := range c.spec.Inputs {
		if _, err := c.runtime.bus.FreshTopicID(ctx, topic); err != nil {
			return err
		}
	}
	return nil
}

// begin has a group that begins with what comes next say so in the log before
// it reads: where it begins does not move while nothing is read.
func (c *Client) begin(ctx context.Context) error {
	if !c.spec.FromNow {
		return nil
	}
	at, err := c.runtime.bus.Committed(ctx, c.spec.Group)
	if err != nil || len(at) > 0 {
		return err
	}
	ends := map[bus.Partition]int64{}
	for _, topic := range c.spec.Inputs {
		bounds, err := c.runtime.bus.Bounds(ctx, topic)
		if err != nil {
			return err
		}
		for p, span := range bounds {
			ends[bus.Partition{Topic: topic, Partition: p}] = span.To
		}
	}
	return c.runtime.bus.SetCommitted(ctx, c.spec.Group, ends)
}

// start runs f beside the others; Run waits for it. Handlers are protected
// where they are called, so a panic here is the runtime's own and ends it.
func (c *Client) start(f func()) {
	c.tasks.Go(f)
}

// poll reads, as fast as the records are handled, until ctx ends or nothing can
// be read any more.
func (c *Client) poll(ctx context.Context) error {
	group := c.group.Load()
	for ctx.Err() == nil {
		most := 20_000
		if c.flowing() > c.spec.InFlight {
			// Wait, but not for ever: one that has come to stand still is
			// found, and paused, by reading on.
			select {
			case <-ctx.Done():
				return nil
			case <-c.freed:
				continue
			case <-time.After(standing):
				most = 100
			}
		}
		if err := group.Poll(ctx, most, c.dispatch); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) dispatch(b bus.Batch) {
	c.mu.Lock()
	p := c.partitions[b.Partition]
	c.mu.Unlock()
	if p != nil { // else it was taken meanwhile
		p.enqueue(b)
	}
}

// share is what one partition may hold in memory. Those of the topic resend
// hardly ever hold anything.
func (c *Client) share() int64 {
	c.mu.Lock()
	n := 0
	for tp := range c.partitions {
		if tp.Topic != bus.TopicResend {
			n++
		}
	}
	c.mu.Unlock()
	return max(c.spec.InFlight/int64(max(n, 1)), 256<<10)
}

// flow is what one partition may have in flight: the bytes in memory, divided
// among those that have any in flight now. Most often a few of many partitions
// do, one where all comes from one sensor, and had it no more than its share,
// it would mostly wait for the log. One alone leaves room for others.
func (c *Client) flow() int64 {
	const atLeast = 4
	c.mu.Lock()
	n := 0
	for _, p := range c.partitions {
		if _, inFlight, _ := p.tracker.position(); inFlight > 0 {
			n++
		}
	}
	c.mu.Unlock()
	return max(c.spec.InFlight/int64(max(n, atLeast)), 256<<10)
}

// held returns the bytes read and not done with, over all partitions.
func (c *Client) held() int64 {
	n := int64(0)
	for _, p := range c.all() {
		bytes, _ := p.held()
		n += bytes
	}
	return n
}

// flowing is held without what is paused: a partition that stands still does
// not hold up those that go on.
func (c *Client) flowing() int64 {
	n := int64(0)
	for _, p := range c.all() {
		if bytes, paused := p.held(); !paused {
			n += bytes
		}
	}
	return n
}

func (c *Client) moved() { notify(c.progress) }

func (c *Client) requestFlush() {
	if c.flusher != nil {
		notify(c.flushNow)
	}
}

func (c *Client) all() []*partition {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*partition, 0, len(c.partitions))
	for _, p := range c.partitions {
		all = append(all, p)
	}
	return all
}

// close releases what the handler holds.
func (c *Client) close() {
	var handler any = c.spec.Stage
	if c.spec.Sink != nil {
		handler = c.spec.Sink
	}
	if closer, ok := handler.(Closer); ok {
		if err := closer.Close(); err != nil {
			c.runtime.scope.Logger().Warn("client is not closed in order", "client", c.spec.Name, "err", err)
		}
	}
}

// handedBack forgets what a Run that ends in disorder may have left.
func (c *Client) handedBack() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.partitions)
}
