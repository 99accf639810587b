package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/source/batch"
)

// round reads from every file that is not done what there is, at most a chunk
// of the last, and returns the number of bytes read.
func (t *Tail) round(ctx context.Context) (int, error) {
	if time.Since(t.scanned) >= scanEvery || t.replaced() {
		if err := t.scan(false); err != nil {
			return 0, err
		}
		t.measure()
	}
	total := 0
	for i := 0; i < len(t.marks.Files); i++ {
		e := t.marks.Files[i]
		if e.Done {
			continue
		}
		for {
			n, err := t.read(ctx, e)
			total += n
			if err != nil {
				return total, err
			}
			if n == 0 || e.path == t.opts.Path {
				break
			}
		}
		if err := t.settle(ctx, e); err != nil {
			return total, err
		}
	}
	if t.dirty && time.Since(t.saved) >= saveEvery {
		if err := t.marks.write(t.opts.Bookmark, false); err != nil {
			return total, err
		}
		t.dirty, t.saved = false, time.Now()
	}
	return total, nil
}

// replaced says whether another file than the known one lies at the path, so
// that a new one is read at once.
func (t *Tail) replaced() bool {
	info, err := os.Stat(t.opts.Path)
	if err != nil || info.Size() == 0 {
		return false
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && (t.current == nil || t.current.path != t.opts.Path || t.current.Inode != sys.Ino)
}

// read appends one chunk of a file and moves its offset behind the last whole
// line of it. It returns the bytes read, 0 at the end.
func (t *Tail) read(ctx context.Context, e *entry) (int, error) {
	e.atEnd = false
	if !t.open(e) {
		return 0, nil
	}
	t.lines.StartAt(e.Offset)
	at, end := e.Offset, e.Offset
	for {
		n, err := e.file.ReadAt(t.buf, at)
		if err != nil && !errors.Is(err, io.EOF) {
			t.complain(e, err)
			return 0, nil
		}
		if n == 0 {
			break
		}
		if fingerprint(e.file, e.HeadLen) != e.Head {
			// Truncated under our hands, or renamed between the scan and the
			// opening: the next scan finds out.
			e.close()
			t.scanned = time.Time{}
			t.batch.Reset()
			return 0, nil
		}
		at += int64(n)
		_ = t.lines.Feed(t.buf[:n], func(l batch.Line) error {
			t.add(e, l)
			end = l.End
			return nil
		})
		// A chunk without a newline is part of a long line: read on.
		if end > e.Offset {
			break
		}
	}
	if e.atEnd = end == e.Offset; e.atEnd {
		return 0, nil
	}
	if err := t.flush(ctx); err != nil {
		return 0, err
	}
	read := int(end - e.Offset)
	e.Offset, t.dirty = end, true
	e.learn()
	return read, nil
}

// open opens the entry's file, if it is not open, and makes sure that it is
// that one: since the scan it may have been renamed, and another lie there. An
// empty one would be taken for the end of this one otherwise.
func (t *Tail) open(e *entry) bool {
	if e.file != nil {
		return true
	}
	if e.path == "" {
		return false
	}
	f, err := os.Open(e.path)
	if err != nil {
		t.complain(e, err)
		return false
	}
	if fingerprint(f, e.HeadLen) != e.Head {
		f.Close()
		t.scanned = time.Time{}
		return false
	}
	e.file = f
	return true
}

func (t *Tail) add(e *entry, l batch.Line) {
	if l.Cut {
		t.refused.Inc()
		t.deps.Scope.Logger().Warn("line is longer than the log takes", "path", e.path, "offset", l.Offset, "bytes", l.End-l.Offset)
	}
	t.batch.Add(t.opts.Prefix+"-"+e.ID, l.Offset, l.Text)
}

func (t *Tail) complain(e *entry, err error) {
	if !e.failed {
		e.failed = true
		t.deps.Scope.Logger().Warn("file cannot be read, will retry", "path", e.path, "error", err)
	}
}

// flush appends the batch and returns when the log has acknowledged it.
func (t *Tail) flush(ctx context.Context) error {
	if t.batch.Len() == 0 {
		return nil
	}
	records := t.batch.Records()
	refused, err := batch.Append(ctx, t.deps.Log, t.deps.Scope, t.opts.Component, records)
	if err == nil && len(refused) > 0 {
		err = t.appendCut(ctx, refused)
	}
	if err != nil {
		t.batch.Reset()
		return fmt.Errorf("appending lines of %s: %w", t.opts.Path, err)
	}
	t.records.Add(float64(len(records)))
	if t.opts.Line != nil {
		for _, r := range records {
			t.opts.Line(r.Value)
		}
	}
	t.batch.Reset()
	t.mu.Lock()
	t.status.Last = time.Now()
	t.mu.Unlock()
	return nil
}

// appendCut appends, in place of lines the log refuses for good, lines that
// say so.
func (t *Tail) appendCut(ctx context.Context, refused []*bus.Record) error {
	for _, r := range refused {
		t.refused.Inc()
		t.deps.Scope.Logger().Warn("log refuses a line", "path", t.opts.Path, "bytes", len(r.Value))
		stand := &bus.Record{Topic: r.Topic, Key: r.Key, Headers: r.Headers, Value: batch.CutLine(r.Value)}
		if _, err := batch.Append(ctx, t.deps.Log, t.deps.Scope, t.opts.Component, []*bus.Record{stand}); err != nil {
			return err
		}
	}
	return nil
}

// settle ends the reading of a file that has been read and will not grow.
func (t *Tail) settle(ctx context.Context, e *entry) error {
	if e.path == t.opts.Path || !e.atEnd || e.file == nil {
		return nil
	}
	if e.final = e.final || t.isFinal(e); !e.final {
		return nil
	}
	// What was written between the last read and the writer's leaving.
	for n := 1; n > 0; {
		var err error
		if n, err = t.read(ctx, e); err != nil {
			return err
		}
	}
	if !e.atEnd || e.file == nil {
		return nil // it could not be read to its end
	}
	if rest := t.lines.Pending(); rest > 0 && t.lines.Offset() == e.Offset {
		err := t.lines.Last(func(l batch.Line) error { t.add(e, l); return nil })
		if err == nil {
			err = t.flush(ctx)
		}
		if err != nil {
			return err
		}
		e.Offset += rest
	}
	e.Done, t.dirty = true, true
	e.close()
	return t.remove(e)
}

// remove removes an Owned file that is done, once the bookmark says so durably.
func (t *Tail) remove(e *entry) error {
	if !t.opts.Owned || e.path == "" || e.path == t.opts.Path {
		return nil
	}
	if err := t.marks.write(t.opts.Bookmark, true); err != nil {
		return err
	}
	if err := os.Remove(e.path); err != nil && !errors.Is(err, os.ErrNotExist) && !e.failed {
		e.failed = true
		t.deps.Scope.Logger().Error("file that has been read cannot be removed", "path", e.path, "error", err)
	}
	return nil
}

// isFinal says whether a file that lies beside the path is not written to any
// more. A writer of Owned files makes the new one when it has ended the old
// one; of others it is only known that they have been quiet.
func (t *Tail) isFinal(e *entry) bool {
	if t.opts.Owned {
		_, err := os.Stat(t.opts.Path)
		return err == nil
	}
	info, err := e.file.Stat()
	return err != nil || time.Since(info.ModTime()) >= t.opts.SettleFor
}

// measure brings the status up to date.
func (t *Tail) measure() {
	var s Status
	for _, e := range t.marks.Files {
		if e.path == t.opts.Path {
			s.Current = e.size
		}
		if !e.Done {
			s.Files++
			s.Backlog += max(0, e.size-e.Offset)
		}
	}
	t.mu.Lock()
	s.Last = t.status.Last
	t.status = s
	t.mu.Unlock()
	t.backlogs.Set(float64(s.Backlog))
}
