package replay

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/suricata"
)

// workers keeps engines warm: one for each set of rules in use, two at most,
// since each holds hundreds of megabytes. One not used for a while is ended.
type workers struct {
	dir   string
	base  suricata.Config // home networks and the like; rules are set for each
	log   *slog.Logger
	find  func(context.Context) (suricata.Binary, error)
	clock func() time.Time

	mu   sync.Mutex
	warm map[string]*warmWorker
}

type warmWorker struct {
	*suricata.Worker
	used time.Time
}

const (
	mostWarm = 2
	idleEnd  = 10 * time.Minute
)

// hash returns the hash of rules and configuration that stands in the origins
// of what a worker with them finds.
func (w *workers) hash(ctx context.Context, rules suricata.RuleSet) (string, error) {
	_, _, hash, err := w.wanted(ctx, rules)
	return hash, err
}

func (w *workers) wanted(ctx context.Context, rules suricata.RuleSet) (suricata.Binary, suricata.Config, string, error) {
	c := w.base
	binary, err := w.find(ctx)
	if err != nil {
		return binary, c, "", fmt.Errorf("%w; decoder doctor says how to mend that", err)
	}
	c.Rules, c.Major = rules, binary.Major
	hash, err := c.Hash(binary.Version)
	if err != nil {
		return binary, c, "", err
	}
	return binary, c, hash[:16], nil
}

// get returns a running worker for the rules.
func (w *workers) get(ctx context.Context, rules suricata.RuleSet) (*suricata.Worker, error) {
	binary, c, hash, err := w.wanted(ctx, rules)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if have := w.warm[hash]; have != nil {
		if have.Alive() {
			have.used = w.clock()
			return have.Worker, nil
		}
		w.end(hash)
	}
	for len(w.warm) >= mostWarm {
		w.endOldest()
	}
	started, err := suricata.StartWorker(ctx, binary, c, filepath.Join(w.dir, hash), w.log)
	if err != nil {
		return nil, err
	}
	w.log.Info("capture worker started", "rules_hash", hash)
	w.warm[hash] = &warmWorker{Worker: started, used: w.clock()}
	return started, nil
}

func (w *workers) end(hash string) {
	w.warm[hash].Close()
	delete(w.warm, hash)
	_ = os.RemoveAll(filepath.Join(w.dir, hash))
}

func (w *workers) endOldest() {
	var oldest string
	for hash, x := range w.warm {
		if oldest == "" || x.used.Before(w.warm[oldest].used) {
			oldest = hash
		}
	}
	w.end(oldest)
}

// endIdle ends the workers not used for a while.
func (w *workers) endIdle() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for hash, x := range w.warm {
		if w.clock().Sub(x.used) > idleEnd {
			w.end(hash)
		}
	}
}

func (w *workers) endAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for hash := range w.warm {
		w.end(hash)
	}
}

// endLeftovers ends what an earlier run of the program left running.
func (w *workers) endLeftovers() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		suricata.EndLeftover(filepath.Join(w.dir, e.Name()))
	}
	return nil
}
