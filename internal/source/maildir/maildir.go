// Package maildir watches Maildirs and mbox files and appends what arrives in
// them to the log, and imports such files once. It moves, marks and removes
// nothing. It knows its place by the names of the files (Maildir) or the
// offset (mbox), written down after the log's acknowledgement.
package maildir

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/bookmark"
	"github.com/decodersring/decoder/internal/bus"
	"github.com/decodersring/decoder/internal/decode/mail"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/source/message"
)

// Config is what is watched.
type Config struct {
	Paths    []string      // Maildirs (with new and cur inside) and mbox files
	StateDir string        // folder for the places
	Poll     time.Duration // beside the kernel's notice; 30 s
	Quiet    time.Duration // an mbox is read once nobody has written for so long; 2 s
}

// Source implements the component contract: New does no I/O, Run blocks.
type Source struct {
	config Config
	log    bus.Appender
	scope  obs.Scope
	logger *slog.Logger
	read   prometheus.Counter
}

// New returns the source.
func New(c Config, log bus.Appender, scope obs.Scope) (*Source, error) {
	if len(c.Paths) == 0 || c.StateDir == "" {
		return nil, errors.New("a maildir source needs paths and a state folder")
	}
	if c.Poll <= 0 {
		c.Poll = 30 * time.Second
	}
	if c.Quiet <= 0 {
		c.Quiet = 2 * time.Second
	}
	s := &Source{config: c, log: log, scope: scope, logger: scope.Logger(), read: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "decoder_maildir_messages_total", Help: "Messages read of Maildirs and mbox files.",
	})}
	scope.Register(s.read)
	return s, nil
}

// Run watches until ctx ends.
func (s *Source) Run(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watching mail folders: %w", err)
	}
	defer w.Close()
	for {
		wait := s.config.Poll
		for _, p := range s.config.Paths {
			again, err := s.look(ctx, p)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				s.scope.Set("maildir/"+p, obs.Degraded, err.Error())
				s.logger.Warn("mail folder not readable, will retry", "path", p, "error", err)
			default:
				s.scope.Set("maildir/"+p, obs.OK, "watching")
			}
			if again > 0 {
				wait = min(wait, again)
			}
			s.watch(w, p)
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		case <-w.Events:
		case err := <-w.Errors:
			s.logger.Warn("notices of mail folders lost, polling", "error", err)
		}
		timer.Stop()
	}
}

// watch asks for notices again: a folder may have come into being since.
func (s *Source) watch(w *fsnotify.Watcher, p string) {
	for _, dir := range []string{filepath.Join(p, "new"), filepath.Join(p, "cur")} {
		if err := w.Add(dir); err != nil {
			_ = w.Add(filepath.Dir(p)) // an mbox: its folder; polling covers the rest
			return
		}
	}
}

func (s *Source) mark(p string) *bookmark.Bookmark {
	sum := sha256.Sum256([]byte(p))
	return bookmark.New(filepath.Join(s.config.StateDir, "maildir-"+hex.EncodeToString(sum[:8])+".json"))
}

// look reads what is new. again says when to look the next time, if sooner
// than the poll.
func (s *Source) look(ctx context.Context, p string) (again time.Duration, err error) {
	st, err := os.Stat(p)
	if err != nil {
		return 0, fmt.Errorf("looking at mail folder: %w", err)
	}
	if st.IsDir() {
		return 0, s.maildir(ctx, p)
	}
	if quiet := time.Since(st.ModTime()); quiet < s.config.Quiet {
		return s.config.Quiet - quiet + 10*time.Millisecond, nil
	}
	return 0, s.mbox(ctx, p, st)
}

// seen is the place in a Maildir: hashes of the unique names that are in the
// log, 8 bytes each. A name is seen again when the file moves from new to cur
// or its flags change; the part before the colon stays.
type seen struct {
	Names string `json:"names"` // base64
}

func (m seen) decode() map[uint64]bool {
	b, _ := base64.StdEncoding.DecodeString(m.Names)
	set := make(map[uint64]bool, len(b)/8)
	for ; len(b) >= 8; b = b[8:] {
		set[binary.BigEndian.Uint64(b)] = true
	}
	return set
}

func encode(set map[uint64]bool) seen {
	keys := make([]uint64, 0, len(set))
	for k := range set {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	b := make([]byte, 0, 8*len(keys))
	for _, k := range keys {
		b = binary.BigEndian.AppendUint64(b, k)
	}
	return seen{Names: base64.StdEncoding.EncodeToString(b)}
}

func nameHash(name string) uint64 {
	base, _, _ := strings.Cut(name, ":")
	h := fnv.New64a()
	h.Write([]byte(base))
	return h.Sum64()
}

func (s *Source) maildir(ctx context.Context, p string) error {
	var state seen
	mark := s.mark(p)
	if err := mark.Load(&state); err != nil {
		return err
	}
	known := state.decode()
	present := map[uint64]bool{}
	var waiting []uint64
	b := batch{ctx: ctx, log: s.log, done: func(n int, _ int64) { s.read.Add(float64(n)) }}
	acknowledged := func() error {
		if err := b.flush(); err != nil {
			return err
		}
		for _, h := range waiting {
			known[h] = true
		}
		waiting = waiting[:0]
		return mark.Save(encode(known))
	}
	for _, sub := range []string{"new", "cur"} {
		files, err := os.ReadDir(filepath.Join(p, sub))
		if err != nil {
			return fmt.Errorf("listing mail folder: %w", err)
		}
		for _, f := range files {
			h := nameHash(f.Name())
			present[h] = true
			if known[h] || !f.Type().IsRegular() {
				continue
			}
			if err := s.file(&b, filepath.Join(p, sub, f.Name())); err != nil {
				return err
			}
			if waiting = append(waiting, h); len(waiting) >= batchMessages {
				if err := acknowledged(); err != nil {
					return err
				}
			}
		}
	}
	pruned := false
	for h := range known {
		if !present[h] {
			delete(known, h)
			pruned = true
		}
	}
	if len(waiting) == 0 && !pruned {
		return nil
	}
	return acknowledged()
}

func (s *Source) file(b *batch, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // moved or removed since it was listed
	}
	if err != nil {
		return fmt.Errorf("opening message: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("looking at message: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(f, message.MaxSize+1))
	if err != nil {
		return fmt.Errorf("reading message: %w", err)
	}
	if len(raw) > message.MaxSize || len(raw) == 0 {
		s.logger.Warn("message empty or too large, passed over", "path", path, "bytes", len(raw))
		return nil
	}
	return b.add(raw, st.ModTime())
}

// offset is the place in an mbox. Another head says that it is another file.
type offset struct {
	Head   string `json:"head"` // SHA-256 of the first bytes
	Length int    `json:"length"`
	At     int64  `json:"at"`
}

func (s *Source) mbox(ctx context.Context, p string, st fs.FileInfo) error {
	f, err := os.Open(p)
	if err != nil {
		return fmt.Errorf("opening mbox: %w", err)
	}
	defer f.Close()
	var place offset
	mark := s.mark(p)
	if err := mark.Load(&place); err != nil {
		return err
	}
	if place.At > st.Size() || place.Length > 0 && place.Head != head(f, place.Length) {
		place = offset{}
	}
	if place.At == st.Size() {
		return nil
	}
	if _, err := f.Seek(place.At, io.SeekStart); err != nil {
		return fmt.Errorf("seeking in mbox: %w", err)
	}
	b := batch{ctx: ctx, log: s.log, done: func(n int, _ int64) { s.read.Add(float64(n)) }}
	start, end := place.At, place.At
	err = ReadMbox(io.LimitReader(f, st.Size()-start), message.MaxSize, func(raw []byte, at int64) error {
		end = start + at
		if len(raw) == 0 || !mail.IsMessage(raw) {
			return ctx.Err()
		}
		return b.add(raw, time.Time{})
	})
	if err != nil {
		return err
	}
	if err := b.flush(); err != nil {
		return err
	}
	n := int(min(1024, end))
	return mark.Save(offset{Head: head(f, n), Length: n, At: end})
}

func head(f *os.File, n int) string {
	b := make([]byte, n)
	if _, err := f.ReadAt(b, 0); err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
