package storage

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Options says how a store works.
type Options struct {
	Dir     string
	FS      FS // nil: OS
	Log     *slog.Logger
	Relaxed bool // acknowledge what is written, not yet synced
	// Budget is what all topics together may take on the disk; 0: no limit.
	Budget int64
	// MinFree is the free space below which nothing new is taken in. What is
	// made from records taken in before goes on down to a quarter of it, and in
	// batches of up to 16 KiB to an eighth.
	MinFree int64
	// Unread says who has still to read what, for the budget to leave it alone.
	// It is called in every round of the budget, and must not call the store.
	// nil: nobody. An offset is the lowest of all such readers of a partition.
	Unread func() map[Place]Reader
	// JournalBytes is the size of one journal file; 0: 32 MiB.
	JournalBytes int64
	// JournalMaxBatch is the largest batch that takes the way through the
	// journal; 0: 128 KiB. A negative one switches the journal off.
	JournalMaxBatch int
	// Checkpoint is how often the recovery point moves; 0: 10 s.
	Checkpoint time.Duration
	// Retention is how often retention looks; 0: 3 s.
	Retention time.Duration
	// Reopen is how long an offline partition, or a broken journal, waits for a
	// try; 0: 1 s.
	Reopen time.Duration
	// Look is how often the disk is looked at, and the budget while it refuses
	// intake; 0: 100 ms.
	Look   time.Duration
	Events Events
	Now    func() time.Time // nil: time.Now
}

// Events is what the store tells its owner. Every function may be nil; none
// may block or call the store.
type Events struct {
	Synced func(d time.Duration, err error) // one fdatasync of data or journal
	// Offline tells why a partition is out of service, and with nil that it is
	// back, or deleted.
	Offline func(topic string, partition int32, err error)
	Corrupt func(topic string, partition int32, file string, pos int64)
	Removed func(topic string, bytes int64, why string)
	// Scarce tells when the budget has nothing left to take but topics that
	// come last, before it takes them, and when that is over.
	Scarce func(bool)
	// Journal tells when the journal cannot be written, and with nil when it
	// can again. Between, every append waits for its segment's own sync.
	Journal func(err error)
	// Intake tells when the log takes nothing new in, for the budget's sake for
	// two seconds already, and why; again when the reason changes, such as its
	// numbers; and with nil when it is over.
	Intake func(refused error)
}

// Place is a partition by its names.
type Place struct {
	Topic     string
	Partition int32
}

// Reader has to read a partition, from the offset on, before it is removed for
// the budget.
type Reader struct {
	Name   string
	Offset int64
}

// Store is a data folder of topics.
type Store struct {
	cfg     Options
	fs      FS
	log     *slog.Logger
	journal journal
	budget  atomic.Int64
	running sync.WaitGroup // syncs of partitions

	mu     sync.RWMutex // the set of topics; also held while it changes on disk
	byName map[string]*Topic
	byID   map[[16]byte]*Topic
	meta   storeDocument
	unlock func() error

	flushMu      sync.Mutex // one checkpoint at a time; before any lock of a partition
	checkpointMu sync.Mutex // its document; waits for no disk but that of the document
	journalFloor atomic.Uint64
	scanAll      bool          // there is no checkpoint to start from
	checkpointed chan struct{} // asks for a checkpoint
	dirty        atomic.Bool
	grown        chan struct{} // asks for a look at disk and budget
	guard        guard
	scarce       atomic.Bool

	corruptMu sync.Mutex
	corrupt   map[corruptPlace]struct{}
}

// storeDocument is the folder's file store.json.
type storeDocument struct {
	ClusterID string `json:"cluster_id"`
	// NextProducerID is above every producer id that was ever given away.
	NextProducerID int64 `json:"next_producer_id"`
	given          int64
}

// New returns a store that has not touched the disk.
func New(o Options) *Store {
	o.FS = cmp.Or[FS](o.FS, OS{})
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	o.JournalBytes = cmp.Or(o.JournalBytes, 32<<20)
	o.JournalMaxBatch = cmp.Or(o.JournalMaxBatch, 128<<10)
	o.Checkpoint = cmp.Or(o.Checkpoint, 10*time.Second)
	o.Retention = cmp.Or(o.Retention, 3*time.Second)
	o.Reopen = cmp.Or(o.Reopen, time.Second)
	o.Look = cmp.Or(o.Look, 100*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Store{
		cfg: o, fs: o.FS, log: o.Log,
		byName:       map[string]*Topic{},
		byID:         map[[16]byte]*Topic{},
		checkpointed: make(chan struct{}, 1),
		grown:        make(chan struct{}, 1),
		corrupt:      map[corruptPlace]struct{}{},
	}
	s.budget.Store(o.Budget)
	s.journal = journal{
		fs: s.fs, dir: filepath.Join(o.Dir, "journal"), fileSize: o.JournalBytes,
		sync: s.syncFile, rotated: s.askCheckpoint,
		state: s.journalState,
	}
	return s
}

func (s *Store) topicsDir() string { return filepath.Join(s.cfg.Dir, "topics") }
func (s *Store) trashDir() string  { return filepath.Join(s.cfg.Dir, "trash") }
func (s *Store) metaPath() string  { return filepath.Join(s.cfg.Dir, "store.json") }
func (s *Store) now() time.Time    { return s.cfg.Now() }

// Open reads the folder and recovers what a crash left; it makes the folder
// when there is none. After an error nothing is held.
func (s *Store) Open() (err error) {
	for _, dir := range []string{s.cfg.Dir, s.topicsDir()} {
		if err := s.fs.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making data folder: %w", err)
		}
	}
	if s.unlock, err = s.fs.Lock(s.cfg.Dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			for _, p := range s.partitions() {
				err = errors.Join(err, p.closeFiles())
			}
			err = errors.Join(err, s.journal.closeFiles(), s.unlock())
		}
	}()
	for _, step := range []func() error{s.openMeta, s.emptyTrash, s.readTopics, s.recover} {
		if err := step(); err != nil {
			return err
		}
	}
	s.guard.measure(s)
	return nil
}

func (s *Store) openMeta() error {
	err := readDocument(s.fs, s.metaPath(), &s.meta)
	if notExist(err) {
		id := newID()
		s.meta = storeDocument{ClusterID: base64.RawURLEncoding.EncodeToString(id[:]), NextProducerID: 1}
		err = writeDocument(s.fs, s.metaPath(), &s.meta)
	}
	s.meta.given = s.meta.NextProducerID
	return err
}

// ClusterID is this log's own, made once.
func (s *Store) ClusterID() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.meta.ClusterID
}

// ProducerID returns an id that was never given before, even before a crash.
func (s *Store) ProducerID() (int64, error) {
	const block = 1000
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meta.given >= s.meta.NextProducerID {
		next := s.meta
		next.NextProducerID += block
		if err := writeDocument(s.fs, s.metaPath(), &next); err != nil {
			return 0, err
		}
		s.meta = next
	}
	id := s.meta.given
	s.meta.given++
	return id, nil
}

// Run does what an open store does beside appends and reads, until ctx ends;
// then it makes everything durable and closes the files.
func (s *Store) Run(ctx context.Context) error {
	var journal sync.WaitGroup
	journal.Go(s.journal.run)
	journal.Go(s.journal.prepare)
	checkpoint, retention := time.Tick(s.cfg.Checkpoint), time.Tick(s.cfg.Retention)
	reopen, look := time.Tick(s.cfg.Reopen), time.Tick(s.cfg.Look)
	s.running.Go(func() { s.guard.watch(ctx, s) })
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-checkpoint:
			s.checkpointIfDirty()
		case <-s.checkpointed:
			if s.checkpointIfDirty() { // what the budget asked it for can go now
				s.enforceBudget()
			}
		case <-retention:
			s.enforceRetention()
		case <-s.grown:
			s.guard.measure(s)
			s.enforceBudget()
		case <-look:
			if s.guard.isHeld() { // until readers get on
				s.enforceBudget()
			}
		case <-reopen:
			s.reopenOffline()
			s.journal.retry()
		}
	}
	s.journal.close()
	journal.Wait()
	s.running.Wait()
	return s.close()
}

func (s *Store) close() error {
	err := s.checkpoint()
	for _, p := range s.partitions() {
		err = errors.Join(err, p.close())
	}
	return errors.Join(err, s.journal.closeFiles(), s.unlock())
}

// close fails what still waits and closes the partition's files. When it
// returns nobody works on the partition's folder.
func (p *Partition) close() error {
	p.syncMu.Lock()
	defer p.syncMu.Unlock()
	p.filesMu.Lock()
	defer p.filesMu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed = true
	p.failPending(ErrClosed)
	return p.closeFiles()
}

func (p *Partition) closeFiles() error {
	var errs []error
	for _, sg := range p.sealed {
		errs = append(errs, sg.close())
	}
	if p.active != nil {
		errs = append(errs, p.active.close())
	}
	return errors.Join(errs...)
}

// syncFile is fdatasync, measured.
func (s *Store) syncFile(f File) error {
	if s.cfg.Events.Synced == nil {
		return f.Sync()
	}
	start := time.Now()
	err := f.Sync()
	s.cfg.Events.Synced(time.Since(start), err)
	return err
}

func (s *Store) journalState(err error) {
	if err != nil {
		s.log.Warn("journal is out of use, appends wait for their segments", "error", err)
	} else {
		s.log.Info("journal is in use again")
	}
	if f := s.cfg.Events.Journal; f != nil {
		f(err)
	}
}

// ask has Run see to something soon, by a channel of room for one.
func ask(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // it has been asked already
	}
}

func (s *Store) askCheckpoint() { ask(s.checkpointed) }

// tellOffline tells that a partition has failed, and with nil that this is
// over.
func (s *Store) tellOffline(p *Partition, err error) {
	if err != nil {
		s.log.Error("partition is offline", "topic", p.topic.Name, "partition", p.index, "error", err)
	}
	if f := s.cfg.Events.Offline; f != nil {
		f(p.topic.Name, p.index, err)
	}
}

type corruptPlace struct {
	path string
	pos  int64
}

func (s *Store) isCorrupt(sg *segment, pos int64) bool {
	s.corruptMu.Lock()
	defer s.corruptMu.Unlock()
	_, known := s.corrupt[corruptPlace{path: sg.path, pos: pos}]
	return known
}

// sawCorrupt reports a bad place once.
func (s *Store) sawCorrupt(p *Partition, sg *segment, pos int64) {
	const remembered = 1000
	place := corruptPlace{path: sg.path, pos: pos}
	s.corruptMu.Lock()
	_, known := s.corrupt[place]
	if !known && len(s.corrupt) < remembered {
		s.corrupt[place] = struct{}{}
	}
	s.corruptMu.Unlock()
	if known {
		return
	}
	s.log.Error("corrupt batch", "file", sg.path+logSuffix, "position", pos, "topic", p.topic.Name, "partition", p.index)
	if f := s.cfg.Events.Corrupt; f != nil {
		f(p.topic.Name, p.index, sg.path+logSuffix, pos)
	}
}

// Dir is the data folder.
func (s *Store) Dir() string { return s.cfg.Dir }
