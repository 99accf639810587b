package rules

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/decodersring/decoder/internal/atomicfile"
)

// List returns the rules that are in place, on or off, the self-test's first,
// whose id is the query or whose message or class holds it, whatever its case.
// An empty query is every rule. Limit 0 is no limit.
func (s *Set) List(query string, limit int) ([]Rule, error) {
	b, err := os.ReadFile(s.path("active", "decoder.rules"))
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	var out []Rule
	query = strings.ToLower(query)
	err = eachLine(io.MultiReader(bytes.NewReader(selftestRules), bytes.NewReader(b)), func(line string) error {
		if limit > 0 && len(out) == limit {
			return nil
		}
		if r, ok := parse(line); ok && matches(r, query) {
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	return out, nil
}

func matches(r Rule, query string) bool {
	return query == "" || strconv.Itoa(r.ID) == query ||
		strings.Contains(strings.ToLower(r.Message), query) || strings.Contains(r.Class, query)
}

// UnknownRulesError names the signature ids no rule has.
type UnknownRulesError struct{ IDs []int }

func (e *UnknownRulesError) Error() string { return "no rule has the id " + e.Names() }

// Names returns the ids as a list.
func (e *UnknownRulesError) Names() string {
	ids := make([]string, len(e.IDs))
	for i, id := range e.IDs {
		ids[i] = strconv.Itoa(id)
	}
	return strings.Join(ids, ", ")
}

// Enable switches rules on, now and after every update, and has the engine load
// them. One the engine does not load is refused, with the reason.
func (s *Set) Enable(ctx context.Context, ids ...int) error { return s.toggle(ctx, true, ids) }

// Disable switches rules off, now and after every update.
func (s *Set) Disable(ctx context.Context, ids ...int) error { return s.toggle(ctx, false, ids) }

func (s *Set) toggle(ctx context.Context, on bool, ids []int) error {
	if slices.Contains(ids, SelftestID) {
		return fmt.Errorf("rule %d is the self-test's and always on", SelftestID)
	}
	s.change.Lock()
	defer s.change.Unlock()
	b, err := os.ReadFile(s.path("active", "decoder.rules"))
	if err != nil {
		return fmt.Errorf("switching rules: %w", err)
	}
	var (
		out    bytes.Buffer
		chosen []Rule
		next   = s.present()
	)
	next.Enabled = 0
	err = eachLine(bytes.NewReader(b), func(line string) error {
		writeRule(&out, line, func(r Rule) bool {
			enabled := r.Enabled
			if slices.Contains(ids, r.ID) {
				chosen, enabled = append(chosen, r), on
			}
			if enabled {
				next.Enabled++
			}
			return enabled
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("switching rules: %w", err)
	}
	if missing := slices.DeleteFunc(slices.Clone(ids), func(id int) bool {
		return slices.ContainsFunc(chosen, func(r Rule) bool { return r.ID == id })
	}); len(missing) > 0 {
		return &UnknownRulesError{missing}
	}
	if on {
		if err := s.tryAlone(ctx, chosen); err != nil {
			return err
		}
		next.Failed = slices.DeleteFunc(slices.Clone(next.Failed), func(f FailedRule) bool { return slices.Contains(ids, f.ID) })
	}
	if err := s.relist(on, ids); err != nil {
		return err
	}
	if next.Inputs, err = s.inputs(); err != nil {
		return err
	}
	if err := atomicfile.WriteDurable(s.path("active", "decoder.rules"), out.Bytes()); err != nil {
		return err
	}
	if err := s.store(next); err != nil {
		return err
	}
	_, err = s.reload(ctx)
	return err
}

func (s *Set) present() state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// tryAlone has the engine load just these rules.
func (s *Set) tryAlone(ctx context.Context, chosen []Rule) error {
	binary, err := s.deps.Find(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(s.opts.Dir, "try-")
	if err != nil {
		return fmt.Errorf("testing rules: %w", err)
	}
	defer os.RemoveAll(dir)
	var text bytes.Buffer
	for _, r := range chosen {
		fmt.Fprintln(&text, r.Text)
	}
	path := filepath.Join(dir, "try.rules")
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		return fmt.Errorf("testing rules: %w", err)
	}
	bad, err := s.load(ctx, binary, dir, path)
	if err != nil {
		return err
	}
	for line, reason := range bad {
		return fmt.Errorf("rule %d does not load: %s", chosen[line-1].ID, reason)
	}
	return nil
}

// relist moves ids to the list they belong to now.
func (s *Set) relist(on bool, ids []int) error {
	to, from := "disable.conf", "enable.conf"
	if on {
		to, from = from, to
	}
	if err := s.edit(from, func(lines []string) []string {
		return slices.DeleteFunc(lines, func(l string) bool { return slices.Contains(ids, listedID(l)) })
	}); err != nil {
		return err
	}
	return s.edit(to, func(lines []string) []string {
		for _, id := range ids {
			if !slices.ContainsFunc(lines, func(l string) bool { return listedID(l) == id }) {
				lines = append(lines, strconv.Itoa(id))
			}
		}
		return lines
	})
}

func (s *Set) edit(name string, change func([]string) []string) error {
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		return fmt.Errorf("editing %s: %w", name, err)
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return atomicfile.WriteDurable(s.path(name), []byte(strings.Join(change(lines), "\n")+"\n"))
}

// listedID returns the signature id a list's line is for, as "2019401" or
// "1:2019401", or 0.
func listedID(line string) int {
	line, _, _ = strings.Cut(line, "#")
	id, err := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(line), "1:"))
	if err != nil {
		return 0
	}
	return id
}

// listed returns the ids of a list.
func (s *Set) listed(name string) map[int]bool {
	out := map[int]bool{}
	b, err := os.ReadFile(s.path(name))
	if err != nil {
		return out
	}
	for l := range strings.SplitSeq(string(b), "\n") {
		if id := listedID(l); id > 0 {
			out[id] = true
		}
	}
	return out
}
