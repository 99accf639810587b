package storage

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// Limits of what one store holds.
const (
	maxTopicName  = 249
	maxPartitions = 10_000 // of one topic
	maxAll        = 50_000 // of all topics
)

// Topic is a named set of partitions. Its ID is never used again, its name is.
type Topic struct {
	Name     string
	ID       [16]byte
	Internal bool

	store      *Store
	gone       bool // from the folder of topics; under store.mu
	config     atomic.Pointer[Config]
	compacted  atomic.Bool // once, whatever it is now
	partitions atomic.Pointer[[]*Partition]
}

// Config returns the topic's configuration as it stands.
func (t *Topic) Config() *Config { return t.config.Load() }

// hasGaps says whether compaction may have taken offsets: they stay taken when
// the policy is another.
func (t *Topic) hasGaps() bool { return t.compacted.Load() }

func (t *Topic) setConfig(c *Config) {
	if c.Compact {
		t.compacted.Store(true) // before anything can be compacted
	}
	t.config.Store(c)
}

// Partitions returns all partitions in order; the slice is not to be changed.
func (t *Topic) Partitions() []*Partition { return *t.partitions.Load() }

// Partition returns one partition, nil when there is none of that number.
func (t *Topic) Partition(i int32) *Partition {
	all := t.Partitions()
	if i < 0 || int(i) >= len(all) {
		return nil
	}
	return all[i]
}

func (t *Topic) dir() string { return filepath.Join(t.store.topicsDir(), t.Name) }

func (t *Topic) id() string { return hex.EncodeToString(t.ID[:]) }

// trash is its folder on its way in or out.
func (t *Topic) trash() string { return filepath.Join(t.store.trashDir(), t.id()) }

func (t *Topic) partitionDir(i int32) string {
	return filepath.Join(t.dir(), strconv.FormatInt(int64(i), 10))
}

// topicDocument is a topic's file topic.json.
type topicDocument struct {
	Name       string            `json:"name"`
	ID         string            `json:"id"`
	Partitions int               `json:"partitions"`
	Internal   bool              `json:"internal,omitempty"`
	Compacted  bool              `json:"compacted,omitempty"` // once, whatever it is now
	Config     map[string]string `json:"config,omitempty"`
}

const topicFile = "topic.json"

// write makes the topic's folder durable: its document, and the folders of all
// partitions at once, since a sync for each with its first append would stall
// the first seconds of a topic.
func (t *Topic) write(dir string, partitions int, cfg *Config) error {
	for i := range partitions {
		if err := t.store.fs.MkdirAll(filepath.Join(dir, strconv.Itoa(i)), 0o700); err != nil {
			return err
		}
	}
	return writeDocument(t.store.fs, filepath.Join(dir, topicFile), topicDocument{
		Name: t.Name, ID: t.id(), Partitions: partitions,
		Internal: t.Internal, Compacted: t.compacted.Load(), Config: cfg.set,
	})
}

// grow adds partitions until there are n.
func (t *Topic) grow(n int) {
	var all []*Partition
	if old := t.partitions.Load(); old != nil {
		all = append(all, *old...)
	}
	for i := len(all); i < n; i++ {
		all = append(all, newPartition(t, int32(i)))
	}
	t.partitions.Store(&all)
}

func readTopic(s *Store, dir string) (*Topic, error) {
	var d topicDocument
	if err := readDocument(s.fs, filepath.Join(dir, topicFile), &d); err != nil {
		return nil, err
	}
	t := &Topic{Name: d.Name, Internal: d.Internal, store: s}
	id, err := hex.DecodeString(d.ID)
	if err != nil || len(id) != len(t.ID) || d.Name != filepath.Base(dir) || CheckName(d.Name) != nil ||
		d.Partitions < 1 || d.Partitions > maxPartitions {
		return nil, fmt.Errorf("reading %s: %w", dir, errDocument)
	}
	copy(t.ID[:], id)
	cfg, err := ParseConfig(d.Config)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dir, err)
	}
	t.compacted.Store(d.Compacted)
	t.setConfig(cfg)
	t.grow(d.Partitions)
	return t, nil
}

// CheckName returns [ErrInvalidTopic] for a name no topic may have.
func CheckName(name string) error {
	if name == "" || name == "." || name == ".." || len(name) > maxTopicName {
		return ErrInvalidTopic
	}
	if strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-'
	}) {
		return ErrInvalidTopic
	}
	return nil
}

func newID() (id [16]byte) {
	_, _ = rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return id
}
