package storage

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
)

// Topics returns all topics by name.
func (s *Store) Topics() []*Topic {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := make([]*Topic, 0, len(s.byName))
	for _, t := range s.byName {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b *Topic) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// partitions returns those of all topics.
func (s *Store) partitions() (all []*Partition) {
	for _, t := range s.Topics() {
		all = append(all, t.Partitions()...)
	}
	return all
}

// Topic returns the topic of the name, nil when there is none.
func (s *Store) Topic(name string) *Topic {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byName[name]
}

// TopicByID returns the topic of the ID, nil when there is none.
func (s *Store) TopicByID(id [16]byte) *Topic {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.byID[id]
}

// TopicSpec is a topic to be created.
type TopicSpec struct {
	Name       string
	Partitions int
	Config     map[string]string
	Internal   bool // the broker's own
}

// CheckTopic says whether the topic could be created.
func (s *Store) CheckTopic(spec TopicSpec) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, err := s.checkTopic(spec)
	return err
}

func (s *Store) checkTopic(spec TopicSpec) (*Config, error) {
	if err := CheckName(spec.Name); err != nil {
		return nil, err
	}
	if s.byName[spec.Name] != nil {
		return nil, ErrTopicExists
	}
	if spec.Partitions < 1 || spec.Partitions > maxPartitions || s.countPartitions()+spec.Partitions > maxAll {
		return nil, ErrInvalidPartitions
	}
	return ParseConfig(spec.Config)
}

func (s *Store) countPartitions() int {
	n := 0
	for _, t := range s.byName {
		n += len(t.Partitions())
	}
	return n
}

// Create makes a topic; it is durable when Create returns.
func (s *Store) Create(spec TopicSpec) (*Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, err := s.checkTopic(spec)
	if err != nil {
		return nil, err
	}
	t := &Topic{Name: spec.Name, ID: newID(), Internal: spec.Internal, store: s}
	t.setConfig(cfg)
	t.grow(spec.Partitions)
	if err = t.write(t.trash(), spec.Partitions, cfg); err == nil {
		err = s.fs.Rename(t.trash(), t.dir())
	}
	if err == nil {
		if err = s.fs.SyncDir(s.topicsDir()); err != nil { // out of the way of the next try
			err = errors.Join(err, s.fs.Rename(t.dir(), t.trash()))
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("creating topic %s: %w", spec.Name, err), s.fs.RemoveAll(t.trash()))
	}
	s.byName[t.Name], s.byID[t.ID] = t, t
	return t, nil
}

// Delete removes a topic with all its records; it is durable when Delete
// returns. After an error it may be tried again, and nothing more is appended
// to what may be gone after a crash. Its name is taken until nobody works on
// its folder any more.
func (s *Store) Delete(name string) error {
	t, err := s.detach(name)
	if t == nil {
		return err
	}
	for _, p := range t.Partitions() {
		if err := p.close(); err != nil {
			s.log.Warn("closing deleted partition", "topic", name, "partition", p.index, "error", err)
		}
		if p.Offline() != nil {
			s.tellOffline(p, nil)
		}
	}
	if err != nil {
		return err
	}
	s.forget(t)
	if err := s.fs.RemoveAll(t.trash()); err != nil { // the next start tries again
		s.log.Warn("removing deleted topic", "topic", name, "error", err)
	}
	return nil
}

// detach takes the topic's folder away. It returns the topic when the folder
// may be gone, with an error or without.
func (s *Store) detach(name string) (*Topic, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.byName[name]
	if t == nil {
		return nil, ErrUnknownTopic
	}
	if err := s.fs.Rename(t.dir(), t.trash()); err != nil && !(t.gone && notExist(err)) {
		return nil, fmt.Errorf("deleting topic %s: %w", name, err)
	}
	t.gone = true
	if err := errors.Join(s.fs.SyncDir(s.topicsDir()), s.fs.SyncDir(s.trashDir())); err != nil {
		return t, fmt.Errorf("deleting topic %s: %w", name, err)
	}
	return t, nil
}

func (s *Store) forget(t *Topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName[t.Name] == t {
		delete(s.byName, t.Name)
		delete(s.byID, t.ID)
	}
}

// changeable returns a topic that clients may change. The caller holds s.mu.
func (s *Store) changeable(name string) (*Topic, error) {
	t := s.byName[name]
	if t == nil {
		return nil, ErrUnknownTopic
	}
	if t.gone {
		return nil, fmt.Errorf("%w: %s is being deleted", ErrUnknownTopic, name)
	}
	if t.Internal {
		return nil, fmt.Errorf("%w: %s is the broker's own", ErrInvalidTopic, name)
	}
	return t, nil
}

// Grow gives the topic more partitions.
func (s *Store) Grow(name string, partitions int, dryRun bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.changeable(name)
	if err != nil {
		return err
	}
	have := len(t.Partitions())
	if partitions <= have || partitions > maxPartitions || s.countPartitions()+partitions-have > maxAll {
		return fmt.Errorf("%w: there are %d", ErrInvalidPartitions, have)
	}
	if dryRun {
		return nil
	}
	if err := t.write(t.dir(), partitions, t.Config()); err != nil {
		return err
	}
	t.grow(partitions)
	return nil
}

// SetConfig replaces what is set of a topic's configuration by what change
// makes of it.
func (s *Store) SetConfig(name string, dryRun bool, change func(set map[string]string) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.changeable(name)
	if err != nil {
		return err
	}
	set := t.Config().Set()
	if err := change(set); err != nil {
		return err
	}
	cfg, err := ParseConfig(set)
	if err != nil || dryRun {
		return err
	}
	if err := t.write(t.dir(), len(t.Partitions()), cfg); err != nil {
		return err
	}
	t.setConfig(cfg)
	return nil
}

// makePartitionDir makes the folder for the first segment if an older version
// of the program has not, unless the topic has just been deleted.
func (s *Store) makePartitionDir(p *Partition) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if p.topic.gone {
		return ErrClosed
	}
	if err := s.fs.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	return s.fs.SyncDir(p.topic.dir())
}

// emptyTrash removes what deleted topics left.
func (s *Store) emptyTrash() error {
	if err := s.fs.RemoveAll(s.trashDir()); err != nil {
		return fmt.Errorf("emptying trash: %w", err)
	}
	return s.fs.MkdirAll(s.trashDir(), 0o700)
}

// readTopics reads what topics there are.
func (s *Store) readTopics() error {
	entries, err := s.fs.ReadDir(s.topicsDir())
	if err != nil {
		return err
	}
	for _, e := range entries {
		t, err := readTopic(s, filepath.Join(s.topicsDir(), e.Name()))
		if errors.Is(err, ErrFormat) {
			return err
		}
		if err != nil { // the rest of the log is still worth having
			s.log.Error("topic is left out", "name", e.Name(), "error", err)
			continue
		}
		s.byName[t.Name], s.byID[t.ID] = t, t
	}
	return nil
}
