package replay

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/suricata"
)

const component = "replay"

// Options are set by the program.
type Options struct {
	Dir         string // folder of its own; created by Run or the first Submit
	Topic       string // where EVE lines go
	MaxUnpacked int64  // largest gzipped capture when unpacked, in bytes; 16 GiB when 0
	MinFree     int64  // free disk below which nothing is replayed, in bytes; 256 MiB when 0
	KeepJobs    int    // finished jobs to remember; 100 when 0
	// Config is the engine's configuration but for rules and folders. Its
	// HomeNet is PrivateNetworks unless set: captures come from elsewhere.
	Config suricata.Config
}

// Deps are what a Replayer works with.
type Deps struct {
	Log   bus.Appender
	Scope obs.Scope
	// Rules returns the configured rules, as they are now.
	Rules func() (suricata.RuleSet, error)
	// Find returns the engine; suricata.Find when nil.
	Find func(context.Context) (suricata.Binary, error)
	// Kept says whether the event made of the record of that origin is still
	// stored. A capture replayed before with the same rules is replayed again
	// only when it is not. Records on their way to the store count as stored: it
	// waits for them. Nil: it always is.
	Kept func(ctx context.Context, origin string) (bool, error)
}

// Replayer owns the replay jobs. Its methods may be called concurrently.
type Replayer struct {
	opts    Options
	deps    Deps
	workers *workers

	mu      sync.Mutex
	jobs    map[string]*Job
	order   []string // ids, oldest first
	changed chan struct{}
	loaded  bool
	running string                  // id of the job in work
	cancel  context.CancelCauseFunc // ends it
}

// New returns a Replayer that does nothing until Run.
func New(o Options, d Deps) (*Replayer, error) {
	if o.Dir == "" || o.Topic == "" || d.Log == nil || d.Rules == nil {
		return nil, errors.New("replay needs a folder, a topic, a log and rules")
	}
	if o.MaxUnpacked == 0 {
		o.MaxUnpacked = 16 << 30
	}
	if o.MinFree == 0 {
		o.MinFree = 256 << 20
	}
	if o.KeepJobs == 0 {
		o.KeepJobs = 100
	}
	if d.Find == nil {
		d.Find = suricata.Find
	}
	return &Replayer{
		opts: o, deps: d,
		jobs: map[string]*Job{}, changed: make(chan struct{}),
		workers: &workers{
			dir: filepath.Join(o.Dir, "workers"), base: o.Config, log: d.Scope.Logger(),
			find: d.Find, clock: time.Now, warm: map[string]*warmWorker{},
		},
	}, nil
}

// ErrUnknownJob is returned for an id no job has.
var ErrUnknownJob = errors.New("no such replay job")

// Submit stores a job and returns its id. When it returns, the job survives
// the end of the program. Rule files are copied, one that cannot be read is a
// [RulesError]; captures are read where they lie, and what cannot be found is a
// failed capture of the job, not an error.
func (r *Replayer) Submit(_ context.Context, q Request) (string, error) {
	if len(q.Paths) == 0 {
		return "", errors.New("nothing to replay: no file or folder given")
	}
	for _, p := range slices.Concat(q.Paths, q.Rules) {
		if !filepath.IsAbs(p) {
			return "", fmt.Errorf("replaying %s: the path is not absolute", p)
		}
	}
	if err := r.load(); err != nil {
		return "", err
	}
	now := time.Now()
	j := Job{ID: newID(now), Created: now.UTC(), State: Queued, Captures: expand(q.Paths), Rules: Rules{Own: len(q.Rules) > 0, Files: q.Rules}}
	// Made aside and renamed, so that a job is there whole or not at all.
	dir := r.jobDir(j.ID)
	aside := dir + ".new"
	if err := os.MkdirAll(filepath.Join(aside, "rules"), 0o700); err != nil {
		return "", fmt.Errorf("storing a replay job: %w", err)
	}
	err := copyRules(q.Rules, filepath.Join(aside, "rules"))
	if err == nil {
		err = writeJob(aside, j)
	}
	if err == nil {
		err = os.Rename(aside, dir)
	}
	if err == nil {
		err = atomicfile.SyncDir(filepath.Dir(dir))
	}
	if err != nil {
		_ = os.RemoveAll(aside)
		return "", fmt.Errorf("storing a replay job: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.jobs[j.ID] = &j
	r.order = append(r.order, j.ID)
	r.notify()
	return j.ID, nil
}

func copyRules(from []string, dir string) error {
	for i, path := range from {
		if err := copyRuleFile(path, filepath.Join(dir, ruleFileName(i))); err != nil {
			return err
		}
	}
	return nil
}

// ruleFileName is what a job calls its copy of the i-th rule file it was given.
func ruleFileName(i int) string { return fmt.Sprintf("%03d.rules", i) }

const largestRuleFile = 1 << 30

// RulesError says that a rule file of a request cannot be read.
type RulesError struct {
	Path string
	Err  error
}

func (e *RulesError) Error() string {
	return fmt.Sprintf("reading rules %s: %s", e.Path, reason(e.Err))
}

// Unwrap returns what is wrong with the file.
func (e *RulesError) Unwrap() error { return e.Err }

func copyRuleFile(from, to string) error {
	in, _, err := openRegular(from)
	if err != nil {
		return &RulesError{from, err}
	}
	defer in.Close()
	var r io.Reader = in
	if strings.HasSuffix(from, ".gz") {
		if r, err = gzip.NewReader(in); err != nil {
			return &RulesError{from, err}
		}
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	read := &reading{r: io.LimitReader(r, largestRuleFile)}
	n, err := io.Copy(out, read)
	if read.err != nil {
		err = &RulesError{from, read.err}
	} else if n == largestRuleFile {
		err = &RulesError{from, fmt.Errorf("it is over %d bytes", largestRuleFile)}
	}
	return errors.Join(err, out.Sync(), out.Close())
}

// reading keeps what went wrong with reading, apart from writing.
type reading struct {
	r   io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

func (r *Replayer) jobDir(id string) string { return filepath.Join(r.opts.Dir, "jobs", id) }

// load reads the jobs of earlier runs, once.
func (r *Replayer) load() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	for _, sub := range []string{"jobs", "workers"} {
		if err := os.MkdirAll(filepath.Join(r.opts.Dir, sub), 0o700); err != nil {
			return fmt.Errorf("opening the replay folder: %w", err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(r.opts.Dir, "jobs")) // sorted by name, so by time
	if err != nil {
		return fmt.Errorf("opening the replay folder: %w", err)
	}
	for _, e := range entries {
		dir := r.jobDir(e.Name())
		if strings.HasSuffix(e.Name(), ".new") {
			_ = os.RemoveAll(dir)
			continue
		}
		j, err := readJob(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		r.jobs[j.ID] = &j
		r.order = append(r.order, j.ID)
	}
	r.loaded = true
	return nil
}

// notify wakes everybody who waits for a change. r.mu is held.
func (r *Replayer) notify() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// List returns every job, oldest first.
func (r *Replayer) List() ([]Job, error) {
	if err := r.load(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Job, 0, len(r.order))
	for _, id := range r.order {
		out = append(out, r.jobs[id].clone())
	}
	return out, nil
}

// Get returns a job as it is now.
func (r *Replayer) Get(id string) (Job, error) {
	if err := r.load(); err != nil {
		return Job{}, err
	}
	j, _, err := r.snapshot(id)
	return j, err
}

func (r *Replayer) snapshot(id string) (Job, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.jobs[id]
	if j == nil {
		return Job{}, nil, ErrUnknownJob
	}
	return j.clone(), r.changed, nil
}

// Wait returns the job when it is done. See is called with the job as it is
// now and after every change, in order; nil is allowed.
func (r *Replayer) Wait(ctx context.Context, id string, see func(Job)) (Job, error) {
	if err := r.load(); err != nil {
		return Job{}, err
	}
	for {
		j, changed, err := r.snapshot(id)
		if err != nil {
			return Job{}, err
		}
		if see != nil {
			see(j)
		}
		if j.State == Done {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return j, ctx.Err()
		case <-changed:
		}
	}
}

// errCancelled is the cause of the end of a job that was called off.
var errCancelled = errors.New("the replay was cancelled")

// Cancel calls a job off: what is on the log stays, captures not read yet are
// marked as not replayed. A job that is done stays as it is.
func (r *Replayer) Cancel(id string) error {
	if err := r.load(); err != nil {
		return err
	}
	r.mu.Lock()
	j := r.jobs[id]
	if j == nil {
		r.mu.Unlock()
		return ErrUnknownJob
	}
	if r.running == id {
		r.cancel(errCancelled)
	}
	waiting := r.running != id && j.State == Queued
	r.mu.Unlock()
	if waiting {
		return r.finish(id, errCancelled)
	}
	return nil
}

// update changes a job under the lock, tells who waits, and returns a copy.
func (r *Replayer) update(id string, change func(*Job)) Job {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := r.jobs[id]
	change(j)
	r.notify()
	return j.clone()
}
