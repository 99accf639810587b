package vlogs

import (
	"context"
	"time"

	"github.com/VictoriaMetrics/VictoriaLogs/lib/logstorage"

	"github.com/decodersring/decoder/internal/store"
)

// batch collects rows on their way into the storages. It must not be used
// concurrently.
type batch struct {
	rows    rowBuilder
	streams *streams
	parts   [2]part
}

// part is what a batch has for one folder.
type part struct {
	folder *folder
	rows   *logstorage.LogRows
	day    int64 // of the last row
	days   map[string]bool
}

func newBatch(s *Store) *batch {
	b := &batch{streams: &streams{}}
	for i, f := range s.folders() {
		b.parts[i] = part{folder: f, rows: logstorage.GetLogRows(nil, nil, nil, nil, ""), day: -1, days: map[string]bool{}}
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
	s.writing.RLock()
	defer s.writing.RUnlock()
	if err := s.room(); err != nil {
		return err
	}
	b := s.batches.Get().(*batch)
	defer s.batches.Put(b)
	defer b.flush() // also after an error: their ids are noted
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
		p := b.part(d)
		fresh, err := s.ids.add(ctx, p.folder, d.Time.UnixNano(), d.ID)
		if err != nil {
			return err
		}
		if !fresh {
			s.metrics.duplicates.Inc()
			continue
		}
		p.add(d.Time.UnixNano(), fields, b.streams.labels(fields))
		s.metrics.documents.Inc()
		if tailed {
			s.tail.Offer(d.JSON, rowFields(fields), d.Time)
		}
	}
	if len(refused) > 0 {
		return refused
	}
	return nil
}

func (b *batch) part(d *store.Doc) *part {
	if d.Capture {
		return &b.parts[1]
	}
	return &b.parts[0]
}

func (b *batch) prepare(d *store.Doc, now time.Time) ([]field, error) {
	if err := b.part(d).folder.check(d.Time, now); err != nil {
		return nil, err
	}
	b.rows.reset()
	return b.rows.build(d)
}

// add copies a row.
func (p *part) add(at int64, fields []field, labels int) {
	if day := at / levels[0]; day != p.day {
		p.day = day
		p.days[time.Unix(0, at).UTC().Format(dayFormat)] = true
	}
	p.rows.MustAdd(logstorage.TenantID{}, at, fields, labels)
	if p.rows.NeedFlush() {
		p.flush()
	}
}

func (p *part) flush() {
	if p.rows.RowsCount() == 0 {
		return
	}
	p.folder.touch(p.days)
	p.folder.storage.MustAddRows(p.rows)
	p.rows.ResetKeepSettings()
	clear(p.days)
	p.day = -1
}

func (b *batch) flush() {
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
	start := time.Now()
	if _, err := s.live.barrier(ctx); err != nil {
		return err
	}
	days, err := s.captures.barrier(ctx)
	if err != nil {
		return err
	}
	if err := s.imports.note(days, start); err != nil {
		return err
	}
	s.ids.flushed()
	s.metrics.flush.Observe(time.Since(start).Seconds())
	return nil
}

// Committed does nothing: what was written is known by the ids that are
// stored, whether it is committed or not.
func (s *Store) Committed() {}

// streams decides which rows the library keeps together: those of one module
// and dataset. It has trouble with many streams, so a sender that invents names
// gets one for all.
type streams struct{ known map[[2]string]bool }

const maxStreams = 500

// labels returns how many of the row's first columns name its stream.
func (s *streams) labels(fields []field) int {
	k := [2]string{fields[slotModule].Value, fields[slotDataset].Value}
	if s.known[k] {
		return slots
	}
	if len(s.known) >= maxStreams || len(k[0]) > 64 || len(k[1]) > 64 {
		return 0
	}
	if s.known == nil {
		s.known = map[[2]string]bool{}
	}
	s.known[[2]string{string([]byte(k[0])), string([]byte(k[1]))}] = true // the row's bytes change
	return slots
}
