package rules

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/decodersring/decoder/internal/atomicfile"
	"github.com/decodersring/decoder/internal/obs"
	"github.com/decodersring/decoder/internal/suricata"
)

//go:embed starter.rules
var starterRules []byte

//go:embed selftest.rules
var selftestRules []byte

// SelftestID is the signature id of the self-test's rule, SelftestContent what
// makes it alert.
const (
	SelftestID      = 1900000
	SelftestContent = "decoder-ring-selftest:"
)

const component = "rules"

// EmergingThreatsOpen is the source used where none is named.
const EmergingThreatsOpen = "et/open"

// Options are set by the program.
type Options struct {
	Dir     string
	Sources []string      // EmergingThreatsOpen, https:// addresses and paths; nil is EmergingThreatsOpen, empty none
	Local   []string      // more rule files of the user's, beside those in Dir/local
	Enable  []string      // matchers of the configuration, beside those in Dir/enable.conf
	Disable []string      // the same for Dir/disable.conf
	Every   time.Duration // between updates; a day when 0, never when negative
}

// Deps are what a Set works with.
type Deps struct {
	Scope obs.Scope
	Find  func(context.Context) (suricata.Binary, error) // suricata.Find when nil
	// Reload has the running engine load the rules that are active now. Nil, or
	// an error that is suricata.ErrNotWatching: there is none.
	Reload func(context.Context) (suricata.RuleStats, error)
}

// Set is the set of rules in use. Its methods may be called concurrently;
// those that change it wait for each other.
type Set struct {
	opts Options
	deps Deps

	change sync.Mutex // held by whoever changes the folder
	mu     sync.Mutex
	state  state
}

// state is what is known of the active rules, kept beside them.
type state struct {
	Version int          `json:"version"`
	Updated time.Time    `json:"updated"` // last successful fetch; zero: never
	Made    time.Time    `json:"made"`    // when the active rules were put in place
	Starter bool         `json:"starter"` // the starter rules are among them
	Inputs  string       `json:"inputs"`  // hash of what they were made of, the fetched aside
	Enabled int          `json:"enabled"`
	Total   int          `json:"total"`
	Failed  []FailedRule `json:"failed,omitempty"` // left out, since the engine does not load them
	Problem string       `json:"problem,omitempty"`
}

// FailedRule is a rule the engine does not load.
type FailedRule struct {
	ID     int    `json:"sid"`
	Reason string `json:"reason"`
}

const stateVersion = 1

// New returns a Set; the folder is not touched before Prepare.
func New(o Options, d Deps) (*Set, error) {
	if !filepath.IsAbs(o.Dir) {
		return nil, errors.New("rules need an absolute folder")
	}
	if o.Sources == nil {
		o.Sources = []string{EmergingThreatsOpen}
	}
	if o.Every == 0 {
		o.Every = 24 * time.Hour
	}
	if d.Find == nil {
		d.Find = suricata.Find
	}
	return &Set{opts: o, deps: d}, nil
}

func (s *Set) path(elements ...string) string {
	return filepath.Join(append([]string{s.opts.Dir}, elements...)...)
}

const defaultDisable = `# Rules that are off: one of suricata-update's matchers a line, as
#   2019401            a signature id
#   re:heartbleed      a regular expression on the rule
#   group:dos.rules    a file of the source
# The engine's own event rules tell of broken protocols rather than of attacks
# and are many. Remove these two lines to have them.
group:*-events.rules
group:files.rules
`

// Prepare makes the folder and, if there are no active rules or the lists, the
// local files or the configuration have changed, makes them of what is there
// without fetching. When it returns nil, RuleSet can be used: rules that cannot
// be made anew stay as they were, and the status says why.
func (s *Set) Prepare(ctx context.Context) error {
	s.change.Lock()
	defer s.change.Unlock()
	for _, dir := range []string{"local", "active", "fetched", "builtin"} {
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			return fmt.Errorf("making the rules folder: %w", err)
		}
	}
	for name, text := range map[string]string{
		"disable.conf": defaultDisable,
		"enable.conf":  "# Rules that are on although their source has them off; see disable.conf.\n",
		"modify.conf":  "# Changes to rules, as: 2019401 \"from\" \"to\"; see the manual of suricata-update.\n",
		"update.yaml":  "# Empty: what suricata-update is to do is told on its command line.\n",
	} {
		if err := writeOnce(s.path(name), text); err != nil {
			return err
		}
	}
	if err := atomicfile.WriteDurable(s.path("builtin", "selftest.rules"), selftestRules); err != nil {
		return err
	}
	if err := atomicfile.WriteDurable(s.path("builtin", "starter.rules"), starterRules); err != nil {
		return err
	}
	if err := s.readState(); err != nil {
		return err
	}
	have := exists(s.path("active", "decoder.rules"))
	inputs, err := s.inputs()
	if err == nil && have && inputs == s.present().Inputs {
		return nil
	}
	if err == nil {
		_, err = s.rebuild(ctx, false)
	}
	if err != nil && have && ctx.Err() == nil {
		s.deps.Scope.Logger().Warn("changed rules cannot be used; those in use stay", "error", err)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.state.Problem = err.Error()
		return nil
	}
	return err
}

// inputs is a hash of everything rules are made of but what is fetched.
func (s *Set) inputs() (string, error) {
	files, err := s.localFiles()
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q\n", s.opts.Sources, s.opts.Enable, s.opts.Disable, files)
	for _, path := range append(files, s.path("builtin", "starter.rules"), s.path("enable.conf"), s.path("disable.conf"), s.path("modify.conf")) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("reading what rules are made of: %w", err)
		}
		fmt.Fprintf(h, "%d\n", len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (s *Set) readState() error {
	b, err := os.ReadFile(s.path("active", "state.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var st state
	if err == nil {
		err = json.Unmarshal(b, &st)
	}
	if err != nil {
		return fmt.Errorf("reading the state of the rules: %w", err)
	}
	if st.Version > stateVersion {
		return fmt.Errorf("reading the state of the rules: it is of version %d, written by a newer program; this one knows %d", st.Version, stateVersion)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = st
	return nil
}

// RuleSet returns the files an engine loads.
func (s *Set) RuleSet() (suricata.RuleSet, error) {
	_, reference := suricata.DefaultFiles()
	set := suricata.RuleSet{
		Files:          []string{s.path("active", "decoder.rules"), s.path("builtin", "selftest.rules")},
		Classification: s.classification(), Reference: reference,
	}
	if p := s.path("threshold.config"); exists(p) {
		set.Threshold = p
	}
	for _, f := range set.Files {
		if !exists(f) {
			return set, fmt.Errorf("rule file %s is missing; make it with: decoder rules update", f)
		}
	}
	return set, nil
}

// classification is the file of classes in use: the rules' own, or the engine's.
func (s *Set) classification() string {
	if p := s.path("active", "classification.config"); exists(p) {
		return p
	}
	path, _ := suricata.DefaultFiles()
	return path
}

// Status is how the rules stand.
type Status struct {
	Enabled int          `json:"enabled"`
	Total   int          `json:"total"`
	Updated time.Time    `json:"updated,omitzero"` // last successful fetch
	Starter bool         `json:"starter"`          // only the starter rules and local ones are there
	Failed  []FailedRule `json:"failed,omitempty"`
	Problem string       `json:"problem,omitempty"` // why the last update failed
}

// Status returns how the rules stand.
func (s *Set) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.state
	return Status{st.Enabled, st.Total, st.Updated, st.Starter, st.Failed, st.Problem}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func writeOnce(path, text string) error {
	if exists(path) {
		return nil
	}
	return atomicfile.WriteDurable(path, []byte(text))
}
