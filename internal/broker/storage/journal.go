package storage

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
	"time"
)

// journal makes small batches of all partitions durable with one fdatasync
// for all that wait. A batch lies in its segment too, written but not synced;
// a checkpoint syncs the segments, and then the journal's files are used
// again. After a crash the journal gives back what the segments lost.
//
// Whoever waits for a batch first writes it, and all that have gathered, by
// itself: to wake another goroutine for it takes as long as the disk does.
// What gathers meanwhile is written by run.
//
// Its files are filled with zeros once and then used again and again: space
// that was written before is written without a change to the file system's
// metadata, and an fdatasync is one write of the disk. What does not fit is left to the
// segment's own sync, so the journal may be full, or broken, without harm but
// to speed. A broken one is tried again with a file of its own, since the one
// whose write failed is void with the next checkpoint.
type journal struct {
	fs       FS
	dir      string
	fileSize int64
	sync     func(File) error
	rotated  func()      // asks for a checkpoint
	state    func(error) // told when the journal breaks, and with nil when it works again

	mu      sync.Mutex
	wake    sync.Cond // run
	refill  sync.Cond // the one that fills files
	buf     []byte
	waiting []journalEntry
	ends    []int // of the entries in buf
	active  *journalFile
	used    []*journalFile // full, until a checkpoint covers them
	free    []*journalFile
	nextGen uint64
	floor   uint64      // a checkpoint covers all generations before it
	count   int         // files there are
	writing bool        // a round is under way
	urgent  bool        // run is to write what has gathered
	lonely  *time.Timer // makes it urgent when nobody waits
	broken  bool
	probe   bool // a broken one is to be tried
	growing bool // files are to be filled ahead
	closed  bool

	spare        []byte // of the writer
	spareEntries []journalEntry
	spareEnds    []int
}

// journalEntry is a batch that waits for the journal.
type journalEntry struct {
	p *Partition
	c *Commit
}

const (
	journalMagic     = "DRjourn1"
	journalHeader    = 16
	journalEntryHead = 32 // length, CRC, topic id, partition, incarnation
	journalMaxFiles  = 4
	journalStep      = 1 << 20
	journalSuffix    = ".journal"
	// lonelyAfter is how long a batch lies unwritten that nobody waits for.
	lonelyAfter = 50 * time.Millisecond
)

// add takes a copy of the batch, or says that there is no room. It is written
// when somebody waits for it (lead), or in a while.
func (j *journal) add(p *Partition, c *Commit, b []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := int64(journalEntryHead + len(b))
	if j.broken || j.closed || int64(len(j.buf))+size > j.fileSize/4 {
		return false
	}
	if len(j.buf) == 0 {
		j.lonely = time.AfterFunc(lonelyAfter, j.urge)
	}
	j.buf = appendJournalEntry(j.buf, p, b)
	j.waiting = append(j.waiting, journalEntry{p: p, c: c})
	j.ends = append(j.ends, len(j.buf))
	return true
}

func appendJournalEntry(buf []byte, p *Partition, batch []byte) []byte {
	buf = binary.BigEndian.AppendUint32(buf, uint32(journalEntryHead+len(batch)))
	buf = binary.BigEndian.AppendUint32(buf, 0) // CRC, once the generation is known
	buf = append(buf, p.topic.ID[:]...)
	buf = binary.BigEndian.AppendUint32(buf, uint32(p.index))
	buf = binary.BigEndian.AppendUint32(buf, p.point.Incarnation)
	return append(buf, batch...)
}

func entryCRC(gen uint64, entry []byte) uint32 {
	var g [8]byte
	binary.BigEndian.PutUint64(g[:], gen)
	return crc32.Update(crc32.Checksum(g[:], castagnoli), castagnoli, entry[8:])
}

// run writes what is urgent, until close.
func (j *journal) run() {
	for {
		buf, ends, entries, ok := j.await()
		switch {
		case !ok:
			return
		case len(buf) == 0:
			j.mend()
		default:
			j.round(buf, ends, entries)
		}
		j.ended()
	}
}

// lead writes what has gathered, unless somebody does already, who will see to
// it that the rest is written too.
func (j *journal) lead() {
	j.mu.Lock()
	if j.writing || len(j.buf) == 0 {
		j.mu.Unlock()
		return
	}
	buf, ends, entries := j.take()
	j.mu.Unlock()
	defer j.ended() // after a panic too, which may end a connection and no more
	j.round(buf, ends, entries)
}

// urge has run write what nobody waits for.
func (j *journal) urge() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.buf) > 0 && !j.writing {
		j.urgent = true
		j.wake.Signal()
	}
}

// round writes what was taken, and tells all whose it is.
func (j *journal) round(buf []byte, ends []int, entries []journalEntry) {
	err := j.write(buf, ends)
	for _, e := range entries {
		if err == nil {
			e.p.journaled(e.c)
		} else {
			e.p.syncInstead()
		}
	}
	if err != nil && !errors.Is(err, errJournalFull) {
		j.fail(err)
	}
	clear(entries)
	j.spare, j.spareEnds, j.spareEntries = buf[:0], ends[:0], entries[:0]
}

// ended lets the next round begin.
func (j *journal) ended() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writing = false
	j.urgent = len(j.buf) > 0
	if j.urgent || j.probe || j.closed {
		j.wake.Signal()
	}
}

// syncInstead is the way of a batch the journal could not take.
func (p *Partition) syncInstead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.offline == nil && !p.closed {
		p.requestSync()
	}
}

// fail puts the journal out of use, and the file with it: what it holds of
// value is in the segments at the next checkpoint.
func (j *journal) fail(err error) {
	j.mu.Lock()
	first := !j.broken
	j.broken = true
	if j.active != nil {
		j.used = append(j.used, j.active)
		j.active = nil
	}
	j.mu.Unlock()
	j.rotated()
	if first {
		j.state(err)
	}
}

// retry has run try a broken journal again.
func (j *journal) retry() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken && !j.closed {
		j.probe = true
		j.wake.Signal()
	}
}

// mend does to the next file what an append does. If that works, the journal
// does again.
func (j *journal) mend() {
	f, err := j.fileFor(0)
	if errors.Is(err, errJournalFull) {
		return // until a checkpoint has freed a file
	}
	if err == nil {
		err = f.fill(f.pos+journalStep, j.fileSize)
	}
	if err == nil {
		err = j.sync(f.file)
	}
	if err != nil {
		j.fail(err)
		return
	}
	j.mu.Lock()
	j.broken = false
	j.mu.Unlock()
	j.state(nil)
}

// await returns when something is to be written. Nothing but ok means that the
// journal is to be tried.
func (j *journal) await() (buf []byte, ends []int, entries []journalEntry, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for {
		switch {
		case j.writing: // by another
		case len(j.buf) > 0 && (j.urgent || j.closed):
			buf, ends, entries = j.take()
			return buf, ends, entries, true
		case j.closed:
			return nil, nil, nil, false
		case j.probe:
			j.probe, j.writing = false, true
			return nil, nil, nil, true
		}
		j.wake.Wait()
	}
}

// take begins a round with what has gathered. The caller holds j.mu.
func (j *journal) take() (buf []byte, ends []int, entries []journalEntry) {
	buf, ends, entries = j.buf, j.ends, j.waiting
	j.buf, j.ends, j.waiting = j.spare, j.spareEnds, j.spareEntries
	j.spare, j.spareEnds, j.spareEntries = nil, nil, nil
	j.writing, j.urgent = true, false
	j.lonely.Stop()
	return buf, ends, entries
}

var errJournalFull = errors.New("journal is full")

func (j *journal) write(buf []byte, ends []int) error {
	f, err := j.fileFor(int64(len(buf)))
	if err != nil {
		return err
	}
	start := 0
	for _, end := range ends {
		binary.BigEndian.PutUint32(buf[start+4:], entryCRC(f.gen, buf[start:end]))
		start = end
	}
	if f.pos > journalStep && f.pos+int64(len(buf)) > f.filled {
		j.grows()
	}
	if err := f.fill(f.pos+int64(len(buf)), j.fileSize); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(buf, f.pos); err != nil {
		return fmt.Errorf("writing journal: %w", err)
	}
	if err := j.sync(f.file); err != nil {
		return fmt.Errorf("syncing journal: %w", err)
	}
	f.pos += int64(len(buf))
	return nil
}

// close ends prepare, and run, which writes what waits first.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	j.wake.Signal()
	j.refill.Broadcast()
}
