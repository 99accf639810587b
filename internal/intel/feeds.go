package intel

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/decodersring/decoder/internal/obs"
)

// Config says where feeds lie.
type Config struct {
	Paths []string      // files, and folders read to any depth
	Poll  time.Duration // between looks for changed files; 30 s
}

// Feeds keeps an index of files and builds it again when they change. Index
// may be called concurrently with Run.
type Feeds struct {
	config Config
	scope  obs.Scope
	logger *slog.Logger
	index  atomic.Pointer[Index]
	stamp  string
	loaded chan struct{}
	gauge  prometheus.Gauge
}

// NewFeeds returns feeds that hold nothing before Run has read them.
func NewFeeds(c Config, scope obs.Scope) *Feeds {
	if c.Poll <= 0 {
		c.Poll = 30 * time.Second
	}
	f := &Feeds{config: c, scope: scope, logger: scope.Logger(), loaded: make(chan struct{})}
	f.gauge = prometheus.NewGauge(prometheus.GaugeOpts{Name: "decoder_intel_indicators", Help: "Indicators of the local feeds."})
	scope.Register(f.gauge)
	return f
}

// Index returns the present index, nil before the first was built: a nil
// index finds nothing.
func (f *Feeds) Index() *Index { return f.index.Load() }

// Loaded is closed when the files have been read for the first time.
func (f *Feeds) Loaded() <-chan struct{} { return f.loaded }

// Run reads the files and looks for changes until ctx ends. A file that cannot
// be read is left out and said; what was known stays when none can.
func (f *Feeds) Run(ctx context.Context) error {
	first := true
	for {
		if err := f.reload(ctx); err != nil && ctx.Err() == nil {
			f.scope.Set("intel", obs.Degraded, err.Error())
			f.logger.Warn("indicator feeds not loaded", "error", err)
		}
		if first {
			close(f.loaded)
			first = false
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.config.Poll):
		}
	}
}

type file struct {
	path string
	info fs.FileInfo
}

func (f *Feeds) files() ([]file, error) {
	var all []file
	var errs []error
	for _, p := range f.config.Paths {
		err := filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if path != p && strings.HasPrefix(d.Name(), ".") {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			info, err := d.Info()
			if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<30 {
				return nil
			}
			all = append(all, file{path, info})
			return nil
		})
		if err != nil {
			errs = append(errs, err)
		}
	}
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.path, b.path) })
	return all, errors.Join(errs...)
}

// reload builds the index anew if a file has changed.
func (f *Feeds) reload(ctx context.Context) error {
	files, walkErr := f.files()
	var stamp strings.Builder
	for _, x := range files {
		fmt.Fprintf(&stamp, "%s %d %d\n", x.path, x.info.Size(), x.info.ModTime().UnixNano())
	}
	if stamp.String() == f.stamp && f.index.Load() != nil {
		return walkErr
	}
	var all []Indicator
	errs := []error{walkErr}
	bad := 0
	for _, x := range files {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		found, n, err := f.read(x.path)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all, bad = append(all, found...), bad+n
	}
	if len(files) == 0 && walkErr != nil && f.index.Load() != nil {
		return walkErr
	}
	x, err := Build(all)
	if err != nil {
		return fmt.Errorf("building index of indicators: %w", err)
	}
	f.index.Store(x)
	f.stamp = stamp.String()
	f.gauge.Set(float64(x.Len()))
	f.logger.Info("indicator feeds loaded", "files", len(files), "indicators", x.Len(), "lines_not_understood", bad)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	f.scope.Set("intel", obs.OK, fmt.Sprintf("%d indicators of %d files", x.Len(), len(files)))
	return nil
}

func (f *Feeds) read(path string) ([]Indicator, int, error) {
	r, err := os.Open(path)
	if err != nil {
		return nil, 0, fmt.Errorf("opening feed: %w", err)
	}
	defer r.Close()
	return Parse(path, r)
}
