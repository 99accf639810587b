package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Partition names one partition of a topic.
type Partition struct {
	Topic     string
	Partition int32
}

// Position is where a group stands in a partition.
type Position struct {
	Offset   int64  // of the next record to read; -1: nothing was committed
	Metadata string // what was committed with it
}

// Batch is a run of records of one partition in order. Who is done with a
// record and its bytes for good may say so by its Recycle, once; it does not
// have to.
type Batch struct {
	Partition
	Records []*Record
	Next    int64 // offset behind the last record the partition has
}

// Member is told what a group gives it and takes from it. Calls come one at a
// time and never while a polled batch has not been released.
type Member interface {
	// Assigned gives partitions with where the group stands in them, and
	// returns where to begin in those that shall begin elsewhere. A partition
	// may be given again without having been taken.
	Assigned(ctx context.Context, given map[Partition]Position) (map[Partition]int64, error)
	// Revoked takes partitions. Until it returns the group still accepts
	// commits for them, unless lost is true: then others have them already.
	Revoked(ctx context.Context, taken []Partition, lost bool)
}

// GroupOptions say how to read in a group.
type GroupOptions struct {
	Group    string
	Topics   []string
	Member   Member
	MaxFetch int32         // bytes of one fetch; 0: 8 MiB
	Session  time.Duration // a member unheard of for so long is dead; 0: 12 s
}

// Group is a member of a consumer group.
type Group struct {
	bus     *Bus
	name    string
	client  *kgo.Client
	member  Member
	at      map[Partition]string // metadata fetched, until it is handed on
	strange map[string]time.Time // topics read with an id that the log does not know, since when
	lost    atomic.Value         // string: the session that failed last
}

// RemadeError says that a topic was deleted and made again under its name:
// what the group knows of it is of the old one. Who joins again reads the new
// one.
type RemadeError struct{ Topic string }

func (e *RemadeError) Error() string { return fmt.Sprintf("topic %s was made anew", e.Topic) }

// remadeAfter is how long a topic's id is unknown before the topic is taken to
// be another: a cluster's brokers do not all hear of a topic at once.
const remadeAfter = 3 * time.Second

// static reports whether a member's place in a group is kept for its return.
func (b *Bus) static() bool { return b.named && b.embedded != nil }

// Join becomes a member of a group. Partitions come by way of the member once
// Poll is called.
func (b *Bus) Join(o GroupOptions) (*Group, error) {
	if o.MaxFetch == 0 {
		o.MaxFetch = 8 * mebibyte
	}
	if o.Session == 0 {
		o.Session = 12 * time.Second
	}
	g := &Group{bus: b, name: o.Group, member: o.Member, at: map[Partition]string{}, strange: map[string]time.Time{}}
	g.lost.Store("")
	options, err := b.options(o.Group)
	if err != nil {
		return nil, err
	}
	options = append(options,
		kgo.ConsumerGroup(o.Group),
		kgo.ConsumeTopics(o.Topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.WithPools(b.pool),
		kgo.WithHooks(sessions{g}),
		kgo.SessionTimeout(o.Session),
		kgo.HeartbeatInterval(o.Session/5),
		kgo.RebalanceTimeout(30*time.Second),
		kgo.FetchMaxBytes(o.MaxFetch),
		kgo.FetchMaxPartitionBytes(max(o.MaxFetch/4, mebibyte)),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.OnOffsetsFetched(g.fetched),
		kgo.AdjustFetchOffsetsFn(g.assign),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, taken map[string][]int32) { g.revoke(ctx, taken, false) }),
		kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, taken map[string][]int32) { g.revoke(ctx, taken, true) }),
	)
	if b.static() {
		// The members of an embedded log end with it: after a kill they take
		// their own place again at once, instead of waiting for the session of
		// those they were to run out.
		options = append(options, kgo.InstanceID(b.config.Instance))
	}
	if g.client, err = kgo.NewClient(options...); err != nil {
		return nil, fmt.Errorf("configuring group %s: %w", o.Group, err)
	}
	return g, nil
}

// fetched keeps the metadata until assign, which the library calls next.
func (g *Group) fetched(_ context.Context, _ *kgo.Client, answer *kmsg.OffsetFetchResponse) error {
	clear(g.at)
	for _, group := range answer.Groups {
		for _, t := range group.Topics {
			for _, p := range t.Partitions {
				if p.Metadata != nil {
					g.at[Partition{t.Topic, p.Partition}] = *p.Metadata
				}
			}
		}
	}
	return nil
}

func (g *Group) assign(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	given := map[Partition]Position{}
	for topic, partitions := range offsets {
		for p, o := range partitions {
			tp := Partition{topic, p}
			given[tp] = Position{Offset: max(o.EpochOffset().Offset, -1), Metadata: g.at[tp]}
		}
	}
	if len(given) == 0 {
		return offsets, nil
	}
	elsewhere, err := g.member.Assigned(ctx, given)
	for tp, at := range elsewhere {
		offsets[tp.Topic][tp.Partition] = kgo.NewOffset().At(at).WithEpoch(-1)
	}
	return offsets, err
}

func (g *Group) revoke(ctx context.Context, taken map[string][]int32, lost bool) {
	var list []Partition
	for topic, partitions := range taken {
		for _, p := range partitions {
			list = append(list, Partition{topic, p})
		}
	}
	if len(list) > 0 {
		g.member.Revoked(ctx, list, lost)
	}
}

// Poll waits for records and calls take for each batch; take must not block.
// It returns nil when ctx ends, a [RemadeError] when a topic has become another,
// and any other error when the group can no longer be read.
func (g *Group) Poll(ctx context.Context, most int, take func(Batch)) error {
	fetches := g.client.PollRecords(ctx, most)
	defer g.client.AllowRebalance()
	if fetches.IsClientClosed() {
		return kgo.ErrClientClosed
	}
	var fatal error
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if errors.Is(p.Err, kerr.UnknownTopicID) {
			fatal = cmp.Or(fatal, g.unknownID(p.Topic))
			return
		}
		if p.Err != nil && !errors.Is(p.Err, context.Canceled) && !errors.Is(p.Err, context.DeadlineExceeded) {
			if g.passes(p) {
				return
			}
			fatal = fmt.Errorf("reading %s/%d: %w", p.Topic, p.Partition, p.Err)
		}
		if len(p.Records) > 0 {
			take(Batch{Partition: Partition{p.Topic, p.Partition}, Records: p.Records, Next: p.HighWatermark})
		}
	})
	return fatal
}

// unknownID returns an error once the topic has been unknown for a while.
func (g *Group) unknownID(topic string) error {
	since, known := g.strange[topic]
	switch {
	case !known:
		g.strange[topic] = time.Now()
		g.bus.scope.Logger().Warn("topic is not known by its id at present", "group", g.name, "topic", topic)
	case time.Since(since) > 2*remadeAfter: // it was known in between
		g.strange[topic] = time.Now()
	case time.Since(since) > remadeAfter:
		return &RemadeError{Topic: topic}
	}
	return nil
}

// passes reports errors the library goes on after by itself.
func (g *Group) passes(p kgo.FetchTopicPartition) bool {
	if lost, is := errors.AsType[*kgo.ErrDataLoss](p.Err); is {
		g.bus.scope.Logger().Error("log lost records", "group", g.name, "topic", p.Topic, "partition", p.Partition,
			"from", lost.ConsumedTo, "to", lost.ResetTo)
		return true
	}
	if session, is := errors.AsType[*kgo.ErrGroupSession](p.Err); is {
		g.bus.scope.Logger().Warn("group session failed, joining again", "group", g.name, "err", session.Err)
		return true
	}
	if errors.Is(p.Err, kerr.UnknownTopicOrPartition) || kerr.IsRetriable(p.Err) {
		g.bus.scope.Logger().Warn("partition cannot be read at present", "group", g.name, "topic", p.Topic,
			"partition", p.Partition, "err", p.Err)
		return true
	}
	return false
}

// Commit notes where the group stands, and returns when the log has it
// durably. An error may be one of some partitions alone; committing again
// later is always right.
func (g *Group) Commit(ctx context.Context, at map[Partition]Position) error {
	if len(at) == 0 {
		return nil
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for tp, p := range at {
		if offsets[tp.Topic] == nil {
			offsets[tp.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[tp.Topic][tp.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.Offset}
	}
	ctx = kgo.PreCommitFnContext(ctx, func(request *kmsg.OffsetCommitRequest) error {
		for i, t := range request.Topics {
			for j, p := range t.Partitions {
				metadata := at[Partition{t.Topic, p.Partition}].Metadata
				request.Topics[i].Partitions[j].Metadata = &metadata
			}
		}
		return nil
	})
	var failed error
	g.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failed = err
		if err == nil && answer != nil {
			failed = commitError(answer)
		}
	})
	if failed != nil {
		return fmt.Errorf("committing offsets of group %s: %w", g.name, failed)
	}
	return nil
}

func commitError(answer *kmsg.OffsetCommitResponse) error {
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return fmt.Errorf("%s/%d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// Pause stops fetching the partitions; Resume goes on where they were.
func (g *Group) Pause(partitions ...Partition) {
	if len(partitions) > 0 { // the library takes none for a question
		g.client.PauseFetchPartitions(byTopic(partitions))
	}
}

// Resume fetches paused partitions again.
func (g *Group) Resume(partitions ...Partition) {
	if len(partitions) > 0 {
		g.client.ResumeFetchPartitions(byTopic(partitions))
	}
}

// Joined reports whether the group has let the member in, with partitions or
// without, and not lost it since.
func (g *Group) Joined() bool {
	session := g.session()
	return session != "" && session != g.lost.Load()
}

// session names the membership in one generation of the group; "": there is
// none.
func (g *Group) session() string {
	member, generation := g.client.GroupMetadata()
	if generation < 0 {
		return ""
	}
	return fmt.Sprintf("%s %d", member, generation)
}

// sessions hears of the sessions that a group has ended.
type sessions struct{ group *Group }

// OnGroupManageError implements [kgo.HookGroupManageError]. What the library
// joins after it is another session.
func (s sessions) OnGroupManageError(error) { s.group.lost.Store(s.group.session()) }

// Leave gives all partitions back by way of the member, and closes.
func (g *Group) Leave() { g.client.CloseAllowingRebalance() }

func byTopic(partitions []Partition) map[string][]int32 {
	m := map[string][]int32{}
	for _, p := range partitions {
		m[p.Topic] = append(m[p.Topic], p.Partition)
	}
	return m
}
