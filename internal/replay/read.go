package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/suricata"
)

// readCapture leaves the folder <i>.done, also for a capture that cannot be
// read. An error is the whole job's.
func (r *Replayer) readCapture(ctx context.Context, id string, i int, rules suricata.RuleSet) error {
	j := r.update(id, func(j *Job) { j.Captures[i].State = Running })
	c := j.Captures[i]
	run, done := r.captureDir(id, i, "run"), r.captureDir(id, i, "done")
	if err := errors.Join(os.RemoveAll(run), os.RemoveAll(done)); err != nil { // done is damaged, or was read
		return fmt.Errorf("discarding an unfinished capture: %w", err)
	}
	if err := os.MkdirAll(run, 0o700); err != nil {
		return fmt.Errorf("making a folder for a capture: %w", err)
	}
	m := meta{Capture: c}
	if err := r.readInto(ctx, id, i, &m, rules); err != nil {
		return err
	}
	if err := atomicfile.WriteJSON(filepath.Join(run, "meta.json"), m); err != nil {
		return err
	}
	if err := syncFile(filepath.Join(run, "eve.json")); err != nil {
		return fmt.Errorf("syncing an EVE file: %w", err)
	}
	if err := os.Rename(run, done); err != nil {
		return fmt.Errorf("marking a capture as read: %w", err)
	}
	return atomicfile.SyncDir(r.jobDir(id))
}

// readInto looks at the capture and has the engine read it. What is wrong with
// the capture is left in m; an error is the whole job's.
func (r *Replayer) readInto(ctx context.Context, id string, i int, m *meta, rules suricata.RuleSet) error {
	c, run := &m.Capture, r.captureDir(id, i, "run")
	s, path, err := r.look(c.Path, run)
	defer removeCopies(run)
	c.SHA256, c.Size = s.SHA256, max(s.Size, c.Size)
	if err != nil {
		c.Error = reason(err)
		return nil
	}
	if s.Broken != nil {
		c.Error = s.Broken.Error()
	}
	if s.Packets == 0 {
		return nil // the engine calls a capture without packets an error
	}
	if m.Rules, err = r.workers.hash(ctx, rules); err != nil {
		return err
	}
	if err := r.awaitTwin(ctx, id, i, s.SHA256); err != nil {
		return err
	}
	before, known, err := r.known(ctx, s, m.Rules)
	if err != nil {
		return err
	}
	m.Round, m.Origin = before.Round, before.origin(s.SHA256, m.Rules)
	if known {
		m.recall(before)
		return nil
	}
	if err := r.room(2 * s.Size); err != nil {
		c.Error = err.Error()
		return nil
	}
	complaints, err := r.engineRead(ctx, id, path, run, m, rules)
	if refused, ok := errors.AsType[*suricata.RefusedError](err); ok {
		c.Error = refused.Message
		return nil
	}
	crash, crashed := errors.AsType[*suricata.CrashError](err)
	if err != nil && !crashed {
		return err
	}
	if crashed {
		err = crash
	} else {
		err = r.whole(c.Path, s)
	}
	if err != nil {
		// What was written is not what the capture gives; nothing is fed.
		c.Error = err.Error()
		_ = os.Remove(filepath.Join(run, "eve.json"))
		return nil
	}
	if c.Packets, err = packetsRead(filepath.Join(run, "eve.json")); err != nil {
		c.Error = reason(err)
		return nil
	}
	if c.Packets < s.Packets {
		m.Short = incomplete(s, c.Packets, complaints)
		c.Error = m.Short
	}
	m.Whole = c.Packets >= s.Packets || s.mixed() || c.Packets == 0 && len(unread(s.LinkTypes)) > 0
	return nil
}

// awaitTwin returns when no capture of the job before the one at i, with the
// same content, is on its way to the log: from then on it is known.
func (r *Replayer) awaitTwin(ctx context.Context, id string, i int, sum string) error {
	r.update(id, func(j *Job) { j.Captures[i].SHA256 = sum })
	for {
		j, changed, err := r.snapshot(id)
		if err != nil {
			return err
		}
		same := func(c Capture) bool { return c.State != Done && c.SHA256 == sum }
		if !slices.ContainsFunc(j.Captures[:i], same) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// Copies of a capture that the engine is given in its place.
const (
	unpackedName  = "unpacked"
	rewrittenName = "rewritten"
)

func removeCopies(run string) {
	_ = os.Remove(filepath.Join(run, unpackedName))
	_ = os.Remove(filepath.Join(run, rewrittenName))
}

// look inspects a capture and returns the path of a file the engine can read.
func (r *Replayer) look(capture, run string) (s shape, path string, err error) {
	free, err := r.free()
	if err != nil {
		return s, "", err
	}
	path = capture
	s, err = inspect(capture, min(r.opts.MaxUnpacked, max(free-r.opts.MinFree, 0)), func() (io.WriteCloser, error) {
		path = filepath.Join(run, unpackedName)
		return os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	})
	if err != nil || !s.isCookedV2() {
		return s, path, err
	}
	if err := r.room(s.Size); err != nil {
		return s, "", err
	}
	rewritten := filepath.Join(run, rewrittenName)
	return s, rewritten, uncook(path, rewritten)
}

// whole says whether what the engine wrote can be all that the capture gives.
func (r *Replayer) whole(capture string, s shape) error {
	if info, err := os.Stat(capture); err != nil || info.Size() != s.Size || !info.ModTime().Equal(s.Modified) {
		return errors.New("the file changed while it was read")
	}
	return r.room(0) // the engine says nothing of lines it could not write
}

func (r *Replayer) free() (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(r.opts.Dir, &fs); err != nil {
		return 0, fmt.Errorf("asking for free disk: %w", err)
	}
	return int64(fs.Bavail) * fs.Bsize, nil
}

// room says whether the disk takes so many bytes more.
func (r *Replayer) room(size int64) error {
	free, err := r.free()
	if err != nil {
		return err
	}
	if need := r.opts.MinFree + size; free < need {
		return fmt.Errorf("disk is full: %d MiB are free, %d MiB are needed", free>>20, need>>20)
	}
	return nil
}

// incomplete says why the engine read fewer packets than there are.
func incomplete(s shape, read int64, complaints []string) string {
	if types := unread(s.LinkTypes); read == 0 && len(types) > 0 {
		return "Suricata does not read link type " + strings.Join(types, ", ")
	}
	if s.mixed() {
		return fmt.Sprintf("%d of %d packets read: the capture mixes link types %v", read, s.Packets, s.LinkTypes)
	}
	text := fmt.Sprintf("%d of %d packets read", read, s.Packets)
	if len(complaints) > 0 {
		text += ": " + complaints[0]
	}
	return text
}

// engineRead gives the capture to a warm worker, and to a second one when the
// first crashes on it.
func (r *Replayer) engineRead(ctx context.Context, id, path, run string, m *meta, rules suricata.RuleSet) (complaints []string, err error) {
	for attempt := range 2 {
		var w *suricata.Worker
		w, err = r.workers.get(ctx, rules)
		if err != nil {
			return nil, err
		}
		if m.Loading, err = r.noteRules(ctx, id, w); err != nil {
			return nil, err
		}
		_ = os.Remove(filepath.Join(run, "eve.json"))
		complaints, err = w.Read(ctx, path, run)
		if _, crashed := errors.AsType[*suricata.CrashError](err); !crashed {
			return complaints, err
		}
		r.deps.Scope.Logger().Warn("engine crashed on a capture", "capture", path, "attempt", attempt+1, "error", err)
	}
	return nil, err
}

// noteRules keeps, once a job, what its engine made of the rules. A job whose
// own rules all fail to load is an error: captures without alerts would be
// taken for clean ones.
func (r *Replayer) noteRules(ctx context.Context, id string, w *suricata.Worker) (Loading, error) {
	j, _, err := r.snapshot(id)
	if err != nil || j.Rules.known() {
		return j.Rules.Loading, err
	}
	s, err := w.RuleStats(ctx)
	if err != nil {
		return Loading{}, nil
	}
	l := Loading{Loaded: s.Loaded, Failed: s.Failed}
	for _, refused := range w.Refused(ctx, s.Failed) {
		refused.File = j.Rules.named(refused.File)
		l.Reasons = append(l.Reasons, refused.String())
	}
	r.update(id, func(j *Job) { j.Rules.Loading = l })
	if j.Rules.Own && s.Loaded == 0 && s.Failed > 0 {
		return l, fmt.Errorf("loading the job's rules: Suricata takes none of the %d", s.Failed)
	}
	return l, nil
}

// named returns what the user called a rule file of the job.
func (r Rules) named(file string) string {
	for i, name := range r.Files {
		if filepath.Base(file) == ruleFileName(i) {
			return name
		}
	}
	return file
}
