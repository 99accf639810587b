package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Ensure makes the topics that are missing. Those of the embedded log are set
// as declared and overridden; those of a cluster belong to its operators, and
// only a largest message below the declared one is raised.
func (b *Bus) Ensure(ctx context.Context, topics ...Topic) error {
	names := make([]string, len(topics))
	for i, t := range topics {
		topics[i] = b.overridden(t)
		names[i] = t.Name
	}
	there, err := b.admin.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("listing topics: %w", err)
	}
	for _, t := range topics {
		d, listed := there[t.Name]
		switch {
		case !listed || errors.Is(d.Err, kerr.UnknownTopicOrPartition):
			err = b.create(ctx, t)
		case d.Err != nil:
			err = d.Err
		default:
			err = b.alter(ctx, t, len(d.Partitions))
			if errors.Is(err, kerr.UnknownTopicOrPartition) { // it was there a moment ago
				err = b.create(ctx, t)
			}
		}
		if err != nil {
			return fmt.Errorf("ensuring topic %s: %w", t.Name, err)
		}
	}
	return nil
}

func (b *Bus) overridden(t Topic) Topic {
	o, ok := b.config.Topics[t.Name]
	if !ok {
		return t
	}
	if o.Partitions > 0 {
		t.Partitions = o.Partitions
	}
	if o.Retention > 0 && !t.Compact {
		t.Retention = o.Retention
	}
	return t
}

func (b *Bus) create(ctx context.Context, t Topic) error {
	replication := b.config.Replication
	if replication == 0 {
		replication = -1 // the cluster's default
	}
	set := settings(t)
	if b.Embedded() {
		set = embeddedSettings(t)
	}
	pointers := make(map[string]*string, len(set))
	for k, v := range set {
		pointers[k] = &v
	}
	_, err := b.admin.CreateTopic(ctx, t.Partitions, replication, pointers, t.Name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil // another process was first
	}
	return err
}

// settings are a topic's configuration as Kafka names it.
func settings(t Topic) map[string]string {
	set := map[string]string{
		"cleanup.policy":    "delete",
		"max.message.bytes": strconv.Itoa(int(t.MaxMessage)),
		"segment.bytes":     strconv.Itoa(max(32*mebibyte, 2*int(t.MaxMessage))),
		"retention.ms":      "-1",
	}
	if t.Compact {
		set["cleanup.policy"] = "compact"
	}
	if t.Retention > 0 {
		set["retention.ms"] = strconv.FormatInt(t.Retention.Milliseconds(), 10)
	}
	return set
}

// embeddedSettings are those of a topic of the embedded log, which knows a
// disk budget over all topics besides.
func embeddedSettings(t Topic) map[string]string {
	set := settings(t)
	switch t.Class {
	case ClassDead:
		set["decoder.budget"] = "last"
	case ClassKept:
		set["decoder.budget"] = "exempt"
	case ClassDerived, ClassAlerts:
		set["decoder.budget"] = "derived"
	default:
		set["decoder.budget"] = "normal"
	}
	return set
}

func (b *Bus) alter(ctx context.Context, t Topic, partitions int) error {
	if b.Embedded() {
		if partitions < int(t.Partitions) {
			if _, err := b.admin.UpdatePartitions(ctx, int(t.Partitions), t.Name); err != nil {
				return fmt.Errorf("adding partitions: %w", err)
			}
		}
		return b.set(ctx, t.Name, embeddedSettings(t))
	}
	configs, err := b.admin.DescribeTopicConfigs(ctx, t.Name)
	if err != nil {
		return fmt.Errorf("reading the topic's configuration: %w", err)
	}
	for _, c := range configs {
		if c.Err != nil {
			return fmt.Errorf("reading the topic's configuration: %w", c.Err)
		}
		for _, kv := range c.Configs {
			if kv.Key != "max.message.bytes" || kv.Value == nil {
				continue
			}
			if n, err := strconv.ParseInt(*kv.Value, 10, 64); err == nil && n < int64(t.MaxMessage) {
				return b.set(ctx, t.Name, map[string]string{kv.Key: strconv.Itoa(int(t.MaxMessage))})
			}
		}
	}
	return nil
}

func (b *Bus) set(ctx context.Context, topic string, settings map[string]string) error {
	var changes []kadm.AlterConfig
	for k, v := range settings {
		changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: k, Value: &v})
	}
	answers, err := b.admin.AlterTopicConfigs(ctx, changes, topic)
	if err != nil {
		return fmt.Errorf("setting the topic's configuration: %w", err)
	}
	for _, a := range answers {
		if a.Err != nil {
			return fmt.Errorf("setting the topic's configuration: %w", a.Err)
		}
	}
	return nil
}

// topicIDs remembers the ids of topics.
type topicIDs struct {
	mu   sync.Mutex
	byID map[string][16]byte
}

// TopicID returns the id the log gave the topic when it was made; one made
// again under the same name has another.
func (b *Bus) TopicID(ctx context.Context, topic string) ([16]byte, error) {
	b.ids.mu.Lock()
	id, known := b.ids.byID[topic]
	b.ids.mu.Unlock()
	if known {
		return id, nil
	}
	return b.FreshTopicID(ctx, topic)
}

// FreshTopicID is TopicID as the log says now.
func (b *Bus) FreshTopicID(ctx context.Context, topic string) ([16]byte, error) {
	there, err := b.admin.ListTopics(ctx, topic)
	if err != nil {
		return [16]byte{}, fmt.Errorf("asking for the id of topic %s: %w", topic, err)
	}
	d, ok := there[topic]
	if !ok || d.Err != nil {
		return [16]byte{}, fmt.Errorf("asking for the id of topic %s: %w", topic, errors.Join(kerr.UnknownTopicOrPartition, d.Err))
	}
	b.ids.mu.Lock()
	defer b.ids.mu.Unlock()
	if b.ids.byID == nil {
		b.ids.byID = map[string][16]byte{}
	}
	b.ids.byID[topic] = d.ID
	return d.ID, nil
}
