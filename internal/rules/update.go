package rules

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/suricata"
)

// Report is what an update did.
type Report struct {
	Status
	Fetched  bool               `json:"fetched"` // the sources were reached
	Changed  bool               `json:"changed"`
	Engine   suricata.RuleStats `json:"engine"` // of the running engine; zero when there is none
	Duration time.Duration      `json:"duration"`
}

// Update fetches the sources, merges them with the local files, applies the
// lists, tests the result, puts it in place and has the engine load it. When a
// source cannot be reached, the rules in use stay, and the error says why.
func (s *Set) Update(ctx context.Context) (Report, error) {
	s.change.Lock()
	defer s.change.Unlock()
	return s.rebuild(ctx, true)
}

// Rebuild is Update without fetching: for changed local files and lists.
func (s *Set) Rebuild(ctx context.Context) (Report, error) {
	s.change.Lock()
	defer s.change.Unlock()
	return s.rebuild(ctx, false)
}

// rebuild makes the active rules anew. s.change is held.
func (s *Set) rebuild(ctx context.Context, fetch bool) (Report, error) {
	began := time.Now()
	r, err := s.make(ctx, fetch)
	s.mu.Lock()
	s.state.Problem = ""
	if err != nil {
		s.state.Problem = err.Error()
	}
	s.mu.Unlock()
	r.Status, r.Duration = s.Status(), time.Since(began)
	return r, err
}

func (s *Set) make(ctx context.Context, fetch bool) (Report, error) {
	var r Report
	binary, missing := s.deps.Find(ctx)
	if missing != nil && (fetch || exists(s.path("active", "decoder.rules"))) {
		return r, missing
	}
	candidate := s.path("candidate")
	if err := os.RemoveAll(candidate); err != nil {
		return r, fmt.Errorf("making rules: %w", err)
	}
	if err := os.MkdirAll(candidate, 0o700); err != nil {
		return r, fmt.Errorf("making rules: %w", err)
	}
	defer os.RemoveAll(candidate)

	fetched := s.everFetched() || fetch && len(s.opts.Sources) > 0
	if missing != nil {
		return r, s.makeUntested(candidate)
	}
	if err := s.merge(ctx, binary, candidate, fetch, fetched); err != nil {
		return r, err
	}
	inputs, err := s.inputs()
	if err != nil {
		return r, err
	}
	next := state{Version: stateVersion, Made: time.Now().UTC(), Starter: !fetched, Inputs: inputs}
	if fetch && fetched {
		next.Updated, r.Fetched = next.Made, true
	} else {
		s.mu.Lock()
		next.Updated = s.state.Updated
		s.mu.Unlock()
	}
	path := filepath.Join(candidate, "suricata.rules")
	if next.Failed, err = s.check(ctx, binary, candidate, path); err != nil {
		return r, err
	}
	if r.Changed, err = s.activate(candidate, next); err != nil {
		return r, err
	}
	r.Engine, err = s.reload(ctx)
	return r, err
}

// makeUntested puts starter rules and local files in place where there is no
// engine to test them, so that all else can start. They are made anew at the
// next start.
func (s *Set) makeUntested(candidate string) error {
	local, err := s.localFiles()
	if err != nil {
		return err
	}
	if err := s.mergePlainly(append([]string{s.path("builtin", "starter.rules")}, local...), candidate); err != nil {
		return err
	}
	next := state{Version: stateVersion, Made: time.Now().UTC(), Starter: true, Updated: s.present().Updated}
	_, err = s.activate(candidate, next)
	return err
}

func (s *Set) everFetched() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.state.Updated.IsZero() && len(s.opts.Sources) > 0
}

// localFiles returns the user's own rule files.
func (s *Set) localFiles() ([]string, error) {
	files, err := filepath.Glob(s.path("local", "*.rules"))
	if err != nil {
		return nil, fmt.Errorf("listing local rules: %w", err)
	}
	for _, f := range s.opts.Local {
		if !exists(f) {
			return nil, fmt.Errorf("local rule file %s is missing", f)
		}
		files = append(files, f)
	}
	return files, nil
}

// merge writes suricata.rules, and what belongs to it, to the folder out.
func (s *Set) merge(ctx context.Context, binary suricata.Binary, out string, fetch, fetched bool) error {
	local, err := s.localFiles()
	if err != nil {
		return err
	}
	if !fetched {
		local = append([]string{s.path("builtin", "starter.rules")}, local...)
	}
	if _, err := proc.LookPath("suricata-update"); err != nil {
		if fetched {
			return fmt.Errorf("fetching rules: %w (apt-get install suricata-update)", err)
		}
		return s.mergePlainly(local, out)
	}
	conf := filepath.Join(out, "suricata.yaml")
	text, err := suricata.Generate(suricata.Config{Dir: out, Socket: filepath.Join(out, "socket"), Major: binary.Major})
	if err != nil {
		return err
	}
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return fmt.Errorf("merging rules: %w", err)
	}
	args := []string{
		"update", "-D", s.path("fetched"), "-c", s.path("update.yaml"), "-o", out,
		"--suricata", binary.Path, "--suricata-conf", conf, "--no-test", "--no-reload", "--fail",
		"--modify-conf", s.path("modify.conf"),
	}
	for name, matchers := range map[string][]string{"disable": s.opts.Disable, "enable": s.opts.Enable} {
		list, err := s.joined(name+".conf", matchers, out)
		if err != nil {
			return err
		}
		args = append(args, "--"+name+"-conf", list)
	}
	sources := s.opts.Sources
	if !fetched {
		// It insists on a source; a file is one, and is never cached with force.
		sources, fetch = []string{"file://" + local[0]}, true
		local = local[1:]
	}
	for _, source := range sources {
		if source == EmergingThreatsOpen {
			args = append(args, "--etopen")
			continue
		}
		if source, err = s.address(source, out); err != nil {
			return err
		}
		args = append(args, "--url", source)
	}
	if fetch {
		args = append(args, "--force")
	} else {
		args = append(args, "--offline")
	}
	for _, f := range local {
		if f, err = plain(f, out); err != nil {
			return err
		}
		args = append(args, "--local", f)
	}
	said, err := proc.Run(ctx, proc.Command{Path: "suricata-update", Args: args, Line: s.logLine})
	if err != nil {
		return fmt.Errorf("fetching and merging rules: %w", lastError(said, err))
	}
	return nil
}

func (s *Set) logLine(line string) {
	s.deps.Scope.Logger().Debug("child wrote", "child", "suricata-update", "line", line)
}

// lastError gives the last complaint of suricata-update in place of its whole
// output.
func lastError(said string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	for _, line := range slices.Backward(strings.Split(said, "\n")) {
		if _, text, ok := strings.Cut(line, "<Error> -- "); ok {
			return errors.New(text)
		}
	}
	return err
}

// mergePlainly stands in for suricata-update where it is not installed: local
// files one after the other, without the lists but for what Enable and Disable
// wrote into them.
func (s *Set) mergePlainly(files []string, out string) error {
	on, off := s.listed("enable.conf"), s.listed("disable.conf")
	var all bytes.Buffer
	for _, f := range files {
		f, err := plain(f, out)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(f)
		if err != nil {
			return fmt.Errorf("merging rules: %w", err)
		}
		err = eachLine(bytes.NewReader(b), func(line string) error {
			writeRule(&all, line, func(r Rule) bool { return (r.Enabled || on[r.ID]) && !off[r.ID] })
			return nil
		})
		if err != nil {
			return fmt.Errorf("merging rules of %s: %w", f, err)
		}
	}
	return os.WriteFile(filepath.Join(out, "suricata.rules"), all.Bytes(), 0o600)
}

// activate puts a tested set in place.
func (s *Set) activate(candidate string, next state) (changed bool, err error) {
	b, err := os.ReadFile(filepath.Join(candidate, "suricata.rules"))
	if err != nil {
		return false, fmt.Errorf("putting rules in place: %w", err)
	}
	err = eachLine(bytes.NewReader(b), func(line string) error {
		if r, ok := parse(line); ok {
			next.Total++
			if r.Enabled {
				next.Enabled++
			}
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("putting rules in place: %w", err)
	}
	if c, err := os.ReadFile(filepath.Join(candidate, "classification.config")); err == nil && len(c) > 0 {
		if err := atomicfile.WriteDurable(s.path("active", "classification.config"), c); err != nil {
			return false, err
		}
	}
	before, _ := os.ReadFile(s.path("active", "decoder.rules"))
	if changed = !bytes.Equal(before, b); changed {
		if err := atomicfile.WriteDurable(s.path("active", "decoder.rules"), b); err != nil {
			return false, err
		}
	}
	return changed, s.store(next)
}

func (s *Set) store(next state) error {
	if err := atomicfile.WriteJSON(s.path("active", "state.json"), next); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = next
	return nil
}

// reload has the running engine, if there is one, load the active rules.
func (s *Set) reload(ctx context.Context) (suricata.RuleStats, error) {
	if s.deps.Reload == nil {
		return suricata.RuleStats{}, nil
	}
	stats, err := s.deps.Reload(ctx)
	if errors.Is(err, suricata.ErrNotWatching) {
		return suricata.RuleStats{}, nil
	}
	if err != nil {
		return stats, fmt.Errorf("loading the new rules: %w", err)
	}
	return stats, nil
}

const (
	retryUpdate = time.Hour
	staleAfter  = 14 * 24 * time.Hour
)

// Run keeps the rules up to date until ctx ends. Prepare must have been
// called. Without a way out it tries again each hour and says so.
func (s *Set) Run(ctx context.Context) error {
	s.report()
	if s.opts.Every < 0 || len(s.opts.Sources) == 0 {
		<-ctx.Done()
		return nil
	}
	s.mu.Lock()
	wait := time.Until(s.state.Updated.Add(s.opts.Every))
	s.mu.Unlock()
	for {
		t := time.NewTimer(max(wait, 0))
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		r, err := s.Update(ctx)
		// Not everybody at the same second.
		wait = s.opts.Every + rand.N(s.opts.Every/10+1)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			wait = retryUpdate
			s.deps.Scope.Logger().Warn("rules are not updated, will retry", "error", err)
		default:
			s.deps.Scope.Logger().Info("rules are updated", "enabled", r.Enabled, "failed", len(r.Failed), "changed", r.Changed)
		}
		s.report()
	}
}

// report tells health how the rules stand.
func (s *Set) report() {
	st := s.Status()
	level, message := obs.OK, ""
	switch {
	case st.Enabled == 0:
		level, message = obs.Failed, "no rules are in use"
	case st.Starter && len(s.opts.Sources) > 0:
		level, message = obs.Degraded, "only the starter rules are in use"
	case !st.Updated.IsZero() && time.Since(st.Updated) > staleAfter:
		level, message = obs.Degraded, "rules were last fetched on "+st.Updated.Format(time.DateOnly)
	}
	if level != obs.OK && st.Problem != "" {
		message += ": " + st.Problem
	}
	s.deps.Scope.Set(component, level, message)
}
