package tail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/batch"
)

// Options say what is read and where it goes.
type Options struct {
	Component string // name in health and metrics
	Path      string // the file that is written to; it may not exist yet
	Bookmark  string // file that keeps the place
	Prefix    string // of origins, "suricata:eve"
	Topic     string
	Key       string // of records: the sensor or host

	// Owned says that the older files exist for this reader alone: they are all
	// read, even the first time, and removed once the log has acknowledged
	// them. The writer makes a new file only when it is done with the old one.
	Owned bool
	// Line is called for every line after it was appended, in order. It must
	// not keep the bytes. Nil is allowed.
	Line func(line []byte)
	// SettleFor is how long a file that is not Owned is still read after another
	// has taken its place, since its writer may not have noticed; 10 s when 0.
	SettleFor time.Duration
}

// Origins finds what was appended last.
type Origins interface {
	// LastOrigin returns the decoder-origin, beginning with the prefix, of the
	// last record with that key, or "".
	LastOrigin(ctx context.Context, topic, key, prefix string) (string, error)
}

// Deps are what a Tail works with.
type Deps struct {
	Log     bus.Appender
	Origins Origins // nil: only the bookmark is asked
	Scope   obs.Scope
}

// Tail reads one path and its older files into the log.
type Tail struct {
	opts    Options
	deps    Deps
	tag     string
	marks   bookmark
	current *entry // the file at the path, nil when it is not known yet
	batch   *batch.Batch
	lines   batch.Lines
	buf     []byte

	dirty    bool // marks are not on disk
	saved    time.Time
	scanned  time.Time
	kick     chan chan error
	records  prometheus.Counter
	refused  prometheus.Counter
	backlogs prometheus.Gauge

	mu     sync.Mutex
	status Status
}

// Status is how a Tail stands.
type Status struct {
	Backlog int64     `json:"backlog"` // bytes written and not yet acknowledged by the log
	Files   int       `json:"files"`   // that are being read
	Current int64     `json:"current"` // size of the file that is written to
	Last    time.Time `json:"last"`    // when the log last acknowledged a line
}

// Reading and scanning rhythm.
const (
	chunk       = 1 << 20 // appended at once: the log makes each durable before the next
	pollMin     = 10 * time.Millisecond
	pollMax     = 40 * time.Millisecond
	pollFailing = time.Second
	scanEvery   = 500 * time.Millisecond
	saveEvery   = time.Second
)

// New returns a Tail that does nothing until Run.
func New(o Options, d Deps) (*Tail, error) {
	if !filepath.IsAbs(o.Path) || o.Bookmark == "" || o.Prefix == "" || o.Topic == "" || d.Log == nil {
		return nil, errors.New("tailing needs an absolute path, a bookmark, an origin, a topic and a log")
	}
	if o.SettleFor == 0 {
		o.SettleFor = 10 * time.Second
	}
	labels := prometheus.Labels{"source": o.Component}
	t := &Tail{
		opts: o, deps: d, tag: tag(o.Key, o.Path), buf: make([]byte, chunk), kick: make(chan chan error),
		batch: batch.New(batch.Options{Topic: o.Topic, Key: []byte(o.Key)}),
		records: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "decoder_source_records_total", Help: "Lines of a file that the log has acknowledged.", ConstLabels: labels}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "decoder_source_cut_lines_total", Help: "Lines the log cannot take, appended as a line that says so.", ConstLabels: labels}),
		backlogs: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "decoder_source_backlog_bytes", Help: "Bytes written by the sensor that the log has not acknowledged.", ConstLabels: labels}),
	}
	return t, nil
}

// Status returns how the tail stands.
func (t *Tail) Status() Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.status
}

// Run reads until ctx ends. Then it reads what has been written by that time,
// without waiting for a log that is away for more than a moment, and returns.
func (t *Tail) Run(ctx context.Context) error {
	t.deps.Scope.Register(t.records, t.refused, t.backlogs)
	if err := os.MkdirAll(filepath.Dir(t.opts.Bookmark), 0o700); err != nil {
		return fmt.Errorf("making the bookmark's folder: %w", err)
	}
	if err := t.begin(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	defer t.close()
	t.deps.Scope.Set(t.opts.Component, obs.OK, "")
	wait, failing := pollMin, false
	for {
		n, err := t.round(ctx)
		if failing = t.tell(ctx, err, failing); failing {
			wait = pollFailing
		} else if wait = min(wait+pollMin/2, pollMax); n > 0 {
			wait = pollMin
			if ctx.Err() == nil {
				continue // there may be more
			}
		}
		select {
		case <-ctx.Done():
			return t.finish()
		case done := <-t.kick:
			done <- t.catchUp(ctx)
		case <-time.After(wait):
		}
	}
}

// begin reads the bookmark and asks the log for what came after it, as often as
// it takes the log to answer. Only a bookmark it must not touch is an error.
func (t *Tail) begin(ctx context.Context) (err error) {
	if t.marks, err = readBookmark(t.opts.Bookmark); err != nil {
		return err
	}
	for failing := false; ctx.Err() == nil; {
		err := t.resume(ctx)
		if failing = t.tell(ctx, err, failing); !failing {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(pollFailing):
		}
	}
	return nil
}

// tell reports the first of a row of errors and the end of the row. Nothing is
// lost meanwhile: the offset stays, and the files are read later.
func (t *Tail) tell(ctx context.Context, err error, failing bool) bool {
	switch {
	case ctx.Err() != nil:
	case err != nil && !failing:
		t.deps.Scope.Set(t.opts.Component, obs.Failed, err.Error())
		t.deps.Scope.Logger().Error("file cannot be read into the log, will retry", "path", t.opts.Path, "error", err)
	case err == nil && failing:
		t.deps.Scope.Set(t.opts.Component, obs.OK, "")
		t.deps.Scope.Logger().Info("file is read again", "path", t.opts.Path)
	}
	return err != nil && ctx.Err() == nil
}

// Sync returns when everything written to the files before the call has been
// acknowledged. Run must be running.
func (t *Tail) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case t.kick <- done:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	}
}

// catchUp reads until there is nothing more.
func (t *Tail) catchUp(ctx context.Context) error {
	t.scanned = time.Time{}
	for {
		if n, err := t.round(ctx); n == 0 || err != nil {
			return err
		}
	}
}

const finishLimit = 10 * time.Second

func (t *Tail) finish() error {
	ctx, cancel := context.WithTimeout(context.Background(), finishLimit)
	defer cancel()
	if err := t.catchUp(ctx); err != nil {
		t.deps.Scope.Logger().Warn("stopped before the log had all; the rest follows at the next start", "component", t.opts.Component, "error", err)
	}
	return t.marks.write(t.opts.Bookmark, true)
}

// resume asks the log what came after the bookmark, and looks at the files.
func (t *Tail) resume(ctx context.Context) error {
	first := len(t.marks.Files) == 0
	if t.deps.Origins != nil {
		origin, err := t.deps.Origins.LastOrigin(ctx, t.opts.Topic, t.opts.Key, t.opts.Prefix+"-"+t.tag+".")
		if err != nil {
			return fmt.Errorf("asking the log for the last line of %s: %w", t.opts.Path, err)
		}
		if id, offset, ok := parseOrigin(origin, t.opts.Prefix); ok {
			t.goOnBehind(id, offset)
		}
	}
	// Somebody else's older files were there before us and are not asked for.
	return t.scan(first && len(t.marks.Files) == 0 && !t.opts.Owned)
}

// goOnBehind moves a file's offset behind the line at the offset given, which
// is on the log. A file the bookmark does not know, since it was lost, is
// looked for among those that lie there.
func (t *Tail) goOnBehind(id string, offset int64) {
	for _, e := range t.marks.Files {
		if e.ID == id {
			t.behindLine(e, offset)
			return
		}
	}
	headLen, generation, ok := parseIdentity(id)
	if !ok {
		return
	}
	for _, c := range t.candidates() {
		if head := c.fingerprint(headLen); head != "" && identity(t.tag, c.inode, head, headLen, generation) == id {
			e := &entry{Inode: c.inode, HeadLen: headLen, Head: head, Generation: generation, ID: id}
			t.marks.Generation = max(t.marks.Generation, generation+1)
			t.marks.Files = append(t.marks.Files, e)
			e.path = c.path
			t.behindLine(e, offset)
			return
		}
	}
}

// behindLine reads the line at the offset to find where it ends.
func (t *Tail) behindLine(e *entry, offset int64) {
	if offset < e.Offset || e.Done {
		return
	}
	path := e.path
	if path == "" {
		for _, c := range t.candidates() {
			if c.inode == e.Inode && c.fingerprint(e.HeadLen) == e.Head {
				path = c.path
			}
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	end := errors.New("found")
	var lines batch.Lines
	lines.StartAt(offset)
	for at := offset; ; {
		n, err := f.ReadAt(t.buf, at)
		at += int64(n)
		if lines.Feed(t.buf[:n], func(l batch.Line) error { e.Offset = l.End; return end }) != nil {
			t.dirty = true
			return
		}
		if err != nil {
			// It was the torn last line of a file that had ended.
			if lines.Pending() > 0 && errors.Is(err, io.EOF) && path != t.opts.Path {
				e.Offset, t.dirty = at, true
			}
			return
		}
	}
}

func (t *Tail) close() {
	for _, e := range t.marks.Files {
		e.close()
	}
}

func (e *entry) close() {
	if e.file != nil {
		e.file.Close()
		e.file = nil
	}
}
