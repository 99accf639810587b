package storage

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Partition is an ordered sequence of batches. Appends take its lock, one
// after the other; reads look at atomics and never wait.
type Partition struct {
	store *Store
	topic *Topic
	index int32
	dir   string

	// syncMu is held while files are synced or closed, so that nobody closes
	// what another syncs. Taken before mu.
	syncMu sync.Mutex

	// filesMu is held by readers, by retention while it removes files, and for
	// a moment by compaction while it puts new files in the place of old ones.
	// Appends never take it.
	filesMu sync.RWMutex

	mu        sync.Mutex
	active    *segment // nil before the first append
	next      int64
	producers producers
	pending   []*Commit  // in order of offset, not yet durable
	sealed    []*segment // sealed, not yet synced
	dirEntry  bool       // a segment's directory entry is not yet synced
	cut       bool       // a torn end is, and that is not yet synced
	syncing   bool
	syncAgain bool
	offline   error // why; nil when in service
	closed    bool
	cleaned   int64 // compaction has been up to here
	stuck     int64 // a round of all up to here has met what is corrupt
	point     point // as the next checkpoint has it
	passed    int64 // point.Segment as the last one has it, on the disk

	start    atomic.Int64
	high     atomic.Pointer[mark]
	segments atomic.Pointer[[]*segment]
	cursors  cursors
	watchers watchers
}

func newPartition(t *Topic, index int32) *Partition {
	p := &Partition{store: t.store, topic: t, index: index, dir: t.partitionDir(index), producers: producers{}}
	p.high.Store(&mark{})
	p.segments.Store(&[]*segment{})
	return p
}

// Start returns the first offset that can be read.
func (p *Partition) Start() int64 { return p.start.Load() }

// High returns the high watermark: the offset behind the last durable record.
func (p *Partition) High() int64 { return p.high.Load().offset }

// Topic returns the topic.
func (p *Partition) Topic() *Topic { return p.topic }

// Index returns the partition's number.
func (p *Partition) Index() int32 { return p.index }

// Size returns the bytes of all segments.
func (p *Partition) Size() int64 {
	var n int64
	for _, s := range *p.segments.Load() {
		n += s.size.Load()
	}
	return n
}

// Offline returns why the partition is out of service, nil when it is not.
func (p *Partition) Offline() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offline
}

// Watch sends to c (without waiting) whenever more can be read, or the
// partition fails, until Unwatch.
func (p *Partition) Watch(c chan<- struct{}) { p.watchers.add(c) }

// Unwatch ends Watch.
func (p *Partition) Unwatch(c chan<- struct{}) { p.watchers.remove(c) }

// Append appends one batch, as a producer encoded it, and returns the offset
// of its first record and its fate. It sets offset and leader epoch in b, and
// keeps nothing of b. A batch of an idempotent producer that is there already
// is not appended again: its commit is that of the first.
func (p *Partition) Append(b []byte) (base int64, c *Commit, err error) {
	return p.append(b, p.topic.Config().Budget == BudgetNormal)
}

// AppendDerived is Append for what is made of records that were taken in
// before, whatever the topic: it goes on while the budget refuses intake, since
// what was read can only then be removed.
func (p *Partition) AppendDerived(b []byte) (base int64, c *Commit, err error) {
	return p.append(b, false)
}

func (p *Partition) append(b []byte, intake bool) (base int64, c *Commit, err error) {
	cfg := p.topic.Config()
	now := p.store.now()
	h, err := validate(b, cfg, now)
	if err != nil {
		return 0, nil, err
	}
	if err := p.store.admit(p.topic, len(b), intake); err != nil {
		return 0, nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.writable(); err != nil {
		return 0, nil, err
	}
	if h.idempotent() {
		dup, err := p.producers.check(&h)
		if err != nil {
			return 0, nil, err
		}
		if dup != nil {
			return dup.Base, p.commitAt(dup.End), nil
		}
	}
	place(b, &h, p.next)
	if err := p.write(b, &h, cfg, now); err != nil {
		return 0, nil, err
	}
	return h.base, p.commit(b), nil
}

func (p *Partition) writable() error {
	if p.closed {
		return ErrClosed
	}
	if p.offline != nil {
		return fmt.Errorf("%w: %w", ErrOffline, p.offline)
	}
	return nil
}

// write puts a placed batch behind the last one. The caller holds p.mu.
func (p *Partition) write(b []byte, h *header, cfg *Config, now time.Time) error {
	if err := p.room(int64(len(b)), cfg); err != nil {
		if errors.Is(err, ErrClosed) {
			return err
		}
		p.fail(err)
		return fmt.Errorf("%w: %w", ErrOffline, err)
	}
	pos := p.active.size.Load()
	if err := p.active.write(b, h); err != nil {
		if errors.Is(err, errTorn) {
			p.fail(err)
		}
		return fmt.Errorf("%w: %w", ErrOffline, err)
	}
	p.cursors.put(cursor{offset: h.base, segment: p.active.base, pos: pos, batch: h.base})
	p.next = h.end()
	p.producers.note(h, now)
	p.store.dirty.Store(true)
	return nil
}

// commit decides how a batch just written becomes durable. The caller holds
// p.mu.
func (p *Partition) commit(b []byte) *Commit {
	at := p.tail()
	if p.store.cfg.Relaxed {
		p.high.Store(&at)
		p.watchers.notify()
		return settled(nil)
	}
	c := &Commit{at: at, done: make(chan struct{})}
	p.pending = append(p.pending, c)
	if len(b) <= p.store.cfg.JournalMaxBatch && p.store.journal.add(p, c, b) {
		c.journal = &p.store.journal
	} else {
		p.requestSync()
	}
	return c
}

// room makes the active segment one that takes n more bytes.
func (p *Partition) room(n int64, cfg *Config) error {
	if p.active != nil {
		size := p.active.size.Load()
		fits := size+n <= min(cfg.SegmentBytes, p.store.segmentShare()) &&
			p.next-p.active.base <= math.MaxInt32 // with one more batch it is what an index entry takes
		if size == 0 || fits {
			return nil
		}
	}
	return p.roll()
}

// roll seals the active segment and starts one at the next offset. The caller
// holds p.mu.
func (p *Partition) roll() error {
	path := segmentPath(p.dir, p.next)
	s, err := createSegment(p.store.fs, path, p.next)
	if notExist(err) && p.active == nil {
		if err := p.store.makePartitionDir(p); err != nil {
			return err
		}
		s, err = createSegment(p.store.fs, path, p.next)
	}
	if err != nil {
		return fmt.Errorf("creating segment: %w", err)
	}
	p.dirEntry = true
	if p.active != nil {
		if err := p.active.seal(); err != nil {
			return errors.Join(fmt.Errorf("sealing %s: %w", p.active.path, err), s.close())
		}
		p.sealed = append(p.sealed, p.active)
	}
	p.active = s
	old := *p.segments.Load()
	segs := append(slices.Clip(old), s)
	p.segments.Store(&segs)
	return nil
}

// fail takes the partition out of service. What waits fails, and is not there
// when the partition comes back. The caller holds p.mu.
func (p *Partition) fail(err error) {
	if p.offline != nil {
		return
	}
	p.offline = err
	p.point.Suspect = true // for a start that comes before it is back
	p.store.dirty.Store(true)
	p.store.askCheckpoint()
	p.failPending(fmt.Errorf("%w: %w", ErrOffline, err))
	p.store.tellOffline(p, err)
}

// AppendRecords appends records of the broker's own.
func (p *Partition) AppendRecords(kvs []KeyValue) (base int64, c *Commit, err error) {
	return p.Append(encodeBatch(kvs, p.store.now().UnixMilli()))
}

// Each calls fn for every record, in order. A corrupt batch is passed over,
// and reported. The record's bytes are valid during the call.
func (p *Partition) Each(fn func(*Record)) error {
	p.filesMu.RLock()
	defer p.filesMu.RUnlock()
	for _, s := range *p.segments.Load() {
		err := p.eachBatch(s, func(_ int64, b []byte, h *header) error {
			return eachRecord(b, h, func(r *Record) bool { fn(r); return true })
		})
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	return nil
}
