package vlogs

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/store"
)

// batch collects rows on their way into the storages, ordered so that those of
// one kind follow each other: the library then keeps their names once. It must
// not be used concurrently.
type batch struct {
	rows    rowBuilder
	streams streams
	parts   [allFolders]part
	pending []row
	fields  []field // of the pending rows
}

// row is a document on its way.
type row struct {
	at         int64
	part       int
	stream     int // of known streams, 0 for all others
	start, end int // its columns in fields
}

// part is what a batch has for one folder.
type part struct {
	folder *folder
	rows   *logstorage.LogRows // of known streams
	others *logstorage.LogRows
	day    int64 // of the last row
	days   map[string]bool
}

// Rows are put in order so many, or of so many bytes, at a time.
const (
	maxPending      = 500
	maxPendingBytes = 4 << 20
	maxKeptFields   = 200 * maxPending
)

func newBatch(s *Store) *batch {
	b := &batch{}
	for i, f := range s.folders() {
		b.parts[i] = part{
			folder: f, day: -1, days: map[string]bool{},
			rows:   logstorage.GetLogRows(streamFields[:], nil, nil, nil, ""),
			others: logstorage.GetLogRows(nil, nil, nil, nil, ""),
		}
	}
	return b
}

// Write adds documents, as [store.Writer] has it. It returns when the storage
// has them in memory.
func (s *Store) Write(ctx context.Context, docs []store.Doc) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	b, err := s.takeBatch(ctx)
	if err != nil {
		return err
	}
	defer s.giveBatch(b)
	s.writing.RLock()
	defer s.writing.RUnlock()
	if err := s.room(); err != nil {
		return err
	}
	defer b.flush() // also after an error: the ids of its rows are noted
	now := time.Now()
	tailed := s.tail.Active()
	var refused store.DocErrors
	for i := range docs {
		d := &docs[i]
		fields, err := b.prepare(d, now)
		if err != nil {
			if refused == nil {
				refused = store.DocErrors{}
			}
			refused[i] = err
			s.metrics.refused(err)
			continue
		}
		fresh, err := s.ids.add(ctx, b.parts[partOf(d)].folder, d.Time.UnixNano(), d.ID)
		if err != nil {
			return err
		}
		if !fresh {
			s.metrics.duplicates.Inc()
			continue
		}
		b.add(d, fields)
		s.metrics.documents.Inc()
		if tailed && !d.Rerun {
			s.tail.Offer(d.JSON, rowFields(fields), d.Time)
		}
	}
	if len(refused) > 0 {
		return refused
	}
	return nil
}

// Test implements [store.Tester].
func (s *Store) Test(ctx context.Context, d store.Doc) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.folders()[partOf(&d)].check(d.Time, time.Now(), false); err != nil {
		return err
	}
	var b rowBuilder
	_, err = b.build(&d)
	return err
}

// takeBatch waits until a batch is free. There are as many as processors:
// with more at work at a time each would only be slower, and have its buffers
// beside the others'.
func (s *Store) takeBatch(ctx context.Context) (*batch, error) {
	select {
	case b := <-s.batches:
		if b == nil {
			b = newBatch(s)
		}
		return b, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// giveBatch gives a batch back. Its buffers are kept, since making them anew is
// a quarter of all that ingest allocates, unless odd documents have made them
// large.
func (s *Store) giveBatch(b *batch) {
	if cap(b.rows.arena) > 2*maxPendingBytes || cap(b.fields) > maxKeptFields {
		b = nil
	}
	s.batches <- b
}

// partOf is the part of a batch that a document belongs to.
func partOf(d *store.Doc) int {
	switch {
	case d.Rerun:
		return rerunFolder
	case d.Capture:
		return captureFolder
	}
	return liveFolder
}

func (b *batch) prepare(d *store.Doc, now time.Time) ([]field, error) {
	if err := b.parts[partOf(d)].folder.check(d.Time, now, true); err != nil {
		return nil, err
	}
	return b.rows.build(d)
}

// add takes a row over.
func (b *batch) add(d *store.Doc, fields []field) {
	start := len(b.fields)
	b.fields = append(b.fields, fields...)
	b.pending = append(b.pending, row{
		at: d.Time.UnixNano(), part: partOf(d), stream: b.streams.number(b.rows.stream), start: start, end: len(b.fields)})
	if len(b.pending) >= maxPending || len(b.rows.arena) > maxPendingBytes {
		b.order()
	}
}

// order hands the pending rows on, those of one stream and width together.
func (b *batch) order() {
	slices.SortStableFunc(b.pending, func(x, y row) int {
		return cmp.Or(x.stream-y.stream, (x.end-x.start)-(y.end-y.start))
	})
	for _, r := range b.pending {
		b.parts[r.part].add(r.at, b.fields[r.start:r.end], r.stream > 0)
	}
	clear(b.fields)
	b.pending, b.fields = b.pending[:0], b.fields[:0]
	b.rows.reset()
}

// add copies a row.
func (p *part) add(at int64, fields []field, hasStream bool) {
	if day := at / levels[0]; day != p.day {
		p.day = day
		p.days[time.Unix(0, at).UTC().Format(dayFormat)] = true
	}
	rows := p.others
	if hasStream {
		rows = p.rows
	}
	rows.MustAdd(logstorage.TenantID{}, at, fields, -1)
	if rows.NeedFlush() {
		p.flush()
	}
}

func (p *part) flush() {
	p.folder.touch(p.days)
	for _, rows := range [...]*logstorage.LogRows{p.rows, p.others} {
		if rows.RowsCount() > 0 {
			p.folder.storage.MustAddRows(rows)
			rows.ResetKeepSettings()
		}
	}
	clear(p.days)
	p.day = -1
}

// flush hands all on to the storages.
func (b *batch) flush() {
	b.order()
	for i := range b.parts {
		b.parts[i].flush()
	}
}

// Flush returns when all that was written is durable and can be found.
func (s *Store) Flush(ctx context.Context) error {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	s.writing.Lock()
	defer s.writing.Unlock()
	if err := s.mayFlush(); err != nil {
		return err
	}
	start := time.Now()
	for _, f := range s.folders() {
		days, err := f.barrier(ctx)
		if err == nil && f.imports != nil {
			err = f.imports.note(days, start)
		}
		if err != nil {
			return err
		}
	}
	s.ids.flushed()
	s.metrics.flush.Observe(time.Since(start).Seconds())
	return nil
}

// Committed does nothing: what was written is known by the ids that are
// stored, whether it is committed or not.
func (s *Store) Committed() {}

// streamFields name the stream of a row: the library keeps rows of one stream
// together, and compresses and skips them together.
var streamFields = [...]string{"event.module", "event.dataset"}

// streams numbers the streams, from 1. The library has trouble with many, so
// when a sender invents names, all rows with new ones are in none: 0.
type streams struct{ known map[[2]string]int }

const (
	maxStreams     = 500
	maxStreamBytes = 64
)

func (s *streams) number(names [2]string) int {
	if n, ok := s.known[names]; ok {
		return n
	}
	if len(s.known) >= maxStreams || len(names[0]) > maxStreamBytes || len(names[1]) > maxStreamBytes {
		return 0
	}
	if s.known == nil {
		s.known = map[[2]string]int{}
	}
	n := len(s.known) + 1
	s.known[[2]string{strings.Clone(names[0]), strings.Clone(names[1])}] = n // the row's bytes change
	return n
}
