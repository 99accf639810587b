package vlogs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/fault"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/store"
)

// Store is the embedded store. It implements store.Reader, store.Writer,
// store.Tailer and store.Reporter; calls wait until Run has opened it.
type Store struct {
	cfg     Config
	scope   obs.Scope
	metrics metrics

	ready chan struct{} // closed when open
	done  chan struct{} // closed when Run has returned
	err   error         // why it is not open; set before done

	// gate is held for reading by calls and for writing by the end of Run.
	gate sync.RWMutex
	open bool
	stop context.CancelFunc // ends queries
	base context.Context

	live     *folder
	captures *folder
	reruns   *folder
	ids      *ids
	tail     store.Tail
	batches  chan *batch // one for each write that may run; nil: not made yet

	low     atomic.Bool  // the disk was, when last asked
	falling atomic.Int64 // bytes that it lost between the last two looks

	// writing is held for reading by writes and for writing by a barrier.
	writing sync.RWMutex
	queries chan struct{}
}

// component is the store's name in health and logs.
const component = "store"

// New makes a store. It touches nothing before Run.
func New(cfg Config, scope obs.Scope) (*Store, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Dir, err = filepath.Abs(cfg.Dir); err != nil { // the library names files by it when it dies
		return nil, fmt.Errorf("finding the store's folder: %w", err)
	}
	s := &Store{
		cfg: cfg, scope: scope, metrics: newMetrics(scope),
		ready: make(chan struct{}), done: make(chan struct{}),
		live:     &folder{name: "live", dir: cfg.Dir, age: cfg.LiveAge},
		captures: &folder{name: "captures", dir: cfg.Dir, age: unlimitedAge, most: maxCaptureDays},
		reruns:   &folder{name: "reruns", dir: cfg.Dir, age: unlimitedAge, most: maxCaptureDays},
		queries:  make(chan struct{}, cfg.Queries),
		batches:  make(chan *batch, runtime.GOMAXPROCS(0)),
	}
	s.base, s.stop = context.WithCancel(context.Background())
	s.ids = newIDs(s.storedIDs)
	for range cap(s.batches) {
		s.batches <- nil
	}
	return s, nil
}

// Ready is closed when the store is open.
func (s *Store) Ready() <-chan struct{} { return s.ready }

// Run opens the store, keeps it within its limits, and closes it when ctx
// ends. It must be called once.
func (s *Store) Run(ctx context.Context) (err error) {
	defer close(s.done)
	defer func() { s.err = err }()
	s.scope.Set(component, obs.Starting, "opening")
	lock, err := s.openFolders()
	if err != nil {
		s.scope.Set(component, obs.Failed, err.Error())
		return err
	}
	s.open = true
	close(s.ready)
	s.report()
	s.keep(ctx)

	s.stop()
	s.gate.Lock() // waits for calls
	defer s.gate.Unlock()
	s.open = false
	for _, f := range s.folders() {
		err = errors.Join(err, f.close())
	}
	err = errors.Join(err, lock.Close())
	if err != nil {
		return fmt.Errorf("closing the store: %w", err)
	}
	return nil
}

func (s *Store) openFolders() (lock *os.File, err error) {
	log := s.scope.Logger()
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the store's folder: %w", err)
	}
	if lock, err = lockFolder(s.cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	if err := checkFormat(s.cfg.Dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(filepath.Join(s.cfg.Dir, "trash")); err != nil {
		return nil, fmt.Errorf("removing what was dropped: %w", err)
	}
	for f, name := range map[*folder]string{s.captures: "imports.json", s.reruns: "reruns.json"} {
		if f.imports, err = readImports(filepath.Join(s.cfg.Dir, name)); err != nil {
			return nil, err
		}
	}
	if err := prepareLibrary(s.cfg.Memory, log); err != nil {
		return nil, fmt.Errorf("setting up the storage library: %w", err)
	}
	for i, f := range s.folders() {
		if err := f.open(log); err != nil {
			for _, opened := range s.folders()[:i] {
				err = errors.Join(err, opened.close())
			}
			return nil, err
		}
	}
	return lock, nil
}

// enter waits until the store is open and keeps it so until leave.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	select {
	case <-s.ready:
	case <-s.done:
		return nil, fault.NewRetry("store_closed", errors.Join(store.ErrClosed, s.err))
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s.gate.RLock()
	if !s.open {
		s.gate.RUnlock()
		return nil, fault.NewRetry("store_closed", store.ErrClosed)
	}
	return s.gate.RUnlock, nil
}

// Check reports whether the store can take documents: it is open, and there is
// room on the disk.
func (s *Store) Check(ctx context.Context) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	return s.room()
}

// The folders, by their place in folders.
const (
	liveFolder = iota
	captureFolder
	rerunFolder // the last: what a query without it asks is what stands before
	allFolders
)

// folders returns the storages; a document lies in one of them.
func (s *Store) folders() []*folder { return []*folder{s.live, s.captures, s.reruns} }

// asked returns the folders that a question about a query and a field asks.
func (s *Store) asked(q *store.Query, field string) []*folder {
	if q.Names(store.FieldRerun) || field == store.FieldRerun {
		return s.folders()
	}
	return s.folders()[:rerunFolder]
}

// Subscribe passes on documents as they are written.
func (s *Store) Subscribe(q *store.Query, buffer int) *store.Subscription {
	return s.tail.Subscribe(q, buffer)
}

// Stats says what the store holds.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Stats{}, err
	}
	defer leave()
	out := store.Stats{Full: s.room() != nil}
	limits := [allFolders]int64{s.cfg.LiveBytes, s.cfg.CaptureBytes, s.cfg.RerunBytes}
	for i, f := range s.folders() {
		st := f.stats()
		fs := store.FolderStats{Name: f.name, Documents: st.RowsCount(), Bytes: diskBytes(st), Limit: max(0, limits[i]), Days: len(f.days())}
		if oldest, newest, ok := f.span(); ok {
			fs.Oldest, fs.Newest = time.Unix(0, oldest).UTC(), time.Unix(0, newest).UTC()
		}
		out.Documents += fs.Documents
		out.Bytes += fs.Bytes
		out.Folders = append(out.Folders, fs)
		damaged, err := f.guard.damaged()
		if err != nil {
			return out, fmt.Errorf("listing damaged days: %w", err)
		}
		out.Damaged = append(out.Damaged, damaged...)
	}
	return out, nil
}
