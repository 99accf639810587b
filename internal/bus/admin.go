package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TopicInfo is the state of a topic.
type TopicInfo struct {
	Name             string          `json:"name"`
	RetentionSeconds float64         `json:"retention_seconds"` // 0: no limit of age
	RetentionBytes   int64           `json:"retention_bytes"`   // of one partition; 0: no limit
	Compact          bool            `json:"compact"`
	Records          int64           `json:"records"` // next less first offsets: an upper bound once compacted
	Bytes            int64           `json:"bytes"`   // on disk, all replicas; -1: unknown
	Partitions       []PartitionInfo `json:"partitions"`
}

// PartitionInfo is the state of a partition.
type PartitionInfo struct {
	Partition int32 `json:"partition"`
	First     int64 `json:"first"` // offset of the oldest record
	Next      int64 `json:"next"`  // offset of the next to be appended
	Bytes     int64 `json:"bytes"` // on disk, all replicas
	Leader    int32 `json:"leader"`
	Replicas  int   `json:"replicas"`
	InSync    int   `json:"in_sync"`
}

// Topics returns the state of the topics named, or of all that are not the
// broker's own.
func (b *Bus) Topics(ctx context.Context, names ...string) ([]TopicInfo, error) {
	details, err := b.admin.ListTopics(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	for name, d := range details {
		if d.Err != nil {
			delete(details, name)
		}
	}
	if len(details) == 0 {
		return nil, nil
	}
	found := details.Names()
	first, err := b.admin.ListStartOffsets(ctx, found...)
	if err != nil {
		return nil, fmt.Errorf("asking for first offsets: %w", err)
	}
	next, err := b.admin.ListEndOffsets(ctx, found...)
	if err != nil {
		return nil, fmt.Errorf("asking for next offsets: %w", err)
	}
	bytes := b.sizes(ctx)
	settings, err := b.admin.DescribeTopicConfigs(ctx, found...)
	if err != nil {
		return nil, fmt.Errorf("asking for the topics' configuration: %w", err)
	}
	infos := make([]TopicInfo, 0, len(found))
	for _, name := range found {
		info := TopicInfo{Name: name}
		for _, p := range details[name].Partitions.Sorted() {
			f, _ := first.Lookup(name, p.Partition)
			n, _ := next.Lookup(name, p.Partition)
			size := bytes[Partition{name, p.Partition}]
			info.Partitions = append(info.Partitions, PartitionInfo{
				Partition: p.Partition, First: f.Offset, Next: n.Offset, Bytes: size,
				Leader: p.Leader, Replicas: len(p.Replicas), InSync: len(p.ISR),
			})
			info.Records += n.Offset - f.Offset
			info.Bytes += size
		}
		if bytes == nil {
			info.Bytes = -1
		}
		if c, err := settings.On(name, nil); err == nil {
			info.settings(c)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (t *TopicInfo) settings(c kadm.ResourceConfig) {
	for _, kv := range c.Configs {
		if kv.Value == nil {
			continue
		}
		n, _ := strconv.ParseInt(*kv.Value, 10, 64) // what is no number is not looked at
		switch kv.Key {
		case "retention.ms":
			t.RetentionSeconds = float64(max(n, 0)) / 1000
		case "retention.bytes":
			t.RetentionBytes = max(n, 0)
		case "cleanup.policy":
			t.Compact = *kv.Value == "compact"
		}
	}
	if t.Compact {
		t.RetentionSeconds = 0
	}
}

// sizes returns the bytes each partition has on disk, or nil where the log
// does not say.
func (b *Bus) sizes(ctx context.Context) map[Partition]int64 {
	all, err := b.admin.DescribeAllLogDirs(ctx, nil)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil // nobody asks any more
	}
	if err != nil {
		b.scope.Logger().WarnContext(ctx, "sizes of the log are unknown", "err", err)
		return nil
	}
	bytes := map[Partition]int64{}
	all.Each(func(d kadm.DescribedLogDir) {
		for _, p := range d.Topics.Sorted() {
			bytes[Partition{p.Topic, p.Partition}] += p.Size
		}
	})
	return bytes
}

// GroupInfo is the state of a consumer group.
type GroupInfo struct {
	Name       string         `json:"name"`
	State      string         `json:"state"` // Stable, Empty, PreparingRebalance …, as Kafka names them
	Members    []GroupMember  `json:"members"`
	Lag        int64          `json:"lag"`         // records
	LagSeconds float64        `json:"lag_seconds"` // age of the oldest record not yet read
	Partitions []PartitionLag `json:"partitions"`
}

// GroupMember is one reader of a group.
type GroupMember struct {
	ID     string `json:"id"`
	Client string `json:"client"`
	Host   string `json:"host"`
}

// PartitionLag is how far a group is behind in one partition.
type PartitionLag struct {
	Topic      string  `json:"topic"`
	Partition  int32   `json:"partition"`
	Committed  int64   `json:"committed"` // -1: nothing yet
	Next       int64   `json:"next"`
	Lag        int64   `json:"lag"` // records that are still there
	LagSeconds float64 `json:"lag_seconds"`
	Member     string  `json:"member,omitempty"`
}

// Groups returns the state of the groups named, or of all.
func (b *Bus) Groups(ctx context.Context, names ...string) ([]GroupInfo, error) {
	if len(names) == 0 {
		listed, err := b.admin.ListGroups(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing groups: %w", err)
		}
		if names = listed.Groups(); len(names) == 0 {
			return nil, nil
		}
	}
	lags, err := b.admin.Lag(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("asking for the lag of groups: %w", err)
	}
	var infos []GroupInfo
	for _, g := range lags.Sorted() {
		info := GroupInfo{Name: g.Group, State: g.State}
		for _, m := range g.Members {
			info.Members = append(info.Members, GroupMember{ID: m.MemberID, Client: m.ClientID, Host: m.ClientHost})
		}
		for _, l := range g.Lag.Sorted() {
			p := PartitionLag{Topic: l.Topic, Partition: l.Partition, Committed: l.Commit.At, Next: l.End.Offset, Lag: max(l.Lag, 0)}
			if l.Start.Err == nil { // what retention has cut is not waited for
				p.Lag = min(p.Lag, max(l.End.Offset-l.Start.Offset, 0))
			}
			if l.Member != nil {
				p.Member = l.Member.MemberID
			}
			info.Lag += p.Lag
			info.Partitions = append(info.Partitions, p)
		}
		b.ages(ctx, &info)
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b GroupInfo) int { return cmp.Compare(a.Name, b.Name) })
	return infos, nil
}

// ages fills in the lag in seconds, from the time of the next record to read
// of each partition that has one.
func (b *Bus) ages(ctx context.Context, g *GroupInfo) {
	from := map[string]map[int32]kgo.Offset{}
	lagging := map[Partition]int{}
	for i, p := range g.Partitions {
		if p.Lag == 0 {
			continue
		}
		if from[p.Topic] == nil {
			from[p.Topic] = map[int32]kgo.Offset{}
		}
		from[p.Topic][p.Partition] = kgo.NewOffset().At(p.Next - p.Lag)
		lagging[Partition{p.Topic, p.Partition}] = i
	}
	options, err := b.options("lag")
	if len(lagging) == 0 || err != nil {
		return
	}
	reader, err := kgo.NewClient(append(options, kgo.ConsumePartitions(from),
		kgo.FetchMaxPartitionBytes(1), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		return
	}
	defer reader.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for len(lagging) > 0 && ctx.Err() == nil {
		for iter := reader.PollFetches(ctx).RecordIter(); !iter.Done(); {
			r := iter.Next()
			i, waiting := lagging[Partition{r.Topic, r.Partition}]
			if !waiting {
				continue
			}
			age := max(time.Since(r.Timestamp).Seconds(), 0)
			g.Partitions[i].LagSeconds = age
			g.LagSeconds = max(g.LagSeconds, age)
			delete(lagging, Partition{r.Topic, r.Partition})
			reader.PauseFetchPartitions(map[string][]int32{r.Topic: {r.Partition}})
		}
	}
}

// DeleteGroup forgets a group that has no members, with its offsets. A member
// of this process that has ended counts as one no more, even where its place is
// kept for its return.
func (b *Bus) DeleteGroup(ctx context.Context, group string) error {
	if b.static() {
		if _, err := b.admin.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(b.config.Instance)); err != nil {
			return fmt.Errorf("leaving group %s: %w", group, err)
		}
	}
	answer, err := b.admin.DeleteGroup(ctx, group)
	if err == nil {
		err = answer.Err
	}
	if err != nil {
		return fmt.Errorf("deleting group %s: %w", group, err)
	}
	return nil
}

// Committed returns the offsets a group has committed; none if there is no
// such group yet.
func (b *Bus) Committed(ctx context.Context, group string) (map[Partition]int64, error) {
	answer, err := b.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the offsets of group %s: %w", group, err)
	}
	at := map[Partition]int64{}
	answer.Each(func(o kadm.OffsetResponse) {
		if o.Err == nil {
			at[Partition{o.Topic, o.Partition}] = o.At
		}
	})
	return at, nil
}

// TopicNames returns the names of all topics but the broker's own, sorted.
func (b *Bus) TopicNames(ctx context.Context) ([]string, error) {
	details, err := b.admin.ListTopics(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing topics: %w", err)
	}
	return details.Names(), nil
}

// GroupMetadata returns what a group has committed beside its offsets.
func (b *Bus) GroupMetadata(ctx context.Context, group string) (map[Partition]string, error) {
	answer, err := b.admin.FetchOffsets(ctx, group)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the metadata of group %s: %w", group, err)
	}
	metadata := map[Partition]string{}
	answer.Each(func(o kadm.OffsetResponse) { metadata[Partition{o.Topic, o.Partition}] = o.Metadata })
	return metadata, nil
}

// SetCommitted sets where a group without members stands.
func (b *Bus) SetCommitted(ctx context.Context, group string, at map[Partition]int64) error {
	offsets := kadm.Offsets{}
	for p, offset := range at {
		offsets.AddOffset(p.Topic, p.Partition, offset, -1)
	}
	if err := b.admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return fmt.Errorf("setting the offsets of group %s: %w", group, err)
	}
	return nil
}

// DeleteAll deletes every topic and every group without members, with all they
// hold. Tests begin with it on a log they share.
func (b *Bus) DeleteAll(ctx context.Context) error {
	names, err := b.TopicNames(ctx)
	if err != nil {
		return err
	}
	if err := b.DeleteTopics(ctx, names...); err != nil {
		return err
	}
	groups, err := b.admin.ListGroups(ctx)
	if err != nil {
		return fmt.Errorf("listing groups: %w", err)
	}
	for _, g := range groups.Groups() {
		if err := b.DeleteGroup(ctx, g); err != nil && !errors.Is(err, kerr.NonEmptyGroup) && !errors.Is(err, kerr.GroupIDNotFound) {
			return err
		}
	}
	return nil
}

// DeleteTopics deletes topics with all they hold, and returns when they are
// gone.
func (b *Bus) DeleteTopics(ctx context.Context, names ...string) error {
	if answers, err := b.admin.DeleteTopics(ctx, names...); err != nil || answers.Error() != nil {
		return fmt.Errorf("deleting topics: %w", errors.Join(err, answers.Error()))
	}
	return b.awaitGone(ctx, names)
}

// awaitGone returns when the log no longer lists any of the topics. A cluster
// answers a deletion before its brokers have heard of it, and whoever looks in
// between takes a topic for there that is about to vanish.
func (b *Bus) awaitGone(ctx context.Context, topics []string) error {
	for {
		left, err := b.TopicNames(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(left, func(name string) bool { return slices.Contains(topics, name) }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for deleted topics to vanish: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// DeadBytes returns what the dead letters of all clients take on the disk.
func (b *Bus) DeadBytes(ctx context.Context) (int64, error) {
	all := b.sizes(ctx)
	if all == nil {
		return 0, errors.New("the log does not say what its topics take")
	}
	bytes := int64(0)
	for p, size := range all {
		if DeadClient(p.Topic) != "" {
			bytes += size
		}
	}
	return bytes, nil
}
