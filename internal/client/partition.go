package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/decodersring/decoder/internal/bus"
)

// partition is one partition a client has been given, and the goroutine that
// handles it.
type partition struct {
	bus.Partition
	c      *Client
	ctx    context.Context // ends when results no longer count
	cancel context.CancelFunc
	stop   chan struct{} // closed when no further record shall be begun
	done   chan struct{} // closed when the goroutine has ended

	tracker  tracker
	progress chan struct{} // an entry has ended
	arrived  chan struct{} // the queue has records

	mu        sync.Mutex
	queue     []arrival
	queued    int64 // bytes
	paused    bool
	stopped   bool
	end       int64 // offset behind the partition's last record, as last heard
	start     int64 // offset to commit while nothing is done; -1: unknown
	committed int64 // as the log has it
	flushed   int64 // a flusher's: durable up to here
	dirty     bool  // the marks have changed since the commit
	marks     marks
	suspectTo int64 // behind the last suspect
	finished  bool  // ended in good order: marks are to be closed

	busySince  atomic.Int64 // Unix nanoseconds; 0: no call to the handler runs
	busyOffset atomic.Int64
	phase      atomic.Pointer[phase]
	movedAt    atomic.Int64 // when an entry last ended, or the queue was last empty
}

func (c *Client) newPartition(tp bus.Partition, at bus.Position, end int64, topic string) *partition {
	ctx, cancel := context.WithCancel(c.ctx)
	p := &partition{
		Partition: tp, c: c, ctx: ctx, cancel: cancel,
		stop: make(chan struct{}), done: make(chan struct{}),
		progress: make(chan struct{}, 1), arrived: make(chan struct{}, 1),
		end: end, start: at.Offset, committed: at.Offset, flushed: -1,
	}
	p.tracker.at = -1
	p.tracker.ended = p.ended
	p.marks = readMarks(at.Metadata).inherit(at.Offset, end)
	p.marks.Topic = topic
	p.suspectTo = p.marks.To
	p.movedAt.Store(time.Now().UnixNano())
	return p
}

// run handles the partition until it is stopped.
func (p *partition) run() {
	defer close(p.done)
	if !p.await() || !p.try(0, 0) { // the open marks lie in the log before any record is handled
		return
	}
	out := p.c.output()
	if !p.suspects(out) {
		return
	}
	switch {
	case p.c.spec.Sink != nil:
		p.sink()
	case p.c.spec.Concurrency > 0:
		p.concurrent()
	default:
		p.ordered(out)
	}
}

// enqueue takes a batch from the poll loop; it does not block.
func (p *partition) enqueue(b bus.Batch) {
	n := sizes(b.Records)
	p.c.metrics.in(len(b.Records), n)
	p.mu.Lock()
	if len(p.queue) == 0 {
		p.movedAt.Store(time.Now().UnixNano())
	}
	p.queue = append(p.queue, arrival{b.Records, time.Now()})
	p.queued += n
	p.end = b.Next
	if p.start < 0 {
		p.start = b.Records[0].Offset
	}
	_, inFlight, _ := p.tracker.position()
	if !p.paused && p.tooMuch(p.queued+inFlight) {
		p.paused = true
		p.c.group.Load().Pause(p.Partition)
	}
	p.mu.Unlock()
	notify(p.arrived)
}

// arrival is what one poll brought, and when.
type arrival struct {
	records []*bus.Record
	at      time.Time
}

const (
	// standing is how long a partition with records may get nothing done
	// before it is taken to stand still.
	standing = 500 * time.Millisecond
	// crawling is how long records may wait for a partition to begin them
	// before it is taken to be slow.
	crawling = 2 * time.Second
)

// tooMuch reports whether the partition shall be read no further for now. One
// that keeps pace never is: a pause throws read-ahead away, and the fetch that
// is under way without the partition may wait its whole time for others; the
// poll loop holds back all of them alike. A slow one may have half of the
// memory, one that stands still no more than its share. The caller holds mu.
func (p *partition) tooMuch(held int64) bool {
	if time.Since(time.Unix(0, p.movedAt.Load())) > standing {
		return held > p.c.share()
	}
	return held > p.c.spec.InFlight/2 && time.Since(p.queue[0].at) > crawling
}

// ended is called when an entry has ended.
func (p *partition) ended(freed int64) {
	p.movedAt.Store(time.Now().UnixNano())
	if freed > 0 {
		notify(p.c.freed)
	}
	notify(p.progress)
	p.c.moved()
}

// held returns the bytes read and not done with, and whether the partition is
// paused.
func (p *partition) held() (bytes int64, paused bool) {
	_, inFlight, _ := p.tracker.position()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.queued + inFlight, p.paused
}

func (p *partition) queueFilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// await waits until the queue has records. It returns false when the
// partition ends first.
func (p *partition) await() bool {
	for !p.stopping() {
		if p.queueFilled() {
			return true
		}
		select {
		case <-p.arrived:
		case <-p.stop:
		}
	}
	return false
}

// take waits for records in a row, at most so many and so large, but for one
// larger record. It returns nil when the partition ends.
func (p *partition) take(most int, mostBytes int64) []*bus.Record {
	for p.await() {
		if p.room() {
			return p.cut(most, mostBytes)
		}
		if !p.advance() {
			return nil
		}
	}
	return nil
}

// room reports whether more may be put in flight.
func (p *partition) room() bool {
	_, bytes, entries := p.tracker.position()
	return bytes == 0 || (entries < p.c.window && bytes < p.c.flow())
}

// advance waits until an entry has ended.
func (p *partition) advance() bool {
	defer p.shows(phase{Kind: PhaseLog})()
	select {
	case <-p.progress:
		return !p.stopping()
	case <-p.stop:
		return false
	}
}

func (p *partition) cut(most int, mostBytes int64) []*bus.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cutQueue(most, mostBytes)
}

// cutQueue takes records off the front of the queue. The caller holds mu.
func (p *partition) cutQueue(most int, mostBytes int64) []*bus.Record {
	records, bytes := p.cutFront(most, mostBytes)
	for len(p.queue) > 0 && len(records) < most && bytes < mostBytes {
		more, n := p.cutFront(most-len(records), mostBytes-bytes)
		records, bytes = append(records, more...), bytes+n
	}
	p.queued -= bytes
	if p.paused && p.queued <= p.c.share()/2 {
		p.paused = false
		p.c.group.Load().Resume(p.Partition)
	}
	return records
}

// cutFront takes one record or more off the first arrival in the queue.
func (p *partition) cutFront(most int, mostBytes int64) (records []*bus.Record, bytes int64) {
	head := p.queue[0].records
	n := 0
	for n < len(head) && n < most {
		s := size(head[n])
		if n > 0 && bytes+s > mostBytes {
			break
		}
		bytes += s
		n++
	}
	if n == len(head) {
		p.queue[0] = arrival{}
		p.queue = p.queue[1:]
	} else {
		p.queue[0].records = head[n:]
	}
	return head[:n:n], bytes
}

// takeSuspects takes the next records under suspicion that are to be handled
// together; none when suspicion ends.
func (p *partition) takeSuspects() []*bus.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.marks.Deaths == 0 || len(p.queue) == 0 || p.queue[0].records[0].Offset >= p.suspectTo {
		return nil
	}
	most := suspectsAtOnce[min(p.marks.Deaths, len(suspectsAtOnce))-1]
	inside := 0
	for _, r := range p.queue[0].records {
		if r.Offset < p.suspectTo {
			inside++
		}
	}
	return p.cutQueue(min(most, inside), chunkBytes)
}

func (p *partition) stopping() bool {
	select {
	case <-p.stop:
		return true
	default:
		return false
	}
}

// halt begins no further record.
func (p *partition) halt() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped {
		p.stopped = true
		close(p.stop)
	}
}

// drop gives the memory of what is not handled back.
func (p *partition) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue, p.queued = nil, 0
	notify(p.c.freed)
	if p.paused {
		p.paused = false
		p.c.group.Load().Resume(p.Partition)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
