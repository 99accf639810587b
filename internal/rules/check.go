package rules

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/decodersring/decoder/internal/proc"
	"github.com/decodersring/decoder/internal/suricata"
)

var (
	failedLine  = regexp.MustCompile(`error parsing signature ".*" from file .* at line (\d+)`)
	loadedCount = regexp.MustCompile(`(\d+) rules? successfully loaded, (\d+) rules? failed`)
)

// check has the engine load a candidate, and switches off what it does not
// load. It fails when the engine does not say which rules those are.
func (s *Set) check(ctx context.Context, binary suricata.Binary, dir, path string) ([]FailedRule, error) {
	bad, err := s.load(ctx, binary, dir, path)
	if err != nil || len(bad) == 0 {
		return nil, err
	}
	failed, err := switchOff(path, bad)
	if err != nil {
		return nil, err
	}
	s.deps.Scope.Logger().Warn("rules do not load and are left out", "count", len(failed), "first_sid", failed[0].ID, "first_reason", failed[0].Reason)
	if again, err := s.load(ctx, binary, dir, path); err != nil || len(again) > 0 {
		return nil, fmt.Errorf("testing rules: %d still do not load: %w", len(again), err)
	}
	return failed, nil
}

// load returns, by line number, why rules do not load.
func (s *Set) load(ctx context.Context, binary suricata.Binary, dir, path string) (map[int]string, error) {
	set := s.companions(dir)
	set.Files = []string{path}
	text, err := suricata.Generate(suricata.Config{Dir: dir, Socket: filepath.Join(dir, "socket"), Rules: set, Major: binary.Major})
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(dir, "test.yaml")
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("testing rules: %w", err)
	}
	var (
		bad    = map[int]string{}
		counts []string
		reason string
	)
	_, err = proc.Run(ctx, proc.Command{Path: binary.Path, Args: []string{"-T", "-c", conf, "-l", dir}, Line: func(line string) {
		if m := failedLine.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			bad[n], reason = reason, ""
		} else if m := loadedCount.FindStringSubmatch(line); m != nil {
			counts = m
		} else if _, text, ok := strings.Cut(line, ": "); ok && (strings.HasPrefix(line, "E: ") || strings.HasPrefix(line, "Error: ")) {
			reason = text
		}
	}})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil && len(bad) == 0 {
		return nil, fmt.Errorf("testing rules: %w", err)
	}
	if len(counts) == 3 && counts[2] != strconv.Itoa(len(bad)) {
		return nil, fmt.Errorf("testing rules: %s do not load, and %d are named", counts[2], len(bad))
	}
	return bad, nil
}

// companions returns what rules refer to, of the candidate if it has its own.
func (s *Set) companions(dir string) suricata.RuleSet {
	var set suricata.RuleSet
	set.Classification, set.Reference = suricata.DefaultFiles()
	for _, p := range []string{s.path("active", "classification.config"), filepath.Join(dir, "classification.config")} {
		if exists(p) {
			set.Classification = p
		}
	}
	return set
}

// switchOff turns the rules at those lines into comments.
func switchOff(path string, bad map[int]string) ([]FailedRule, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("leaving out rules: %w", err)
	}
	var (
		out    bytes.Buffer
		failed []FailedRule
		n      int
	)
	err = eachLine(bytes.NewReader(b), func(line string) error {
		if n++; bad[n] == "" {
			fmt.Fprintln(&out, line)
			return nil
		}
		r, _ := parse(line)
		failed = append(failed, FailedRule{ID: r.ID, Reason: bad[n]})
		fmt.Fprintln(&out, "#", line)
		return nil
	})
	if err == nil {
		err = os.WriteFile(path, out.Bytes(), 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("leaving out rules: %w", err)
	}
	return failed, nil
}

// writeRule writes a line of a rule file, on or off as on says.
func writeRule(w io.Writer, line string, on func(Rule) bool) {
	r, ok := parse(line)
	switch {
	case !ok:
		fmt.Fprintln(w, line)
	case on(r):
		fmt.Fprintln(w, r.Text)
	default:
		fmt.Fprintln(w, "#", r.Text)
	}
}
