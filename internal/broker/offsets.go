package broker

import (
	"context"
	"errors"
	"strconv"

	"github.com/decodersring/decoder/internal/broker/groups"
	"github.com/decodersring/decoder/internal/broker/storage"
)

// offsetsTopic is where groups are kept, under the name Kafka gives it.
const offsetsTopic = "__consumer_offsets"

// maxOffsetsBatch is the largest batch there: a group's members and what is
// assigned to them are one record, of up to 6 MiB and their names.
const maxOffsetsBatch = 8 << 20

// offsetsLog keeps groups in a compacted topic of the store, so that a commit
// shares the sync of whatever is appended at that moment.
type offsetsLog struct{ store *storage.Store }

func makeOffsetsTopic(s *storage.Store) error {
	_, err := s.Create(storage.TopicSpec{
		Name: offsetsTopic, Partitions: 1, Internal: true,
		Config: map[string]string{
			storage.ConfigCleanupPolicy:   "compact",
			storage.ConfigSegmentBytes:    "4194304",
			storage.ConfigMaxMessageBytes: strconv.Itoa(maxOffsetsBatch),
			storage.ConfigBudget:          string(storage.BudgetExempt),
		},
	})
	if errors.Is(err, storage.ErrTopicExists) {
		return nil
	}
	return err
}

func (l offsetsLog) partition() (*storage.Partition, error) {
	t := l.store.Topic(offsetsTopic)
	if t == nil {
		return nil, storage.ErrUnknownTopic
	}
	return t.Partition(0), nil
}

// batchBytes is about how much is written down as one batch, which the topic
// has to take.
const batchBytes = maxOffsetsBatch / 4

// Append implements groups.Log. What is too much for one batch is several, of
// which the last ends when all have.
func (l offsetsLog) Append(records []groups.Record) (base int64, done func(context.Context) error, err error) {
	p, err := l.partition()
	if err != nil {
		return 0, nil, err
	}
	var kvs []storage.KeyValue
	size := 0
	for i, r := range records {
		kvs = append(kvs, storage.KeyValue(r))
		size += len(r.Key) + len(r.Value)
		if size < batchBytes && i < len(records)-1 {
			continue
		}
		var c *storage.Commit
		if base, c, err = p.AppendRecords(kvs); err != nil {
			return 0, nil, err
		}
		done, kvs, size = c.Wait, nil, 0
	}
	return base, done, nil
}

// Each implements groups.Log.
func (l offsetsLog) Each(fn func(key, value []byte)) error {
	p, err := l.partition()
	if err != nil {
		return err
	}
	return p.Each(func(r *storage.Record) { fn(r.Key, r.Value) })
}

// unread returns how far the groups that the budget waits for have come: of
// each partition they read, the lowest offset, and whose it is.
func (b *Broker) unread() map[storage.Place]storage.Reader {
	all := map[storage.Place]storage.Reader{}
	for _, r := range b.groups.Readings(b.cfg.Keep) {
		for topic, offsets := range r.Topics {
			t := b.store.Topic(topic)
			if t == nil {
				continue
			}
			for _, p := range t.Partitions() {
				at := max(offsets[p.Index()], 0) // not begun: all is to be read
				place := storage.Place{Topic: topic, Partition: p.Index()}
				if first, ok := all[place]; !ok || at < first.Offset {
					all[place] = storage.Reader{Name: r.Group, Offset: at}
				}
			}
		}
	}
	return all
}

// ends returns where the log ends, for a group that is new.
func (b *Broker) ends(group string) map[string]map[int32]int64 {
	if b.cfg.Keep == nil || !b.cfg.Keep(group) {
		return nil
	}
	all := map[string]map[int32]int64{}
	for _, t := range b.store.Topics() {
		all[t.Name] = map[int32]int64{}
		for _, p := range t.Partitions() {
			all[t.Name][p.Index()] = p.High()
		}
	}
	return all
}
